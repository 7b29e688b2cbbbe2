"""The daemon as a service: what it tells its manager, what signals make of it, and how it ends."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import ROOT, Daemon, ServiceManager, reach
from ears import MINE, Ears
from edge.mqtt import Outgoing
from faults import DYING_THREADS, FAILING_STORE, HANGING_INFERENCE, Faults
from hostile import png
from waiting import wait_until

MODEL = "demo-efficientnet-lite0-minilm-l6"
LONGEST_SILENCE_S = 2.0  # of a daemon that is at work; what made systemd kill one was longer by far
READY = re.compile(r"READY=1\nSTATUS=(.*)")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify.sock") as manager:
        yield manager


@pytest.fixture
def service(mosquitto: Mosquitto, tmp_path: Path, manager: ServiceManager) -> Daemon:
    """A daemon with a manager, not yet started."""
    return Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), manager=manager)


def configure(daemon: Daemon, **sections: Any) -> None:
    """Write another config beneath a running daemon."""
    daemon.config = sections
    daemon.config_file.write_text(json.dumps(daemon._fields()), encoding="utf-8")


def reload(daemon: Daemon, manager: ServiceManager) -> str:
    """The status that it is ready with again."""
    daemon.signal(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.await_word("RELOADING=1"))
    found = READY.fullmatch(manager.await_word("READY=1"))
    assert found
    return found[1]


def ask(daemon: Daemon, **fields: Any) -> Mapping[str, Any]:
    with daemon.requester() as client:
        return client.request(daemon.topics.query, {"text": "a square", "collapse": False, **fields}, 30)


def remember(daemon: Daemon, count: int) -> None:
    """So many small pictures."""
    indexed: list[bytes] = []

    def came(topic: str, payload: bytes) -> None:
        if topic == daemon.topics.event and b'"indexed"' in payload:
            indexed.append(payload)

    with daemon.requester((daemon.topics.event,), came) as client:
        for side in range(1, count + 1):
            client.send(Outgoing(daemon.topics.raw("image"), png(side, side, 2)))
        wait_until(lambda: len(indexed) == count, f"{count} items indexed")


def test_ready_is_said_once_and_only_when_it_can_answer(service: Daemon, manager: ServiceManager) -> None:
    with service.requester() as client:
        service.launch()
        first = manager.await_word("")
        assert manager.await_word("READY=1")
        assert client.request(service.topics.control, {"op": "ping"}, 5)["op"] == "ping"
        assert client.request(service.topics.query, {"text": "anything"}, 20)["results"] == []
    service.stop()
    with pytest.raises(TimeoutError):
        manager.await_word("READY=1", 0.5)
    assert first.startswith("STATUS=opening the memory\nEXTEND_TIMEOUT_USEC=")
    assert [message for message in manager.heard if "READY" in message] == [f"READY=1\nSTATUS=0 items, model {MODEL}"]


@pytest.mark.slow
def test_service_whose_broker_is_away_is_ready_all_the_same_after_a_while(
    service: Daemon, manager: ServiceManager, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    service.launch()
    assert "no connection to the broker" in manager.await_word("READY=1")
    mosquitto.start()
    with service.requester() as client:
        wait_until(lambda: client.status == "online", "online", 40)
    service.stop()


def test_stop_is_told_to_everybody_and_ends_with_zero(service: Daemon, manager: ServiceManager) -> None:
    with service, service.requester() as client:
        wait_until(lambda: client.status == "online", "online")
        service.signal(signal.SIGTERM)
        assert manager.await_word("STOPPING=1") == "STOPPING=1"
        wait_until(lambda: client.status == "offline", "offline")
        assert service.wait() == 0


def test_changed_setting_is_in_effect_after_a_reload(service: Daemon, manager: ServiceManager) -> None:
    with service:
        remember(service, 3)
        assert len(ask(service)["results"]) == 3
        pid = service.pid
        configure(service, recall={"limit": 1})
        assert reload(service, manager) == f"3 items, model {MODEL}"
        assert len(ask(service)["results"]) == 1
        assert len(ask(service, limit=2)["results"]) == 2
        assert service.pid == pid
        assert service.is_running


def test_device_that_is_renamed_by_a_reload_answers_under_its_new_name(
    service: Daemon, manager: ServiceManager
) -> None:
    with service:
        service.device = "dev2"
        configure(service)
        reload(service, manager)
        with service.requester() as client:
            assert client.request("reminisce/dev2/control", {"op": "ping"}, 20)["op"] == "ping"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"recall": {"limit": 0}}', "recall.limit is 0: must be 1 to 1000"),
        ("recall: [", "is not YAML"),
        ('{"bundle": "/nowhere"}', "bundle: /nowhere is not a folder"),
        ('{"bundle": "/tmp"}', "manifest.json"),
        ('{"remember": {"exit_depth": 3}}', "remember.exit_depth"),
        (None, "cannot be read"),
    ],
)
def test_broken_config_changes_nothing_and_is_told(
    service: Daemon, manager: ServiceManager, text: str | None, said: str
) -> None:
    with service:
        remember(service, 2)
        if text is None:
            service.config_file.unlink()
        else:
            service.config_file.write_text(text, encoding="utf-8")
        assert reload(service, manager) == "the reload was refused: see the log"
        assert "the config is not reloaded" in service.last_words()
        assert said in service.last_words()
        assert len(ask(service)["results"]) == 2


def test_config_that_cannot_be_served_goes_back_to_the_one_before(
    service: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    with service, (taken / "lock").open("w") as lock:
        remember(service, 2)
        fcntl.flock(lock, fcntl.LOCK_EX)
        service.config_file.write_text(json.dumps({**service._fields(), "state": str(taken)}), encoding="utf-8")
        assert reload(service, manager) == f"2 items, model {MODEL}"
        assert "the new config cannot be used, going on with the one before" in service.last_words()
        assert f"{taken} is in use by another process" in service.last_words()
        assert len(ask(service)["results"]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_every_question_and_order_that_came_before_the_end_gets_one_reply(
    service: Daemon, manager: ServiceManager, number: signal.Signals
) -> None:
    with service, Ears(service.mqtt, service.topics) as ears:
        remember(service, 8)
        for at in range(60):
            reply = service.topics.reply(MINE, "all")
            question, order = b'{"text": "a square %d"}' % at, b'{"op": "ping"}'
            ears.say(Outgoing(service.topics.query, question, reply_topic=reply, correlation=b"q%d" % at))
            ears.say(Outgoing(service.topics.control, order, reply_topic=reply, correlation=b"c%d" % at))
        ears.wait_for(lambda: ears.replies["c59"] > 0, "the last order's reply")
        service.signal(number)
        manager.await_word("STOPPING=1" if number == signal.SIGTERM else "RELOADING=1")
        ears.wait_for(lambda: ears.replied >= 120, "all replies")
        ears.rest()
        assert set(ears.replies.values()) == {1}
        assert ears.codes["ok"] + ears.codes["stopping"] == 120


def test_life_that_fails_later_does_not_go_back_to_the_config_before(
    service: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults", FAILING_STORE)
    service.environ = faults.environ
    service.start()
    configure(service, recall={"limit": 1})
    reload(service, manager)
    faults.strike()
    with service.requester() as client:
        client.send(Outgoing(service.topics.raw("image"), png(1, 1, 2)))
        assert service.wait() == 1
    assert "going on with the one before" not in service.last_words()
    assert service.last_words().endswith("reminisce: injected\n")


@pytest.mark.slow
def test_watchdog_is_fed_at_its_pace_at_rest_and_at_work(service: Daemon, manager: ServiceManager) -> None:
    service.environ = {"WATCHDOG_USEC": "400000"}
    with service:
        silences = silences_of(manager)
        assert (median(silences) < 0.4, max(silences) < LONGEST_SILENCE_S) == (True, True)
        with ThreadPoolExecutor(1) as other:
            working = other.submit(remember, service, 16)
            silences = silences_of(manager)
            assert (median(silences) < 0.4, max(silences) < LONGEST_SILENCE_S) == (True, True)
            working.result()


def silences_of(manager: ServiceManager) -> list[float]:
    """Seconds between two words, some twenty; what else the machine does makes a few of them longer."""
    moments = []
    for _ in range(21):
        manager.await_word("WATCHDOG=1")
        moments.append(time.monotonic())
    return [after - before for before, after in pairwise(moments)]


def longest_silence(manager: ServiceManager, seconds: float) -> float:
    began = time.monotonic()
    moments = [began]
    with suppress(TimeoutError):
        while (left := began + seconds - time.monotonic()) > 0:
            manager.await_word("WATCHDOG=1", left)
            moments.append(time.monotonic())
    return max(after - before for before, after in pairwise([*moments, began + seconds]))


def test_watchdog_of_another_process_is_not_fed(service: Daemon, manager: ServiceManager) -> None:
    service.environ = {"WATCHDOG_USEC": "400000", "WATCHDOG_PID": "1"}
    with service, pytest.raises(TimeoutError):
        manager.await_word("WATCHDOG=1", 1.0)


def test_watchdog_starves_while_an_inference_hangs_and_the_owner_is_answered(
    service: Daemon, manager: ServiceManager, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "faults", HANGING_INFERENCE)
    service.environ = {**faults.environ, "WATCHDOG_USEC": "400000"}
    with service, service.requester() as client:
        faults.strike()
        client.send(Outgoing(service.topics.raw("image"), png(8, 8, 2)))
        assert longest_silence(manager, 1.5) > 0.4  # what systemd kills a service for
        assert client.request(service.topics.control, {"op": "ping"}, 10)["op"] == "ping"
        faults.relent()
        manager.await_word("WATCHDOG=1", 10)


@pytest.mark.parametrize("thread", DYING_THREADS)
def test_thread_that_dies_ends_the_process_with_its_traceback(service: Daemon, tmp_path: Path, thread: str) -> None:
    faults = Faults(tmp_path / "faults", DYING_THREADS[thread])
    service.environ = faults.environ
    service.start()
    with service.requester() as client:
        faults.strike()
        client.send(Outgoing(service.topics.raw("image"), png(1, 1, 2)))
        client.send(Outgoing(service.topics.query, b'{"text": "a dog"}', reply_topic=service.topics.reply(MINE, "1")))
        client.send(Outgoing(service.topics.control, b'{"op": "ping"}', reply_topic=service.topics.reply(MINE, "1")))
        assert service.wait() == 1
    said = service.log.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in said
    assert said.rstrip().endswith("RuntimeError: injected")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('{"recall": {"limit": 0}}', 2, "config.yaml: recall.limit is 0: must be 1 to 1000"),
        ('{"mqtt": {"hots": "x"}}', 2, "mqtt.hots is not a key. Did you mean mqtt.host?"),
        ("recall: [", 2, "is not YAML"),
        (None, 2, "cannot be read"),
        ('{"bundle": "/nowhere"}', 2, "bundle: /nowhere is not a folder"),
        ('{"mqtt": {"username": "me", "password_file": "/nowhere"}}', 2, "mqtt.password_file: /nowhere cannot be read"),
        ('{"mqtt": {"tls_ca": "/nowhere"}}', 2, "mqtt.tls_ca: /nowhere cannot be used"),
        ('{"state": "/proc/nowhere"}', 1, "/proc/nowhere cannot be used"),
    ],
)
def test_mistake_in_the_config_ends_a_start_with_two_and_what_may_pass_with_one(
    service: Daemon, text: str | None, code: int, said: str
) -> None:
    service.folder.mkdir()
    if text is not None:
        service.config_file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "edge", "run", "--config", str(service.config_file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
