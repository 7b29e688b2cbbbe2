"""The thread that reads the meter, and changes to the next best when it is gone, and back when it is there again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.config import MeterName, PowerConfig
from edge.power.baseline import Baseline
from edge.power.discovery import ROOT, VCGENCMD, Found, find_meter
from edge.power.integral import Integral, Interval, Window
from edge.power.ledger import Ledger
from edge.power.meter import Kind
from edge.threads import Threaded, Worker

GRACE_S = 0.7  # how long a meter may fail before another takes its place: one lost reading on a bus is no loss
LOOK_S = 5.0  # how often a better meter is looked for
MEAN_S = 10.0  # what `watts` is the mean of
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What the board takes now. source: which sensor; why: it is that one.

    watts:  the mean of the last ten seconds; None before there are two readings
    idle_w: of the board with nothing to do, and how long ago that was measured; None where it is not known, and without
    an age where the config says it
    """

    kind: Kind = "none"
    source: str = ""
    why: str = ""
    watts: float | None = None
    idle_w: float | None = None
    idle_age_s: float | None = None


class Sampler(Threaded):
    """A context manager: its thread runs in between, and `ledger` gets what it measures.

    root, vcgencmd: see `find_meter`
    failed:         called in the thread with what ended it
    """

    def __init__(
        self,
        config: PowerConfig,
        ledger: Ledger,
        failed: Callable[[BaseException], None] = lambda _: None,
        root: Path = ROOT,
        vcgencmd: str = VCGENCMD,
    ) -> None:
        self._config, self._ledger, self._root, self._vcgencmd = config, ledger, root, vcgencmd
        self._baseline = Baseline(root)
        self._integral = Integral()
        self._recent = Window(MEAN_S)
        self._changing = threading.Lock()  # `now` must not see half a change of meters
        self._found = Found(None, "none", "not started")
        self._good_at = self._look_at = 0.0
        self._stopping = threading.Event()
        self._worker = Worker("power", self._run, self._stopping.set, failed)

    def __enter__(self) -> Sampler:
        self._change(self._find())
        return super().__enter__()

    def now(self) -> Power:
        """What the board takes. Any thread may ask."""
        with self._changing:
            meter, now = self._found.meter, time.monotonic()
            if meter is None:
                return Power(why=self._found.why)
            return Power(
                kind=meter.kind,
                source=meter.source,
                why=self._found.why,
                watts=self._recent.mean_w(),
                idle_w=self._idle_w(now),
                idle_age_s=None if self._config.idle_w is not None else self._baseline.age_s(now),
            )

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s()):
            self._step()

    def _pause_s(self) -> float | None:
        if self._config.meter == "none":
            return None  # until the end
        interval_s = self._config.interval_ms / 1e3
        return max(interval_s, self._found.meter.interval_s) if self._found.meter else LOOK_S

    def _step(self) -> None:
        meter, started = self._found.meter, time.monotonic()
        if meter is not None:
            try:
                reading = meter.read()
            except OSError as error:  # MeterError is one
                if time.monotonic() - self._good_at >= GRACE_S:
                    _log.warning("the power meter is gone: %s", error)
                    self._change(self._find())
                return
            now = self._good_at = time.monotonic()
            self._keep(meter.kind, self._integral.add(reading, now), now)
        if started >= self._look_at:
            self._look_at = started + LOOK_S
            better = self._find(above=self._found.name if meter is not None else None)
            if better.meter is not None:
                self._change(better)

    def _keep(self, kind: Kind, interval: Interval | None, now: float) -> None:
        if interval is None:  # the first reading of a meter, or what came before it is not known
            self._ledger.drop()
            with self._changing:
                self._recent.clear()
                self._baseline.interrupt()
            return
        is_idle = self._ledger.add(kind, interval, self._idle_w(now))
        with self._changing:
            self._recent.add(interval)
            if is_idle:
                self._baseline.add(interval, now)
            else:
                self._baseline.interrupt()

    def _idle_w(self, now: float) -> float | None:
        return self._baseline.watts(now) if self._config.idle_w is None else self._config.idle_w

    def _find(self, above: MeterName | None = None) -> Found:
        return find_meter(self._config, self._root, self._vcgencmd, above)

    def _change(self, found: Found) -> None:
        """Nothing of the meter before is mixed with what this one says."""
        with self._changing:
            is_news = (found.name, found.why) != (self._found.name, self._found.why)
            self._found = found
            self._integral = Integral()
            self._recent.clear()
            self._baseline.forget()
        self._good_at = time.monotonic()
        self._look_at = self._good_at + LOOK_S
        if is_news:
            what = f"{found.meter.kind} by {found.meter.source}" if found.meter else "not measured"
            _log.info("power is %s (%s)", what, found.why)
