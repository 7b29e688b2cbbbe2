"""The broker dies, the network fails: the daemon comes back by itself, and nothing that was accepted is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from memories import count, look_into
from proxies import Proxy
from publishers import PATIENCE_S, SETTLED, Publisher, distinct, wait_for

SEED = 20251125
BURST = 16
LOSSES = 6
BACK_S = 45  # the slowest retry, 30 s, and some for the work behind it
# Mosquitto answers a publisher up to 3 ms before it writes: of 480 items whose broker was killed at the first answer
# of twelve, 10 were lost, and none that was older.
WRITTEN_S = 0.05
PUBACK_BYTES = 4


@pytest.fixture
def photos(pictures: list[Path]) -> Iterator[bytes]:
    return distinct(pictures)


def wait_until_all_is_indexed(daemon: Daemon, items: int, timeout_s: float = PATIENCE_S) -> None:
    wait_for(lambda: count(daemon.state) == (items, 0), timeout_s, lambda: f"{count(daemon.state)}, not {items}, 0")


def lose_broker(broker: Mosquitto, publisher: Publisher, photos: Iterator[bytes], delay_s: float) -> set[str]:
    """Kill it so long after it took the first of a burst, start it again. What it had acknowledged and written."""
    sent = {publisher.send(next(photos)) for _ in range(BURST)}
    wait_for(lambda: bool(sent & publisher.taken_by_broker(time.monotonic())), PATIENCE_S, lambda: "no PUBACK")
    time.sleep(delay_s)
    written = publisher.taken_by_broker(time.monotonic() - WRITTEN_S)
    broker.kill()
    broker.start()
    return written


@pytest.mark.slow
def test_broker_that_is_killed_and_started_again_has_lost_nothing_that_it_acknowledged(
    secure_broker: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    written: set[str] = set()
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(secure_broker, "dev1"))
    with daemon, Publisher(reach(secure_broker, "app"), daemon.topics) as publisher:
        for _ in range(LOSSES):
            written |= lose_broker(secure_broker, publisher, photos, 0.3 * chance.random())
        last = publisher.send(next(photos))
        publisher.await_told([last], "indexed", timeout_s=BACK_S)  # sent last, it came last
        wait_for(lambda: count(daemon.state)[1] == 0, PATIENCE_S, lambda: f"{count(daemon.state)}")
    remains = look_into(daemon.state)
    remains.check_accepted(written | publisher.told(*SETTLED))
    remains.check_indexed(remains.records.keys())
    assert len(written) > BURST
    assert daemon.log.read_text(encoding="utf-8").count("-ingest: the connection to the broker ended") > LOSSES // 2


def test_message_whose_acknowledgement_is_lost_comes_again_and_is_kept_once(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            pipe = proxy.pipe("-ingest")
            pipe.loses_up.set()
            item = publisher.send(next(photos))
            publisher.await_told([item], "accepted")
            wait_for(lambda: pipe.swallowed == PUBACK_BYTES, PATIENCE_S, lambda: f"swallowed {pipe.swallowed} bytes")
            assert not publisher.told("duplicate")
            pipe.close()
            publisher.await_told([item], "duplicate")
            following = publisher.send(next(photos))
            publisher.await_told([item, following], "indexed")
    assert [event["type"] for event in publisher.events(*SETTLED)] == ["accepted", "duplicate", "accepted"]
    assert [event["item"] for event in publisher.events("indexed")] == [item, following]
    look_into(daemon.state).check_indexed([item, following])


def test_message_that_breaks_off_in_its_middle_comes_again_whole(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    with Proxy(mosquitto.host, mosquitto.port) as proxy:
        daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, port=proxy.port))
        with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
            broken = proxy.pipe("-ingest")
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
        wait_until_all_is_indexed(daemon, len(sent))
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
