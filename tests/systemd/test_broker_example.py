"""The broker that ships as an example, run as it is but for paths and ports, with the clients that come with it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from authority import make_authority
from brokers import SHIPPED, Mosquitto
from programs import program

DEVICE = "reminisce/dev1"
MIB = 2**20
DONE, REFUSED_V5, TLS_FAILED, TIMED_OUT = 0, 135, {1, 8}, 27
TOPICS = (
    "status",
    "info",
    "state",
    "event",
    "query",
    "ingest",
    "ingest/raw/image",
    "control",
    "control/indexing/set",
    "reply/app-1/q1",
    "reply/app-2/q1",
)
APP_SAYS = {"query", "ingest", "ingest/raw/image"}
APP_HEARS = {"status", "info", "state", "event"}


def command(broker: Mosquitto, name: str, user: str, *arguments: str) -> list[str]:
    """A client that is user of the broker, over its plain port, in MQTT 5."""
    who = ["-V", "5", "-u", user, "-P", broker.passwords[user]]
    return [program(name, "mosquitto-clients"), "-h", broker.host, "-p", str(broker.port), *who, *arguments]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def say(broker: Mosquitto, user: str, topic: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*command(broker, "mosquitto_pub", user, "-q", "1", "-t", f"{DEVICE}/{topic}", *arguments))


def heard(broker: Mosquitto, user: str, *arguments: str) -> dict[str, str]:
    """What a user hears of all that was last said on the device's topics, by topic.

    The device must have said its status: asked for once more after all else, it is the last to come.
    """
    wanted = ["-t", f"{DEVICE}/#", "-t", f"{DEVICE}/status", "-F", "%t %p", "-W", "30"]
    messages: list[list[str]] = []
    with subprocess.Popen(command(broker, "mosquitto_sub", user, *arguments, *wanted), stdout=subprocess.PIPE) as app:
        assert app.stdout
        while [topic for topic, _ in messages].count(f"{DEVICE}/status") < 2:
            messages.append(app.stdout.readline().decode().split())
        app.terminate()
    return {topic.removeprefix(f"{DEVICE}/"): text for topic, text in messages}


def said(broker: Mosquitto, user: str) -> set[str]:
    """Topics of the device on which a user may say something: it tries all, and the device tells what arrived."""
    say(broker, "dev1", "status", "-r", "-m", "online")
    for topic in TOPICS:
        say(broker, user, topic, "-r", "-m", user)
    return {topic for topic, text in heard(broker, "dev1").items() if text == user}


def wait_away(broker: Mosquitto, topic: str) -> list[str]:
    """Subscribe as the device, and leave. Returns the command that comes back for what it missed."""
    back = command(broker, "mosquitto_sub", "dev1", "-i", "dev1-here", "-c", "-q", "1", "-t", f"{DEVICE}/{topic}")
    assert run(*back, "-E").returncode == DONE
    return back


def hello(broker: Mosquitto, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Say something over the TLS port, as an app that is let in says it."""
    who = ["-u", "app", "-P", broker.passwords["app"], "-q", "1", "-t", f"{DEVICE}/query", "-m", "hello"]
    name = program("mosquitto_pub", "mosquitto-clients")
    return run(name, "-V", "5", "-p", str(broker.tls_port), *who, *arguments)


def test_every_setting_is_followed_by_nothing_that_mosquitto_would_take_for_a_part_of_it() -> None:
    settings = [line for line in (SHIPPED / "mosquitto.conf").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in settings if "#" in line or ";" in line] == []


def test_right_password_is_let_in(secure_broker: Mosquitto) -> None:
    done = say(secure_broker, "app", "query", "-m", "hello")
    assert (done.stderr, done.returncode) == ("", DONE)


@pytest.mark.parametrize("who", [["-u", "app", "-P", "wrong"], ["-u", "nobody", "-P", "wrong"], ["-u", "app"], []])
def test_wrong_or_missing_password_is_refused(secure_broker: Mosquitto, who: list[str]) -> None:
    name = program("mosquitto_pub", "mosquitto-clients")
    for way in (["-p", str(secure_broker.port)], ["--unix", str(secure_broker.socket)]):
        done = run(name, "-V", "5", *way, *who, "-t", "x", "-m", "hello")
        assert (done.returncode, "Not authorized" in done.stderr) == (REFUSED_V5, True)


def test_unix_socket_lets_a_user_in(secure_broker: Mosquitto) -> None:
    who = ["-u", "app", "-P", secure_broker.passwords["app"], "-q", "1", "-t", f"{DEVICE}/query", "-m", "hello"]
    name = program("mosquitto_pub", "mosquitto-clients")
    done = run(name, "-V", "5", "--unix", str(secure_broker.socket), *who)
    assert (done.stderr, done.returncode) == ("", DONE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_port_shows_a_certificate_of_its_authority(secure_broker: Mosquitto, host: str) -> None:
    assert secure_broker.authority
    done = hello(secure_broker, "-h", host, "--cafile", str(secure_broker.authority.ca))
    assert (done.stderr, done.returncode) == ("", DONE)


def test_certificate_of_an_unknown_authority_is_refused(secure_broker: Mosquitto, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    done = hello(secure_broker, "-h", "localhost", "--cafile", str(other.ca))
    assert done.returncode in TLS_FAILED, done.stderr


def test_network_port_does_not_talk_without_tls(secure_broker: Mosquitto) -> None:
    assert hello(secure_broker, "-h", "127.0.0.1").returncode != DONE


def test_device_says_and_hears_all_of_its_own_and_nothing_else(secure_broker: Mosquitto) -> None:
    assert said(secure_broker, "dev1") == set(TOPICS)
    done = run(
        *command(secure_broker, "mosquitto_pub", "dev1", "-q", "1", "-t", "reminisce/dev2/status", "-m", "forged")
    )
    assert "Not authorized" in done.stderr


def test_app_says_questions_and_items_only(secure_broker: Mosquitto) -> None:
    assert said(secure_broker, "app") == APP_SAYS


def test_only_the_owner_controls(secure_broker: Mosquitto) -> None:
    assert said(secure_broker, "owner") == {*APP_SAYS, "control", "control/indexing/set"}


@pytest.mark.parametrize("topic", ["event", "control", "reply/app-1/q1"])
def test_refused_message_is_an_error_to_its_sender(secure_broker: Mosquitto, topic: str) -> None:
    assert "Not authorized" in say(secure_broker, "app", topic, "-m", "forged").stderr


@pytest.mark.parametrize("user", ["app", "owner"])
def test_app_hears_the_state_of_the_device_and_answers_to_itself_only(secure_broker: Mosquitto, user: str) -> None:
    said(secure_broker, "dev1")
    assert set(heard(secure_broker, user, "-i", "app-1")) == {*APP_HEARS, "reply/app-1/q1"}


@pytest.mark.parametrize("client", ["#", "+", "app-1/#", "app-1/+"])
def test_wildcard_as_client_id_hears_no_answer(secure_broker: Mosquitto, client: str) -> None:
    said(secure_broker, "dev1")
    assert set(heard(secure_broker, "app", "-i", client)) == APP_HEARS


def test_question_is_answered_to_the_app_that_asked(secure_broker: Mosquitto) -> None:
    back = wait_away(secure_broker, "query")
    answer = f"{DEVICE}/reply/app-1/q1"
    asks = command(secure_broker, "mosquitto_rr", "app", "-i", "app-1", "-q", "1", "-W", "30")
    with subprocess.Popen([*asks, "-t", f"{DEVICE}/query", "-e", answer, "-m", "dogs?"], stdout=subprocess.PIPE) as app:
        asked = run(*back, "-C", "1", "-W", "30", "-F", "%R %p")
        say(secure_broker, "dev1", "reply/app-1/q1", "-m", "two dogs")
        answered, _ = app.communicate(timeout=60)
    assert (asked.stdout, answered) == (f"{answer} dogs?\n", b"two dogs\n")


def test_app_that_takes_the_client_id_of_the_device_hears_nothing_of_its_queue(secure_broker: Mosquitto) -> None:
    wait_away(secure_broker, "ingest/#")
    say(secure_broker, "owner", "ingest", "-m", "private")
    thief = command(secure_broker, "mosquitto_sub", "app", "-i", "dev1-here", "-c", "-q", "1")
    done = run(*thief, "-t", f"{DEVICE}/ingest/#", "-W", "1")
    assert (done.stdout, done.returncode) == ("", TIMED_OUT)


@pytest.mark.parametrize("version", ["5", "311"])
def test_payload_of_8_mib_arrives_and_one_of_9_mb_does_not(
    secure_broker: Mosquitto, tmp_path: Path, version: str
) -> None:
    say(secure_broker, "dev1", "status", "-r", "-m", "online")
    for name, size in (("image", 8 * MIB), ("text", 9_000_000)):
        (tmp_path / name).write_bytes(b"x" * size)
        say(secure_broker, "app", f"ingest/raw/{name}", "-r", "-V", version, "-f", str(tmp_path / name))
    sizes = {topic: len(text) for topic, text in heard(secure_broker, "dev1").items()}
    assert sizes == {"status": len("online"), "ingest/raw/image": 8 * MIB}


def test_message_that_waits_for_the_device_survives_the_death_of_the_broker(secure_broker: Mosquitto) -> None:
    back = wait_away(secure_broker, "ingest/#")
    assert say(secure_broker, "app", "ingest", "-m", "kept after a crash").returncode == DONE
    await_written(secure_broker, b"kept after a crash")
    secure_broker.kill()
    secure_broker.restart()
    assert run(*back, "-C", "1", "-W", "10").stdout == "kept after a crash\n"


def await_written(broker: Mosquitto, text: bytes) -> None:
    """The queue is written after the acknowledgement of the message that changed it, a moment later."""
    deadline = time.monotonic() + 10
    while text not in b"".join(file.read_bytes() for file in broker.folder.glob("mosquitto.db")):
        assert time.monotonic() < deadline, "the queue was not written out"
        time.sleep(0.01)
