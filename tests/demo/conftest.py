"""The tour as its own process, as a user starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 240  # for a slow and busy board; the shipped pictures take three on a laptop


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process left behind. here: the folder that it ran in."""

    code: int
    out: str
    err: str
    here: Path


@pytest.fixture(scope="session")
def surroundings() -> Callable[[Path], Mapping[str, str]]:
    """A builder of environments: temporary files go to the folder, the package is this checkout's."""
    return lambda folder: {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def tour(
    tmp_path_factory: pytest.TempPathFactory, surroundings: Callable[[Path], Mapping[str, str]]
) -> Callable[..., Finished]:
    """Runs `python -m edge demo ARGUMENTS`; no run leaves a traceback or a temporary memory."""

    def run(*arguments: str | Path) -> Finished:
        here, temporary = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("temporary")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "edge", "demo", *arguments],
            cwd=here,
            env=surroundings(temporary),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        finished = Finished(done.returncode, done.stdout.decode(), done.stderr.decode(), here)
        assert "Traceback" not in finished.err
        assert list(temporary.iterdir()) == []
        return finished

    return run


@pytest.fixture
def album(pictures: list[Path], tmp_path: Path) -> Path:
    """A user's folder: two pictures, one below, one that was copied by half, and a text."""
    folder = tmp_path / "album"
    (folder / "2025").mkdir(parents=True)
    shutil.copy(pictures[0], folder / "one.jpg")
    shutil.copy(pictures[1], folder / "two.JPEG")
    shutil.copy(pictures[2], folder / "2025" / "three.jpg")
    (folder / "half.jpg").write_bytes(pictures[3].read_bytes()[:4000])
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder
