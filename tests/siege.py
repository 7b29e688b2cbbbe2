"""A daemon under siege: on a broker of its own, with somebody who feels its pulse and somebody who hears all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from brokers import Mosquitto, plain_mosquitto
from daemons import Daemon, reach
from ears import Ears
from pulse import Pulse

LONGEST_GAP_MS = 250  # on two quiet cores
QUIET = 0.15  # cores that programs which are no part of the test may take


@dataclass(frozen=True, slots=True)
class Siege:
    daemon: Daemon
    ears: Ears
    broker: Mosquitto
    pulse: Pulse

    @property
    def anonymous_mb(self) -> float:
        """Memory that the system cannot take back."""
        status = Path(f"/proc/{self.daemon.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("RssAnon:")[2].split()[0]) / 1024

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
            pulse.start(daemon)
            yield Siege(daemon, ears, broker, pulse)


@contextmanager
def unharmed(siege: Siege, name: str) -> Iterator[None]:
    """The daemon must be the same one afterwards, and must never have been silent in between."""
    pid, before = siege.daemon.pid, _Load.of(siege)
    siege.pulse.feel()
    yield
    assert siege.daemon.is_running
    assert siege.daemon.pid == pid
    beat, load = siege.pulse.feel(), _Load.of(siege)
    others = before.others_until(load)
    said = f"{beat}, {siege.anonymous_mb:.0f} MB anonymous, others took {others:.2f} cores"
    sys.stdout.write(f"\n{name} ({load.at - before.at:.1f} s): {said}\n")
    assert beat.lost == 0
    if others <= QUIET:  # else it is not the daemon that is measured
        assert beat.ping_ms <= LONGEST_GAP_MS
        assert beat.watchdog_ms <= LONGEST_GAP_MS


@dataclass(frozen=True, slots=True)
class _Load:
    """Seconds of processor so far: of the whole machine, and of the test."""

    at: float
    busy: float
    ours: float

    @classmethod
    def of(cls, siege: Siege) -> _Load:
        times = psutil.cpu_times()
        return cls(time.monotonic(), sum(times) - times.idle - times.iowait, siege.seconds_of_processor())

    def others_until(self, later: _Load) -> float:
        """Cores that others took in between."""
        return max(0.0, (later.busy - self.busy - later.ours + self.ours) / (later.at - self.at))


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with besiege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege


@pytest.fixture
def siege(besieged: Siege, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Siege]:
    with capsys.disabled(), unharmed(besieged, request.node.name):
        yield besieged
