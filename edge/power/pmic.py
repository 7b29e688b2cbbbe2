"""The power chip of a Raspberry Pi 5, by `vcgencmd pmic_read_adc`: volts and amperes of twelve supplies.

What USB and HATs draw from the 5 V input passes it by, and so does the loss of its converters. `is_corrected` takes in
both by a fit that others published over whole boards: 1.1451 times the sum, and 0.588 W.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from edge.errors import MeterError
from edge.power.meter import Kind, Watts, plausible
from edge.power.sysfs import read_text

_BOARDS = re.compile(r"Raspberry Pi (5|Compute Module 5)")  # the 5 and the 500; older ones measure no current
_FACTOR, _OFFSET_W = 1.1451, 0.588
_PATIENCE_S = 0.5
# `3V3_SYS_A current(1)=0.05562801A`, `3V3_SYS_V volt(9)=3.29A`; older firmware: `3V3_SYS_A=0.05562801A`
_LINE = re.compile(r"^\s*(\w+)_([AV])(?: \w+\(\d+\))?=(-?[\d.]+)[AV]?\s*$", re.MULTILINE)


class Pmic:
    """Reads by a process of its own, some milliseconds each: ten a second slow a board down."""

    interval_s = 0.5

    def __init__(self, program: str, *, is_corrected: bool) -> None:
        self._program, self._is_corrected = program, is_corrected
        self.kind: Kind = "corrected" if is_corrected else "measured_rails"
        self.source = "Raspberry Pi PMIC" + (" times 1.1451 and 0.588 W on top" if is_corrected else "")

    def read(self) -> Watts:
        watts = rail_watts(self._ask())
        return plausible(watts * _FACTOR + _OFFSET_W if self._is_corrected else watts, self.source)

    def _ask(self) -> str:
        command = [self._program, "pmic_read_adc"]
        try:
            done = subprocess.run(  # noqa: S603 - the program is the caller's choice, not a user's text
                command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False
            )
        except OSError as error:
            raise MeterError(f"{self._program}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise MeterError(f"{self._program} gave no answer within {_PATIENCE_S} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().partition("\n")[0][:200]
            raise MeterError(f"{self._program}: {said}: it needs /dev/vcio, which the group video may use")
        return done.stdout


def rail_watts(text: str) -> float:
    """The sum over the supplies that have both volts and amperes. Raises MeterError when there is none."""
    values: dict[str, dict[str, float]] = {}
    try:
        for name, unit, value in _LINE.findall(text):
            values.setdefault(name, {})[unit] = float(value)
    except ValueError:
        raise MeterError(f"the PMIC says {value[:40]!r}, which is no number") from None
    products = [both["A"] * both["V"] for both in values.values() if len(both) == 2]
    if not products:
        raise MeterError("the PMIC names no supply with both its volts and its amperes")
    return sum(products)


def open_pmic(root: Path, program: str, *, is_corrected: bool) -> Pmic | None:
    """None on every other board, without starting the program. Raises MeterError."""
    model = root / "proc/device-tree/model"
    if not (model.exists() and _BOARDS.match(read_text(model))):
        return None
    return Pmic(program, is_corrected=is_corrected)
