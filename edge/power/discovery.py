"""Which meter there is: the first of a fixed order that can be read now, and why it is not an earlier one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from edge.config import MeterName, PowerConfig
from edge.power.battery import open_battery
from edge.power.estimate import open_estimate
from edge.power.hwmon import open_hwmon
from edge.power.i2c import I2cMeter
from edge.power.meter import Meter
from edge.power.pmic import open_pmic
from edge.power.rails import open_jetson
from edge.power.rapl import open_rapl

VCGENCMD = "vcgencmd"
ROOT = Path("/")
AUTO = PowerConfig()
_Open: TypeAlias = Callable[[], "Meter | None"]


@dataclass(frozen=True, slots=True)
class Found:
    """The meter, None where there is none; which of the order it is, and why it is that one, for people."""

    meter: Meter | None
    name: MeterName
    why: str


def find_meter(
    config: PowerConfig = AUTO, root: Path = ROOT, vcgencmd: str = VCGENCMD, above: MeterName | None = None
) -> Found:
    """The best meter that can be read now, or that the config names; an estimate where that one cannot.

    root:  of the file system, for sysfs, procfs and devices; vcgencmd: program of the Raspberry Pi's firmware
    above: look only for what comes before this one in the order
    """
    order = _order(config, root, vcgencmd)
    names = list(order)
    reasons = []
    for name in names[: names.index(above)] if above in order else names:
        try:
            meter = order[name]()
            if meter is None:
                if name == config.meter:
                    reasons.append(f"{name}: this board has none")
                continue
            meter.read()
        except OSError as error:  # MeterError is one; the others come of looking whether a file exists
            reasons.append(f"{name}: {error}")
        else:
            return Found(meter, name, "; ".join(reasons) or _praise(config, name))
    return Found(None, "none", "; ".join(reasons) or "power.meter is none")


def _order(config: PowerConfig, root: Path, vcgencmd: str) -> dict[MeterName, _Open]:
    """How to open each, the best first: what sees the whole board before what sees a part of it."""
    chip = config.i2c_chip
    every: dict[MeterName, _Open] = {
        "hwmon": lambda: open_hwmon(root),
        "i2c": lambda: I2cMeter(chip, root) if chip else None,
        "jetson": lambda: open_jetson(root),
        "pmic": lambda: open_pmic(root, shutil.which(vcgencmd) or vcgencmd, is_corrected=False),
        "pmic-corrected": lambda: open_pmic(root, shutil.which(vcgencmd) or vcgencmd, is_corrected=True),
        "rapl": lambda: open_rapl(root),
        "battery": lambda: open_battery(root),
        "estimate": lambda: open_estimate(root, config.idle_w),
    }
    if config.meter == "none":
        return {}
    if config.meter == "auto":
        del every["pmic-corrected"]  # somebody's fit over other boards: for those who ask for it
        return every
    return {name: open_ for name, open_ in every.items() if name in {config.meter, "estimate"}}


def _praise(config: PowerConfig, name: MeterName) -> str:
    if name == config.meter:
        return f"power.meter is {name}"
    return "no sensor was found" if name == "estimate" else "the best sensor that was found"
