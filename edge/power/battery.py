"""The battery that the whole board runs from, while it runs from it. Source: Linux, power_supply class (µW, µV, µA)."""

from __future__ import annotations

from pathlib import Path

from edge.errors import MeterError
from edge.power.meter import Kind, Watts, plausible
from edge.power.sysfs import read_number, read_text


class Battery:
    """All batteries that discharge; one on the mains says what it is charged with, which is none of our business."""

    kind: Kind = "measured_board"
    interval_s = 1.0  # most fuel gauges have a new value every few seconds

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self.source = f"battery {' + '.join(folder.name for folder in folders)}"

    def read(self) -> Watts:
        states = {folder: read_text(folder / "status") for folder in self._folders}
        discharging = [folder for folder, state in states.items() if state == "Discharging"]
        if not discharging:
            raise MeterError(f"{self.source} is {', '.join(states.values())}: it measures only what it gives")
        return plausible(sum(_watts(folder) for folder in discharging), self.source)


def _watts(folder: Path) -> float:
    power = folder / "power_now"
    if power.exists():
        return abs(read_number(power)) / 1e6  # some drivers say what is given as negative
    return read_number(folder / "voltage_now") * abs(read_number(folder / "current_now")) / 1e12


def open_battery(root: Path) -> Battery | None:
    """None when the board has none of its own: those of mice and the like have the scope Device. Raises MeterError."""
    folders = [
        folder
        for folder in sorted((root / "sys/class/power_supply").glob("*"))
        if read_text(folder / "type") == "Battery" and not _is_of_a_device(folder)
    ]
    return Battery(folders) if folders else None


def _is_of_a_device(folder: Path) -> bool:
    scope = folder / "scope"
    return scope.exists() and read_text(scope) == "Device"
