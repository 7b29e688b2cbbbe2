"""Writes a bundle beside its final place, and moves it there only when it is whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from converter.durable import check_room, sync
from edge.bundle import MANIFEST, Bundle, FileRecord, Manifest, checksum
from edge.errors import DiskFullError, UsageError

ROOM_BYTES = 100_000_000  # a demo bundle takes 40 MB, what it is made through as much again


@contextlib.contextmanager
def staged(out: Path, *, replacing: bool = False) -> Iterator[Path]:
    """A folder to build in, beside `out`; becomes `out` when the block ends well, and is removed when it does not.

    replacing: an earlier bundle may be at `out`, and stays until then
    Raises UsageError when `out` is already something, or its parent cannot be written, DiskFullError without room.
    """
    if not replacing and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder: remove it, or choose another")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        check_room(out.parent, ROOM_BYTES)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except DiskFullError:
        raise
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from None
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp makes it private; a bundle holds nothing secret
        for path in (*folder.rglob("*"), folder):
            sync(path)
        if replacing:
            _swap(folder, out)
        else:
            _move(folder, out)
        sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _move(folder: Path, out: Path) -> None:
    if out.exists():
        out.rmdir()
    folder.rename(out)


def _swap(folder: Path, out: Path) -> None:
    """`folder` takes the place of what is at `out`, which comes back if that fails."""
    old = folder.with_name(f"{folder.name}-old")
    if out.exists():
        out.rename(old)
    try:
        folder.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def records(folder: Path) -> dict[str, FileRecord]:
    """Size and checksum of every file of an unfinished bundle, by path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): FileRecord(bytes=path.stat().st_size, sha256=checksum(path))
        for path in files
    }


def pack(folder: Path, manifest: Manifest) -> Bundle:
    """Write the manifest and open the result as the device will. Raises BundleError when it would be refused."""
    text = json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True, default=_plain)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return Bundle.open(folder)


def _plain(value: Any) -> str:
    if isinstance(value, PurePosixPath):
        return str(value)
    raise TypeError(f"a manifest holds no {type(value).__name__}")
