"""Where stages lie on disk: a finished one under its name, one at work under a dot and its name."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from converter.durable import sync
from converter.stages.artefacts import ArtefactError, load_record, save_record

DONE, AT_WORK = "done.json", "inputs.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What done.json says.

    inputs: all that the result depends on
    files:  bytes of each artefact, by path inside the folder
    ended:  when, in UTC
    """

    inputs: dict[str, str]
    files: dict[str, int]
    ended: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """What inputs.json says."""

    inputs: dict[str, str]


class Shelf:
    """The folders of all stages. A stage is finished, or it is not: whatever ends the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def finished(self, name: str) -> Path:
        """Where the artefacts lie, if it is finished."""
        return self._folder / name

    def recover(self, name: str) -> None:
        """End a move that something ended in the middle."""
        shutil.rmtree(self._old(name), ignore_errors=True)
        if (self._work(name) / DONE).is_file():
            self._move(name)

    def done(self, name: str) -> Done | None:
        """What is known of a finished stage; None if there is none. Raises ArtefactError."""
        folder = self.finished(name)
        return load_record(Done, folder / DONE) if folder.is_dir() else None

    def digest(self, name: str) -> str:
        """Of done.json: a stage that is done again has another one. "none" if it is not finished."""
        file = self.finished(name) / DONE
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else "none"

    def begin(self, name: str, inputs: dict[str, str], *, resume: bool, parts: Sequence[str] = ()) -> Path:
        """The folder to work in: empty, or with all that an equal attempt left if `resume`.

        parts: patterns of names that any attempt may have left
        """
        folder = self._work(name)
        if not (resume and _left_by(folder) == inputs):
            _remove_all_but(folder, parts)
            folder.mkdir(parents=True, exist_ok=True)
            save_record(folder / AT_WORK, AtWork(inputs=inputs))
        for half in folder.rglob(".*.part"):
            half.unlink()
        return folder

    def finish(self, name: str, inputs: dict[str, str], seconds: float) -> None:
        """The work becomes the finished stage, in place of an earlier one. Survives a power cut."""
        folder = self._work(name)
        paths = sorted(path for path in folder.rglob("*") if path != folder / AT_WORK)
        for path in (*paths, folder):
            sync(path)
        files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths if path.is_file()}
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        save_record(folder / DONE, Done(inputs=inputs, files=files, ended=ended, seconds=round(seconds, 3)))
        (folder / AT_WORK).unlink()  # after done.json: at no moment is the work without either
        self._move(name)

    def lost(self, name: str, done: Done) -> str | None:
        """The first artefact that is not as it was written."""
        for file, size in done.files.items():
            path = self.finished(name) / file
            if not path.is_file() or path.stat().st_size != size:
                return file
        return None

    def _move(self, name: str) -> None:
        if self.finished(name).exists():
            self.finished(name).rename(self._old(name))
        self._work(name).rename(self.finished(name))
        sync(self._folder)
        shutil.rmtree(self._old(name), ignore_errors=True)

    def _work(self, name: str) -> Path:
        return self._folder / f".{name}"

    def _old(self, name: str) -> Path:
        return self._folder / f".{name}.old"


def _remove_all_but(folder: Path, parts: Sequence[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if not any(fnmatch(path.name, part) for part in parts):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _left_by(folder: Path) -> dict[str, str] | None:
    """The inputs of an attempt that did not end."""
    try:
        return load_record(AtWork, folder / AT_WORK).inputs
    except ArtefactError:
        return None
