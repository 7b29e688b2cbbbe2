"""The time that is stored with items, on a board whose clock may be wrong until the network comes, and jumps then.

A board without a clock of its own boots in 1970, or at the time of its last shutdown. From the boot on time is counted
by a clock that nobody sets; when that began is taken from the system's clock, or, where that is evidently behind, from
the last item of the boot before. When the system's clock is set, what was stored since the boot moves along: the order
of items stays what it was, and so do the times between them.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import dataclass

from edge.memory.disk.boot import boot_id

RELEASE = 1_767_225_600.0  # 2026-01-01: a clock that says less has not been set
# Behind the last item by up to this, a clock goes on from a shutdown, or from a time that was saved before a power cut.
# By more, the item's clock was ahead, or this one is set back on purpose: it counts.
_SAVED_S = 86_400.0
# What a clock is set by that was right before, and what nobody sees in a date.
_STEP_S = 10.0
# A clock that was just set, or has just begun, may be set again: until the network has come it says nothing about age.
SETTLED_S = 600.0
_LATEST = "SELECT max(added_at, coalesce(seen_at, 0)) FROM items WHERE id < ? ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class _Setting:
    """The one row of the table `clock`. Times in seconds; of Unix time but for `since_s`.

    boot:    of the system
    lead:    the boot, by the system's clock as it was set last
    base:    the boot, by ours
    since_s: after the boot, when that was noticed
    first:   the first item that was stored since the boot
    """

    boot: str
    lead: float
    base: float
    since_s: float
    first: int


class Clock:
    """Of one memory. `follow` in the thread that writes, `now` in any."""

    def __init__(self) -> None:
        self._boot = boot_id() or uuid.uuid4().hex  # unknown: each start is taken for a boot
        self._setting: _Setting | None = None

    def follow(self, rows: sqlite3.Connection) -> float:
        """The time; notices a boot or that the system's clock was set. In a transaction, which must write the time."""
        up_s = _up_s()
        lead = time.time() - up_s
        found = rows.execute("SELECT boot, lead, base, since_s, first FROM clock").fetchone()
        setting = _Setting(*found) if found else None
        if setting is None or setting.boot != self._boot:
            (first,) = rows.execute("SELECT coalesce(max(id), 0) + 1 FROM items").fetchone()
            setting = _Setting(self._boot, lead, _base(rows, lead, up_s, first), up_s, first)
            _note(rows, setting)
        elif abs(lead - setting.lead) > _STEP_S:
            base = _base(rows, lead, up_s, setting.first, setting.base)
            _move(rows, setting, base - setting.base, setting.base + up_s)
            setting = _Setting(self._boot, lead, base, up_s, setting.first)
            _note(rows, setting)
        self._setting = setting
        return self.now()

    def now(self) -> float:
        """Seconds of Unix time, as of the last `follow`; goes on evenly whatever the system's clock does."""
        return _up_s() + self._setting.base if self._setting else time.time()

    @property
    def is_settled(self) -> bool:
        """Whether how old something is can be believed."""
        setting = self._setting
        return setting is not None and setting.base == setting.lead and _up_s() - setting.since_s >= SETTLED_S


def _up_s() -> float:
    """Seconds since the boot, those asleep included: the one clock that is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _base(rows: sqlite3.Connection, lead: float, up_s: float, first: int, otherwise: float | None = None) -> float:
    """The boot in Unix time, by the system's clock unless that is evidently behind."""
    found = rows.execute(_LATEST, (first,)).fetchone()
    latest = found[0] if found else 0.0
    now = lead + up_s
    if now >= RELEASE and not 0 < latest - now < _SAVED_S:
        return lead
    return max(lead, latest - up_s) if otherwise is None else otherwise


def _move(rows: sqlite3.Connection, since: _Setting, by_s: float, until: float) -> None:
    """What was stored since the boot. Sightings are told by their time, for they are of older items, too."""
    rows.execute("UPDATE items SET added_at = added_at + ? WHERE id >= ?", (by_s, since.first))
    rows.execute("UPDATE items SET seen_at = seen_at + ? WHERE seen_at BETWEEN ? AND ?", (by_s, since.base, until))


def _note(rows: sqlite3.Connection, setting: _Setting) -> None:
    rows.execute("DELETE FROM clock")
    values = (setting.boot, setting.lead, setting.base, setting.since_s, setting.first)
    rows.execute("INSERT INTO clock VALUES (?, ?, ?, ?, ?)", values)
