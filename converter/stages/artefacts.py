"""What stages leave for each other: arrays without pickle, and small records as JSON. Written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from converter.durable import write_durably
from edge.decode import DecodeError, decode
from edge.errors import ReminisceError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


class ArtefactError(ReminisceError, ValueError):
    """A file of a finished stage that cannot be read; names the folder to remove."""


def save_arrays(path: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write named arrays as .npz. Raises TypeError for one that would need pickle."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{path.name}: {name} holds Python objects, which only pickle can save")
    write_durably(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """What `save_arrays` wrote, by name. Raises ArtefactError."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArtefactError(_unreadable(path, error)) from None


def save_record(path: Path, record: DataclassInstance) -> None:
    """Write a dataclass of plain values as JSON."""
    text = json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True, default=_plain)
    write_durably(path, lambda file: file.write(f"{text}\n".encode()))


def load_record(kind: type[T], path: Path) -> T:
    """What `save_record` wrote, as a `kind`. Raises ArtefactError."""
    try:
        return decode(kind, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        told = "; ".join(error.problems) if isinstance(error, DecodeError) else error
        raise ArtefactError(_unreadable(path, told)) from None


def _unreadable(path: Path, why: object) -> str:
    return f"{path} cannot be read ({why}): remove {path.parent} and run the same command again"


def _plain(value: object) -> str:
    if isinstance(value, PurePosixPath):
        return str(value)
    raise TypeError(f"an artefact holds no {type(value).__name__}")
