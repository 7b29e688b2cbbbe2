"""Stopped, killed, or out of room: the daemon says so, ends well, and goes on where it was."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from disks import Disk
from memories import look_into, wait_until_embedded
from publishers import PATIENCE_S, SETTLED, Publisher, distinct
from waiting import wait_until

QUICK_S = 5.0  # one batch, one commit, one question
STATE_S = 10.0 + QUICK_S  # how often the state is told


@pytest.fixture
def photos(pictures: list[Path]) -> Iterator[bytes]:
    return distinct(pictures)


@pytest.fixture
def publisher(mosquitto: Mosquitto, daemon: Daemon) -> Iterator[Publisher]:
    with Publisher(reach(mosquitto), daemon.topics) as connected:
        yield connected


def send(publisher: Publisher, photos: Iterator[bytes], number: int) -> list[str]:
    return [publisher.send(next(photos)) for _ in range(number)]


def obey(publisher: Publisher, op: str) -> None:
    """Returns when the order was carried out, and all that was asked before it has arrived."""
    name = publisher.ask(publisher.topics.control, op=op)
    wait_until(lambda: bool(publisher.replies(name)), f"an answer to {op}", PATIENCE_S)


def answer(publisher: Publisher) -> dict[str, Any]:
    name = publisher.ask(publisher.topics.query, text="a dog", limit=1)
    wait_until(lambda: bool(publisher.replies(name)), "an answer", PATIENCE_S)
    return publisher.replies(name)[0]


def statuses(publisher: Publisher) -> list[str]:
    return [told.fields["status"] for told in publisher.heard if told.topic == publisher.topics.status]


def await_state(publisher: Publisher, busy: str | None) -> None:
    state = publisher.topics.state
    wait_until(
        lambda: publisher.last(state).get("busy") == busy, lambda: f"busy: {busy} in {publisher.last(state)}", STATE_S
    )


def await_gate(publisher: Publisher, *expected: tuple[str, str | None]) -> None:
    """All that was said of the inbox so far."""

    def said() -> list[tuple[str, str | None]]:
        return [(event["type"], event.get("reason")) for event in publisher.events("busy", "ready")]

    wait_until(lambda: said() == list(expected), lambda: f"{expected} in {said()}", PATIENCE_S)


def retained_status(daemon: Daemon) -> str:
    with daemon.requester() as client:
        wait_until(lambda: bool(client.status), "a status", PATIENCE_S)
        return client.status


def test_sigterm_while_items_come_in_ends_within_seconds_and_loses_none(
    daemon: Daemon, publisher: Publisher, photos: Iterator[bytes]
) -> None:
    sent = send(publisher, photos, 60)
    publisher.await_first(sent, "accepted")
    daemon.stop(QUICK_S)
    assert retained_status(daemon) == "offline"
    remains = look_into(daemon.state)
    remains.check_accepted(publisher.told(*SETTLED))
    assert not all(record.embeddings for record in remains.records.values())
    daemon.start()
    wait_until_embedded(daemon.state, 60)
    daemon.stop()
    look_into(daemon.state).check_indexed(sent)
    assert publisher.told(*SETTLED) == set(sent)


def test_more_sigterms_change_nothing(daemon: Daemon, publisher: Publisher, photos: Iterator[bytes]) -> None:
    publisher.await_first(send(publisher, photos, 20), "accepted")
    until = time.monotonic() + QUICK_S
    while daemon.is_running and time.monotonic() < until:
        daemon.signal(signal.SIGTERM)
        time.sleep(0.002)
    assert daemon.wait(QUICK_S) == 0
    assert "Traceback" not in daemon.log.read_text(encoding="utf-8")
    look_into(daemon.state).check_accepted(publisher.told(*SETTLED))


def test_every_question_that_waits_at_the_stop_gets_one_reply(
    daemon: Daemon, publisher: Publisher, photos: Iterator[bytes]
) -> None:
    publisher.await_told(send(publisher, photos, 20), "indexed")
    asked = [publisher.ask(publisher.topics.query, text=f"{number} dogs") for number in range(40)]
    obey(publisher, "ping")
    daemon.stop(QUICK_S)
    wait_until(lambda: all(publisher.replies(name) for name in asked), "a reply to each", QUICK_S)
    replies = [publisher.replies(name) for name in asked]
    assert {len(found) for found in replies} == {1}
    codes = [found[0].get("error", {}).get("code") for found in replies]
    assert set(codes) == {None, "stopping"}
    assert codes == sorted(codes, key=bool)  # in the order of asking
    assert all(found[0]["final"] for found in replies)


def test_items_that_wait_at_the_stop_are_embedded_after_the_next_start(
    daemon: Daemon, publisher: Publisher, photos: Iterator[bytes]
) -> None:
    obey(publisher, "pause")
    sent = send(publisher, photos, 20)
    publisher.await_told(sent, "accepted")
    daemon.stop(QUICK_S)
    assert all(record.is_waiting for record in look_into(daemon.state).records.values())
    daemon.start()
    publisher.await_told(sent, "indexed")
    daemon.stop()
    look_into(daemon.state).check_indexed(sent)


@pytest.mark.slow
def test_killed_device_shows_as_offline_after_ten_seconds_unless_it_is_back(
    daemon: Daemon, publisher: Publisher
) -> None:
    daemon.kill()
    time.sleep(2)
    daemon.start()
    daemon.kill()
    killed_at = time.monotonic()
    wait_until(lambda: statuses(publisher)[-1] == "offline", lambda: f"offline in {statuses(publisher)}", 30)
    assert 9.5 < time.monotonic() - killed_at < 20
    assert statuses(publisher) == ["online", "online", "offline"]
    assert retained_status(daemon) == "offline"


def test_killed_device_of_mqtt_3_shows_as_offline_at_once(mosquitto: Mosquitto, tmp_path: Path) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto, protocol="3.1.1"))
    with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
        wait_until(lambda: statuses(publisher) == ["online"], lambda: f"the next in {statuses(publisher)}", QUICK_S)
        daemon.kill()
        wait_until(lambda: statuses(publisher)[-1] == "offline", lambda: f"the next in {statuses(publisher)}", QUICK_S)


@pytest.mark.slow
@pytest.mark.parametrize("min_free_mb", [0, 1])
def test_full_disk_holds_what_comes_answers_what_is_asked_and_goes_on_once_there_is_room(
    mosquitto: Mosquitto, disk: Disk, tmp_path: Path, photos: Iterator[bytes], min_free_mb: int
) -> None:
    config = {"remember": {"min_free_mb": min_free_mb}}
    daemon = Daemon(folder=tmp_path / "daemon", state=disk.state, mqtt=reach(mosquitto), config=config)
    with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
        before = send(publisher, photos, 5)
        publisher.await_told(before, "indexed")
        disk.fill_up_to(200_000)
        held = send(publisher, photos, 100)
        await_gate(publisher, ("busy", "disk_full"))
        if min_free_mb:
            await_state(publisher, "disk_full")
        assert answer(publisher)["searched"] >= len(before)
        assert not publisher.told(*SETTLED) >= set(held)
        await_gate(publisher, ("busy", "disk_full"))
        disk.make_room()
        publisher.await_told(held, "indexed")
        await_gate(publisher, ("busy", "disk_full"), ("ready", None))
        if min_free_mb:
            await_state(publisher, None)
    look_into(daemon.state).check_indexed([*before, *held])


@pytest.mark.slow
def test_killed_on_a_full_disk_it_starts_again_and_has_all_that_it_accepted(
    mosquitto: Mosquitto, disk: Disk, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    config = {"remember": {"min_free_mb": 0}}
    daemon = Daemon(folder=tmp_path / "daemon", state=disk.state, mqtt=reach(mosquitto), config=config)
    with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
        disk.fill_up_to(1_000_000)
        sent = send(publisher, photos, 100)
        await_gate(publisher, ("busy", "disk_full"))
        daemon.kill()
        look_into(daemon.state).check_accepted(publisher.told(*SETTLED))
        disk.make_room()
        daemon.start()
        wait_until_embedded(daemon.state, 100)
    look_into(daemon.state).check_indexed(sent)


@pytest.mark.slow
def test_full_inbox_holds_what_comes_and_goes_on_once_it_is_emptied(
    mosquitto: Mosquitto, tmp_path: Path, photos: Iterator[bytes]
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config={"remember": {"inbox_items": 5}})
    with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
        obey(publisher, "pause")
        sent = send(publisher, photos, 150)  # more than it holds in memory
        await_gate(publisher, ("busy", "full"))
        await_state(publisher, "full")
        accepted = publisher.told("accepted")
        assert 5 <= len(accepted) < 5 + 32  # a group is taken as a whole
        assert answer(publisher)["searched"] == 0
        obey(publisher, "resume")
        publisher.await_told(sent, "indexed")
        assert publisher.events("busy", "ready")[-1]["type"] == "ready"
    look_into(daemon.state).check_indexed(sent)
