"""A daemon under siege: on a broker of its own, with somebody who feels its pulse and somebody who hears all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto, plain_mosquitto
from daemons import Daemon, reach
from ears import Ears
from pulse import Beat, Pulse

LONGEST_GAP_MS = 250  # on two quiet cores


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


@contextmanager
def besiege(folder: Path, protocol: Any = 5) -> Iterator[Siege]:
    """Runs in between. `protocol` is the daemon's alone: who attacks and who listens speak MQTT 5."""
    with plain_mosquitto(folder) as broker, Pulse(folder / "notify.sock") as pulse:
        mqtt = reach(broker, protocol=protocol)
        config = {"remember": {"exit_depth": 8}, "recall": {"pool": 4}}
        environ = {**pulse.environ, "MALLOC_ARENA_MAX": "2"}  # as the unit says
        with (
            Daemon(folder=folder / "daemon", mqtt=mqtt, config=config, environ=environ) as daemon,
            Ears(reach(broker), daemon.topics) as ears,
        ):
            pulse.start(daemon)
            yield Siege(daemon, ears, broker, pulse)


@contextmanager
def unharmed(siege: Siege, name: str) -> Iterator[None]:
    """The daemon must be the same one afterwards, and must never have been silent in between."""
    pid, began = siege.daemon.pid, time.monotonic()
    siege.pulse.feel()
    yield
    beat, seconds = siege.pulse.feel(), time.monotonic() - began
    sys.stdout.write(f"\n{name} ({seconds:.1f} s): {beat}, {siege.anonymous_mb:.0f} MB anonymous\n")
    assert siege.daemon.is_running
    assert siege.daemon.pid == pid
    check_pulse(beat)


def check_pulse(beat: Beat) -> None:
    """Never longer than LONGEST_GAP_MS, but for what other programs took of the processor."""
    assert beat.lost == 0
    assert beat.ping_ms - beat.noise_ms <= LONGEST_GAP_MS
    assert beat.watchdog_ms - beat.noise_ms <= LONGEST_GAP_MS


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with besiege(tmp_path_factory.mktemp("siege")) as siege:
        yield siege


@pytest.fixture
def siege(besieged: Siege, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Siege]:
    with capsys.disabled(), unharmed(besieged, request.node.name):
        yield besieged
