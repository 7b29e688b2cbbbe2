"""Files of the kernel in which a driver says one number, or one word."""

from __future__ import annotations

from pathlib import Path

from edge.errors import MeterError


def read_text(path: Path) -> str:
    """Opened anew each time: a file kept open would outlive its sensor. Raises MeterError."""
    try:
        return path.read_text(encoding="utf-8").strip("\0\n ")
    except PermissionError:
        raise MeterError(f"{path} may not be read by this user") from None
    except OSError as error:
        raise MeterError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MeterError(f"{path} holds no text") from None


def read_number(path: Path) -> int:
    """Raises MeterError."""
    text = read_text(path)
    try:
        return int(text)
    except ValueError:
        raise MeterError(f"{path} says {text[:40]!r}, which is no number") from None


def hwmon_chips(root: Path, names: frozenset[str]) -> list[Path]:
    """Folders of the hwmon chips with one of these driver names, in the order of their addresses.

    The number in hwmonN changes from boot to boot. Raises MeterError.
    """
    folders = (root / "sys/class/hwmon").glob("hwmon*")
    return sorted((folder for folder in folders if read_text(folder / "name") in names), key=address)


def address(chip: Path) -> str:
    """Where the chip is on its bus, as `1-0040`; hwmonN where the kernel does not say."""
    device = chip / "device"
    return device.resolve().name if device.exists() else chip.name
