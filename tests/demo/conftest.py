"""The tour as its own process, as a user starts it; nothing of it is left behind, neither a file nor a process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands import run
from processes import see_that_nothing_is_left_in


@dataclass(frozen=True, slots=True)
class Toured:
    """What a tour left behind. here: the folder that it ran in."""

    code: int
    out: str
    err: str
    here: Path


@pytest.fixture(scope="session")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Toured]:
    """Runs `reminisce demo ARGUMENTS`; options are those of `commands.start`, and the folder for temporary files."""

    def tour(*arguments: str | Path, temporary: Path | None = None, **options: Any) -> Toured:
        here, temporary = tmp_path_factory.mktemp("here"), temporary or tmp_path_factory.mktemp("temporary")
        options["environ"] = {"TMPDIR": str(temporary), **options.get("environ", {})}
        done = run("demo", *arguments, here=here, **options)
        see_that_nothing_is_left_in(temporary)
        return Toured(done.code, done.out, done.err, here)

    return tour


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
