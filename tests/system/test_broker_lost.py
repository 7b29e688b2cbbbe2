"""The broker dies, the network fails: the daemon comes back by itself, and nothing that was accepted is lost."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from memories import look_into, wait_until_embedded
from proxies import Proxy
from publishers import PATIENCE_S, SETTLED, Publisher, distinct
from waiting import wait_until

SEED = 20251125
BURST = 16
LOSSES = 5
BACK_S = 45  # the slowest retry, 30 s, and some for the work behind it
# Mosquitto writes a few milliseconds after it has answered, more on a busy board. Killed 40 times at the first of
# twelve answers, it lost 10 of 480 items: all of them answered less than 3 ms before.
WRITTEN_S = 1.0
PUBACK_BYTES = 4
DESK, INGEST = "reminisce-dev1", "reminisce-dev1-ingest"


@pytest.fixture
def photos(pictures: list[Path]) -> Iterator[bytes]:
    return distinct(pictures)


@pytest.mark.slow
def test_broker_that_is_killed_while_items_come_in_costs_none_that_was_accepted(
    secure_broker: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(secure_broker, "dev1"))
    with daemon, Publisher(reach(secure_broker, "app"), daemon.topics) as publisher:
        for _ in range(LOSSES):
            burst = {publisher.send(next(photos)) for _ in range(BURST)}
            publisher.await_first(burst, *SETTLED)
            time.sleep(0.2 * chance.random())
            secure_broker.kill()
            secure_broker.start()
        last = publisher.send(next(photos))
        publisher.await_told([last], "indexed", timeout_s=BACK_S)
        wait_until_embedded(daemon.state)
    remains = look_into(daemon.state)
    remains.check_accepted(publisher.told(*SETTLED))
    remains.check_indexed(remains.records.keys())
    assert daemon.log.read_text(encoding="utf-8").count(f"{INGEST}: the connection to the broker ended") == LOSSES


@pytest.mark.slow
def test_broker_that_is_killed_and_started_again_delivers_all_that_it_acknowledged(
    secure_broker: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(secure_broker, "dev1"))
    with daemon, Publisher(reach(secure_broker, "app"), daemon.topics) as publisher:
        daemon.signal(signal.SIGSTOP)  # what is sent stays with the broker
        sent = {publisher.send(next(photos)) for _ in range(BURST)}
        wait_until(lambda: publisher.taken_by_broker() == sent, "all taken by the broker", PATIENCE_S)
        time.sleep(WRITTEN_S)
        secure_broker.kill()
        assert not publisher.told(*SETTLED)
        secure_broker.start()
        daemon.signal(signal.SIGCONT)
        publisher.await_told(sent, "indexed", timeout_s=BACK_S)
    look_into(daemon.state).check_indexed(sent)


def test_message_whose_acknowledgement_is_lost_comes_again_and_is_kept_once(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            pipe = proxy.pipe(INGEST)
            pipe.loses_up.set()
            item = publisher.send(next(photos))
            publisher.await_told([item], "accepted")
            wait_until(lambda: pipe.swallowed == PUBACK_BYTES, lambda: f"PUBACK of {pipe.swallowed} bytes", PATIENCE_S)
            assert not publisher.told("duplicate")
            pipe.close()
            publisher.await_told([item], "duplicate")
            following = publisher.send(next(photos))
            publisher.await_told([item, following], "indexed")
    assert [event["type"] for event in publisher.events(*SETTLED)] == ["accepted", "duplicate", "accepted"]
    assert [event["item"] for event in publisher.events("indexed")] == [item, following]
    look_into(daemon.state).check_indexed([item, following])


def test_message_is_not_acknowledged_before_the_broker_has_the_event_about_it(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            desk, ingest = proxy.pipe(DESK), proxy.pipe(INGEST)
            desk.loses_up.set()
            ingest.loses_up.set()
            item = publisher.send(next(photos))
            wait_until_embedded(daemon.state, 1)
            assert desk.swallowed > ingest.swallowed == 0
            daemon.kill()
            daemon.start()
            publisher.await_told([item], "duplicate")
    look_into(daemon.state).check_indexed([item])


def test_message_that_breaks_off_in_its_middle_comes_again_whole(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            broken = proxy.pipe(INGEST)
            broken.down_left = 10_000
            sent = [publisher.send(next(photos)) for _ in range(3)]
            publisher.await_told(sent, "indexed")
            assert broken.down_left == 0
    assert not publisher.events("rejected", "duplicate")
    look_into(daemon.state).check_indexed(sent)


@pytest.mark.slow
def test_connection_that_goes_silent_is_noticed_and_what_was_sent_meanwhile_arrives(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port, keepalive_s=5))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            proxy.lose_everything()
            sent = [publisher.send(next(photos)) for _ in range(3)]
            publisher.await_told(sent, "indexed", timeout_s=3 * 5)
            assert publisher.told(*SETTLED) == set(sent)
            assert {"status": "offline"} not in [told.fields for told in publisher.heard]
    look_into(daemon.state).check_indexed(sent)


@pytest.mark.slow
def test_daemon_that_starts_before_its_broker_comes_online_with_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto))
    daemon.launch()
    try:
        daemon.await_log("no connection to the broker: [Errno 111] Connection refused")
        mosquitto.start()
        with daemon.requester() as client:
            client.wait_until_online(PATIENCE_S)
        daemon.stop()
    finally:
        daemon.kill()


@pytest.mark.parametrize("fault", ["killed", "silent"])
def test_daemon_that_cannot_reach_its_broker_ends_all_the_same(
    mosquitto: Mosquitto, tmp_path: Path, fault: str
) -> None:
    proxy = Proxy(mosquitto.host, mosquitto.port)
    with proxy, Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port)) as daemon:
        mosquitto.kill() if fault == "killed" else proxy.lose_everything()
        daemon.stop(timeout_s=5)


@pytest.mark.slow
def test_daemon_without_its_broker_goes_on_embedding_and_tells_of_it_afterwards(
    secure_broker: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(secure_broker, "dev1"))
    owner = reach(secure_broker, "owner")
    with daemon, Publisher(reach(secure_broker, "app"), daemon.topics) as publisher:
        with daemon.requester(mqtt=owner) as client:
            client.request(daemon.topics.control, {"op": "pause"}, PATIENCE_S)
            sent = [publisher.send(next(photos)) for _ in range(2 * BURST)]
            publisher.await_told(sent, "accepted")
            client.request(daemon.topics.control, {"op": "resume"}, PATIENCE_S)
        secure_broker.kill()
        gone_at = time.monotonic()
        wait_until_embedded(daemon.state)
        assert time.monotonic() - gone_at < 30
        told_before = publisher.told("indexed")
        time.sleep(max(0.0, gone_at + 60 - time.monotonic()))
        assert daemon.is_running
        secure_broker.start()
        publisher.await_told(sent, "indexed", timeout_s=BACK_S)
        following = publisher.send(next(photos))
        publisher.await_told([following], "indexed")
    assert len(told_before) < len(sent)
    assert len(publisher.events("indexed")) >= len(sent) + 1
    look_into(daemon.state).check_indexed([*sent, following])


def test_second_daemon_on_a_state_folder_ends_with_a_word_and_leaves_the_first_alone(
    daemon: Daemon, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    second = Daemon(folder=tmp_path / "second", mqtt=reach(mosquitto), state=daemon.state)
    second.launch()
    assert second.wait() == 1
    said = f"reminisce: {daemon.state} is in use by another process: stop it, or choose another state folder\n"
    assert second.log.read_text(encoding="utf-8") == said
    with daemon.requester() as client:
        assert client.request(daemon.topics.control, {"op": "ping"}, PATIENCE_S)["op"] == "ping"
    assert "ended" not in daemon.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_second_device_of_the_same_name_shows_in_both_logs(
    daemon: Daemon, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    second = Daemon(folder=tmp_path / "second", mqtt=reach(mosquitto))
    second.launch()
    try:
        for one in (daemon, second):
            one.await_log("is there another client named reminisce-dev1?")
    finally:
        second.kill()
