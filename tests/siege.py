"""A daemon under siege: on a broker of its own, with somebody who feels its pulse and somebody who hears all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from brokers import Mosquitto, plain_mosquitto
from daemons import Daemon, reach
from ears import Ears
from edge.mqtt import Outgoing
from hostile import png
from processes import anonymous_mb
from pulse import Pulse

LONGEST_GAP_MS = 250  # on two quiet cores; of a ping, without what the broker takes to send us a message of our own
QUIET = 0.15  # cores that programs which are no part of the test may take


@dataclass(frozen=True, slots=True)
class Siege:
    daemon: Daemon
    ears: Ears
    broker: Mosquitto
    pulse: Pulse
    notes: list[str] = field(default_factory=list)

    @property
    def anonymous_mb(self) -> float:
        return anonymous_mb(self.daemon.pid)

    def warm_up(self) -> None:
        """Every file of the model is loaded, and what that takes is no news afterwards."""
        self.ears.say(Outgoing(self.daemon.topics.raw("image"), png(64, 64, 2)))
        self.ears.wait_for(lambda: self.ears.outcomes["indexed"] == 1, "the first picture")
        with self.daemon.requester() as client:
            assert client.request(self.daemon.topics.query, {"text": "a square"}, 60)["refined"] == 1

    def seconds_of_processor(self) -> float:
        """Spent so far by everything that is part of the test."""
        assert self.broker._process is not None
        ours = (self.daemon.pid, self.broker._process.pid, self.pulse.pid, os.getpid())
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in ours)


@contextmanager
def besiege(folder: Path, protocol: Any = 5) -> Iterator[Siege]:
    """Runs in between. `protocol` is the daemon's alone: who attacks and who listens speak MQTT 5."""
    with plain_mosquitto(folder) as broker, Pulse(folder / "notify.sock") as pulse:
        mqtt = reach(broker, protocol=protocol)
        config = {"remember": {"exit_depth": 8}, "recall": {"pool": 4}}
        with (
            Daemon(folder=folder / "daemon", mqtt=mqtt, config=config, environ=pulse.environ) as daemon,
            Ears(reach(broker), daemon.topics) as ears,
        ):
            siege = Siege(daemon, ears, broker, pulse)
            siege.warm_up()
            pulse.start(daemon)
            yield siege


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a siege at one moment. busy, ours: seconds of processor, of the machine and of the test."""

    siege: Siege
    pid: int
    at: float
    busy: float
    ours: float

    @classmethod
    def at_once(cls, siege: Siege) -> Look:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - times.iowait
        return cls(siege, siege.daemon.pid, time.monotonic(), busy, siege.seconds_of_processor())

    def judge(self, name: str, longest_ms: float = LONGEST_GAP_MS) -> None:
        """The daemon must be the same one as then, and must never have been silent since; prints what was felt."""
        beat, now = self.siege.pulse.feel(), Look.at_once(self.siege)
        others = max(0.0, (now.busy - self.busy - now.ours + self.ours) / (now.at - self.at))
        said = f"{beat}, {self.siege.anonymous_mb:.0f} MB anonymous, others took {others:.2f} cores"
        said += "".join(f"; {note}" for note in self.siege.notes)
        sys.stdout.write(f"\n{name} ({now.at - self.at:.1f} s): {said}\n")
        assert self.siege.daemon.is_running
        assert now.pid == self.pid
        assert beat.lost == 0
        if others <= QUIET:  # else it is not the daemon that is measured
            assert beat.ping_ms - beat.broker_ms <= longest_ms
            assert beat.watchdog_ms <= LONGEST_GAP_MS


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with besiege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege


@pytest.fixture
def siege(besieged: Siege, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Siege]:
    """The daemon of the module; the test fails if it is harmed."""
    besieged.notes.clear()
    besieged.pulse.feel()
    before = Look.at_once(besieged)
    yield besieged
    with capsys.disabled():
        before.judge(request.node.name)
