"""A real signal to a real process in the middle of its work: it ends at once, and leaves nothing of the pictures."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals

import pytest

SECONDS = 240  # for a slow and busy board
MANY = 600  # pictures: no machine remembers as many before the signal comes
LAST_WORD = "\nreminisce: interrupted; the temporary memory of the demo is gone\n"


@pytest.fixture(scope="module")
def many(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many pictures, each of another content."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(MANY):
        # Behind a JPEG's end anything may stand: other bytes, the same picture.
        content = pictures[number % len(pictures)].read_bytes() + number.to_bytes(2, "big")
        (folder / f"{number:03}.jpg").write_bytes(content)
    return folder


def remembered(temporary: Path) -> int:
    """How many pictures lie in the temporary memory."""
    return len(list(temporary.glob("*/content/*/*")))


# A second signal used to interrupt the deletion of the temporary memory; it comes at several moments of it.
@pytest.mark.parametrize(
    ("signals", "gap_s"),
    [
        ((SIGINT,), 0),
        ((SIGTERM,), 0),
        ((SIGHUP,), 0),
        ((SIGINT, SIGINT), 0.005),
        ((SIGINT, SIGTERM), 0.015),
        ((SIGINT, SIGINT), 0.03),
    ],
)
def test_signal_during_remembering_ends_with_130_and_leaves_no_picture_behind(
    signals: tuple[Signals, ...],
    gap_s: float,
    many: Path,
    surroundings: Callable[[Path], Mapping[str, str]],
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "edge", "demo", "--photos", many],
        cwd=tmp_path,
        env=surroundings(temporary),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tour:
        end = time.monotonic() + SECONDS
        while not remembered(temporary):
            assert tour.poll() is None, "the tour ended before it remembered anything"
            assert time.monotonic() < end
            time.sleep(0.005)
        for number in signals:
            tour.send_signal(number)
            time.sleep(gap_s)
        out, err = (stream.decode() for stream in tour.communicate(timeout=SECONDS))
    assert tour.returncode == 130
    assert err.endswith(LAST_WORD)
    assert "Traceback" not in err
    assert "remembered" not in out
    assert list(temporary.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]  # and no sheet
