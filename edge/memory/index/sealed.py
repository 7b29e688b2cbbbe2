"""A sealed block on disk: one folder, written once, checked and mapped from then on. A cache of what SQLite holds.

| file      | content                                               |
| --------- | ----------------------------------------------------- |
| `ids`     | N int64, rising                                       |
| `halves`  | N x D float16                                         |
| `codes`   | N x D int8                                            |
| `steps`   | N float32                                             |
| `offsets` | N float32                                             |
| `centre`  | D float32                                             |
| `forest`, | Annoy's over the rows of this folder, and what it is  |
| `axes`    | asked through, see forest.py; may be absent           |
| `seal`    | a line of JSON, see Seal, and a line with its CRC-32  |

All little-endian; see Block. A folder gets its name when it is complete: a kill leaves one whose name ends in `.tmp`, a
power cut at worst a file that its CRC-32 gives away, or no folder.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.items import Floats
from edge.memory.index.blocks import Block
from edge.memory.index.forest import AXES, FOREST

FORMAT = 1
UNFINISHED = ".tmp"
_SEAL = "seal"
_CENTRE = "centre"
_COLUMNS = {"ids": "<i8", "halves": "<f2", "codes": "i1", "steps": "<f4", "offsets": "<f4"}
_READ_BYTES = 1 << 20


class DamagedError(Exception):
    """A sealed folder is not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a folder holds.

    fingerprint: of the bundle that made the embeddings
    sequence:    of the memory's changes: all up to this one are in the rows
    scale:       by which scores weigh cosines against offsets
    """

    fingerprint: str
    sequence: int
    scale: float
    rows: int
    dimension: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """An opened folder.

    has_forest: whether there is one, checked
    damage:     what is wrong with a forest that is there, else empty
    """

    folder: Path
    seal: Seal
    block: Block
    has_forest: bool
    damage: str


def write_rows(folder: Path, blocks: Iterable[Block], centre: Floats) -> int:
    """Write rows, their ids rising, into a new folder; returns how many. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True)
    count = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in _COLUMNS}
        for block in blocks:
            for name, kind in _COLUMNS.items():
                files[name].write(np.ascontiguousarray(getattr(block, name), kind).data)
            count += len(block)
    (folder / _CENTRE).write_bytes(centre.astype("<f4").tobytes())
    return count


def close_seal(folder: Path, target: Path, seal: Seal, *, durable: bool = True) -> None:
    """Complete what was written into `folder`, which is named `target` then. Raises OSError."""
    files = {path.name: _check(path, durable=durable) for path in sorted(folder.iterdir())}
    line = json.dumps({**asdict(seal), "files": files}).encode()
    path = folder / _SEAL
    path.write_bytes(line + b"\n%08x\n" % zlib.crc32(line))
    _check(path, durable=durable)
    folder.rename(target)


def open_sealed(folder: Path) -> Sealed:
    """Check every byte, then map. Raises DamagedError when rows cannot be used; a forest can be done without."""
    try:
        seal, files = _read_seal(folder / _SEAL)
        wrong = {name: problem for name, was in files.items() if (problem := _problem(folder / name, was))}
        damage = "; ".join(wrong.pop(name) for name in (FOREST, AXES) if name in wrong)
        if wrong:
            raise DamagedError("; ".join(wrong.values()))
        block = map_rows(folder, seal.rows, seal.dimension)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{folder.name} cannot be read: {error}") from error
    return Sealed(folder, seal, block, has_forest=FOREST in files and not damage, damage=damage)


def map_rows(folder: Path, count: int, dimension: int) -> Block:
    """What `write_rows` wrote, unchecked. Raises OSError, ValueError."""
    wide = {"halves": (count, dimension), "codes": (count, dimension)}
    columns = {name: _map(folder / name, kind, wide.get(name, (count,))) for name, kind in _COLUMNS.items()}
    return Block(**columns, centre=np.fromfile(folder / _CENTRE, "<f4"))


def _read_seal(path: Path) -> tuple[Seal, dict[str, list[int]]]:
    line, _, checksum = path.read_bytes().partition(b"\n")
    if checksum != b"%08x\n" % zlib.crc32(line):
        raise DamagedError(f"{path.parent.name}/{path.name} has a wrong checksum")
    content: dict[str, Any] = json.loads(line)
    files = content.pop("files")
    if content["format"] != FORMAT:
        raise DamagedError(f"{path.parent.name} has format {content['format']}, this version reads {FORMAT}")
    return Seal(**content), files


def _problem(path: Path, was: list[int]) -> str:
    try:
        wrong = _check(path, durable=False) != was
    except OSError as error:
        return f"{path.parent.name}/{path.name} cannot be read: {error.strerror}"
    return f"{path.parent.name}/{path.name} has a wrong length or checksum" if wrong else ""


def _check(path: Path, *, durable: bool) -> list[int]:
    """Bytes and CRC-32 of a file, as JSON gives them back."""
    size = checksum = 0
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            size += len(part)
            checksum = zlib.crc32(part, checksum)
        if durable:
            os.fsync(file.fileno())
    return [size, checksum]


def _map(path: Path, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, kind)  # an empty file cannot be mapped
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, kind).reshape(shape)
