"""UCI HAR: windows of a phone's motion while people walk, sit, stand or lie, official layout (Anguita et al. 2013).

train/Inertial Signals/body_acc_x_train.txt ...    nine channels: 128 numbers a line, one line a window, 50 Hz
train/y_train.txt                                  one activity a line, 1 to 6
train/subject_train.txt                            one person a line; may be missing
activity_labels.txt                                "1 WALKING" ...; may be missing
test/                                              the same; may be missing

A window holds half of the one before it. All windows of a person stay together. Where persons are not told, blocks of
neighbouring windows do, and a block ends only between two windows that share nothing.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from converter.data.listing import Listed, Listing, Split, join
from converter.data.tables import read_text
from edge.errors import UsageError
from edge.items import Floats

LAYOUT = "the folder of UCI HAR that holds train/"
CHANNELS = tuple(f"{name}_{axis}" for name in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
SAMPLES = 128  # 2.56 s
ACTIVITIES = ("WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
# 26 s of motion: shorter blocks let nearly the same motion lie on two sides, longer ones leave too few for five folds.
BLOCK = 20
SIDES: tuple[Split, ...] = ("train", "test")


def list_uci_har(folder: Path) -> Listing:
    """The windows, (128, 9) float32 each; without test/ a hash decides the sides. Raises UsageError."""
    names = _activities(folder)
    there = [side for side in SIDES if side == "train" or (folder / side).is_dir()]
    return join(_side(folder, side, names) for side in there)


def _side(folder: Path, side: Split, names: dict[int, str]) -> Listing:
    signals = folder / side / "Inertial Signals"
    files = [signals / f"{channel}_{side}.txt" for channel in CHANNELS]
    channels = [_channel(file) for file in files]
    for file, channel in zip(files, channels, strict=True):
        if len(channel) != len(channels[0]):
            raise UsageError(
                f"{file} has {len(channel)} windows, {files[0].name} has {len(channels[0])}: unpack it again"
            )
    windows = np.stack(channels, axis=-1)
    activities = _whole_numbers(folder / side / f"y_{side}.txt", len(windows))
    if unknown := sorted(set(activities) - names.keys()):
        raise UsageError(
            f"{folder / side / f'y_{side}.txt'} has the activity {unknown[0]}: must be one of {list(names)}"
        )
    groups = _groups(folder / side / f"subject_{side}.txt", side, windows)
    return Listing(
        tuple(
            Listed(
                name=f"{side} window {number}",
                source=window,
                texts=(names[activity],),
                classes=True,
                split=side,
                group=group,
            )
            for number, (window, activity, group) in enumerate(zip(windows, activities, groups, strict=True), 1)
        )
    )


def _channel(file: Path) -> Floats:
    """(N, 128) float32."""
    lines = read_text(file, LAYOUT).splitlines()
    try:
        values = np.loadtxt(lines, dtype=np.float32, ndmin=2) if lines else np.empty((0, 0), np.float32)
    except ValueError as error:
        raise UsageError(f"{file} is not a table of numbers ({error}): {SAMPLES} a line are expected") from None
    if values.shape[1] != SAMPLES or len(values) != len(lines):
        raise UsageError(f"{file} has {len(values)} lines of {values.shape[1]} numbers: {SAMPLES} a line are expected")
    return values


def _whole_numbers(file: Path, count: int) -> list[int]:
    lines = read_text(file, LAYOUT).split()
    if len(lines) != count or not all(line.isdecimal() for line in lines):
        raise UsageError(f"{file} must hold {count} whole numbers, one for each window: it has {len(lines)} entries")
    return [int(line) for line in lines]


def _activities(folder: Path) -> dict[int, str]:
    file = folder / "activity_labels.txt"
    if not file.is_file():
        return {number: _words(name) for number, name in enumerate(ACTIVITIES, 1)}
    rows = [line.split() for line in read_text(file, LAYOUT).splitlines() if line.strip()]
    if not all(len(row) == 2 and row[0].isdecimal() for row in rows):
        raise UsageError(f'{file} must have lines like "1 WALKING"')
    return {int(number): _words(name) for number, name in rows}


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _groups(file: Path, side: Split, windows: npt.NDArray[np.float32]) -> list[str]:
    if file.is_file():
        return [f"person {number}" for number in _whole_numbers(file, len(windows))]
    half = SAMPLES // 2
    alone = [True, *(not np.array_equal(one[half:], two[:half]) for one, two in itertools.pairwise(windows))]
    starts = [0]
    for number, is_alone in enumerate(alone):
        if is_alone and number - starts[-1] >= BLOCK:
            starts.append(number)
    return [f"{side} {starts[np.searchsorted(starts, number, 'right') - 1]}" for number in range(len(windows))]
