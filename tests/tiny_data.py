"""Tiny pictures, sounds and tables, for data sets of a test's own."""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def picture(number: int, kind: str = "PNG") -> bytes:
    """A picture unlike those of other numbers."""
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sound(number: int, samples: int = 50) -> bytes:
    """A WAV file unlike those of other numbers."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 44_100, samples, "NONE", ""))
        out.writeframes(np.random.default_rng(number).integers(-99, 99, samples, dtype=np.int16).tobytes())
    return file.getvalue()


def write(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files with the folders that they need."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_table(file: Path, *rows: Iterable[str]) -> Path:
    """Write a CSV table, its header first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    return file


def write_har(folder: Path, side: str, activities: Sequence[int], windows: npt.NDArray[np.float32]) -> Path:
    """Write one side of UCI HAR: N activities, (N, 128, 9) windows."""
    signals = folder / side / "Inertial Signals"
    signals.mkdir(parents=True)
    (folder / side / f"y_{side}.txt").write_text("".join(f"{number}\n" for number in activities))
    channels = [f"{kind}_{axis}" for kind in ("body_acc", "body_gyro", "total_acc") for axis in "xyz"]
    for number, channel in enumerate(channels):
        np.savetxt(signals / f"{channel}_{side}.txt", windows[:, :, number], fmt="%16.7e")
    return folder
