"""Ten times `kill -9` of the daemon while items come in: what it reported as accepted is there, and once.

Fifty more, of an engine without a broker, are in test_kill.py.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from memories import Remains, look_into, wait_until_embedded
from publishers import SETTLED, Publisher, distinct

SEED = secrets.randbits(32)  # a new one each time, and printed: put it here for the same moments again
BURST = 20  # items a life: some 0.4 s of work
DRAIN_S = 0.1  # what the daemon sent before it was killed has come then


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at most `longest_s` seconds after the daemon came that far with a new burst."""

    reached: str
    longest_s: float


# Most delays are much shorter than the longest, and the longest reach the next phase.
MOMENTS = (
    [Moment("launched", 0.5)] * 2 + [Moment("sent", 0.2)] * 4 + [Moment("accepted", 0.3)] * 3 + [Moment("indexed", 0.3)]
)


@dataclass(frozen=True, slots=True)
class Landing:
    """Where one kill fell, in numbers of items.

    unsaid:      sent, and neither `accepted` nor `duplicate` so far
    on_disk:     of these, committed already: the kill fell between commit and acknowledgement
    waiting:     committed, their embedding is being computed or waits for its turn
    was_serving: it had come as far as the broker
    """

    moment: Moment
    unsaid: int
    on_disk: int
    waiting: int
    was_serving: bool

    def __str__(self) -> str:
        where = "serving" if self.was_serving else "starting"
        numbers = f"{self.unsaid} unacknowledged ({self.on_disk} of them on disk), {self.waiting} waiting"
        return f"after {self.moment.reached}, while {where}: {numbers}"


def come_that_far(daemon: Daemon, publisher: Publisher, moment: Moment, burst: Iterator[bytes]) -> None:
    """Start the daemon, and send a burst that is not only a leftover of the life before."""
    (daemon.launch if moment.reached == "launched" else daemon.start)()
    sent = [publisher.send(next(burst)) for _ in range(BURST)]
    if moment.reached in {"accepted", "indexed"}:
        wanted = SETTLED if moment.reached == "accepted" else ("indexed",)
        publisher.await_first(sent, *wanted)


def land(daemon: Daemon, publisher: Publisher, moment: Moment, written: int) -> Landing:
    """Kill, and look at what is left: all that was reported is there, whole, once."""
    daemon.kill()
    time.sleep(DRAIN_S)
    said, remains = publisher.told(*SETTLED), look_into(daemon.state)
    remains.check_accepted(said)
    return Landing(
        moment,
        unsaid=len(publisher.sent.keys() - said),
        on_disk=len(remains.records.keys() - said),
        waiting=sum(record.is_waiting for record in remains.records.values()),
        was_serving=b"-ingest: connected" in daemon.log.read_bytes()[written:],
    )


def kill_often(daemon: Daemon, publisher: Publisher, burst: Iterator[bytes]) -> list[Landing]:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    landings = []
    for moment in chance.sample(MOMENTS, len(MOMENTS)):
        written = daemon.log.stat().st_size
        come_that_far(daemon, publisher, moment, burst)
        time.sleep(moment.longest_s * chance.random() ** 2)
        landings.append(land(daemon, publisher, moment, written))
    return landings


def finish(daemon: Daemon, publisher: Publisher) -> Remains:
    """Let it come to an end by itself: nothing is sent again."""
    daemon.start()
    wait_until_embedded(daemon.state, len(publisher.sent))
    daemon.stop()
    return look_into(daemon.state)


def print_landings(config: pytest.Config, landings: list[Landing], publisher: Publisher) -> None:
    writer = config.get_terminal_writer()
    writer.line(f"\nseed {SEED}")
    for number, landing in enumerate(landings, 1):
        writer.line(f"kill {number:2}: {landing}")
    writer.line(f"{len(publisher.sent)} items sent once; {len(publisher.told('duplicate'))} told as duplicate")


@pytest.mark.slow
def test_kill_at_any_moment_loses_nothing_that_was_accepted_and_nothing_that_was_sent(
    mosquitto: Mosquitto,
    tmp_path: Path,
    pictures: list[Path],
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    daemon, burst = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto)), distinct(pictures)
    with daemon, Publisher(reach(mosquitto), daemon.topics) as publisher:
        daemon.stop()  # from here on the broker keeps what is sent
        landings = kill_often(daemon, publisher, burst)
        remains = finish(daemon, publisher)
        with capsys.disabled():
            print_landings(pytestconfig, landings, publisher)

    remains.check_indexed(publisher.sent.keys())
    assert publisher.told(*SETTLED) == publisher.sent.keys()
    serving = [landing for landing in landings if landing.was_serving]
    assert len(landings) == len(MOMENTS)
    assert sum(landing.unsaid > 0 or landing.waiting > 0 for landing in serving) >= 5
    assert sum(landing.unsaid > 0 for landing in serving) >= 1
    assert sum(landing.waiting > 0 for landing in serving) >= 3
