"""Sealed folders: what was written is read, and anything else is noticed."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge.memory.index.blocks import Block
from edge.memory.index.forest import AXES, FOREST, annoy_is_installed, build_forest
from edge.memory.index.sealed import DamagedError, Seal, close_seal, map_rows, open_sealed, write_rows

ROWS, DIMENSION = 300, 16
COLUMNS = ("ids", "halves", "codes", "steps", "offsets", "centre")
needs_annoy = pytest.mark.skipif(not annoy_is_installed(), reason="annoy is not installed")


def block_of(rows: int) -> Block:
    random = np.random.default_rng(1)
    embeddings = random.normal(size=(rows, DIMENSION)).astype(np.float32)
    offsets = random.normal(size=rows).astype(np.float32)
    return Block.of(np.arange(rows) * 3, embeddings, offsets, embeddings.mean(axis=0))


def sealed(folder: Path, *, rows: int = ROWS, forest: bool = False) -> Path:
    block = block_of(rows)
    write_rows(folder / "work", [block.first(100), block.take(np.arange(100, rows))], block.centre)
    if forest:
        build_forest(folder / "work", map_rows(folder / "work", rows, DIMENSION), 2.0)
    seal = Seal(fingerprint="a", sequence=7, scale=2.0, rows=rows, dimension=DIMENSION)
    close_seal(folder / "work", folder / "image-03.1", seal)
    return folder / "image-03.1"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    opened, block = open_sealed(sealed(tmp_path)), block_of(ROWS)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(opened.block, name), getattr(block, name))
    assert (opened.seal.sequence, opened.seal.fingerprint, opened.seal.rows) == (7, "a", ROWS)
    assert (opened.has_forest, opened.damage) == (False, "")


def test_opened_rows_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    opened = open_sealed(sealed(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        opened.block.codes[0] = 1


def test_no_other_user_may_look_inside(tmp_path: Path) -> None:
    assert sealed(tmp_path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", [*COLUMNS, "seal"])
@pytest.mark.parametrize("where", [0.0, 0.5, 0.98])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, name: str, where: float) -> None:
    folder = sealed(tmp_path)
    flip(folder / name, int(where * (folder / name).stat().st_size))
    with pytest.raises(DamagedError, match=f"{name} has a wrong|cannot be read"):
        open_sealed(folder)


@pytest.mark.parametrize("name", [*COLUMNS, "seal"])
def test_a_file_that_is_missing_short_or_long_is_noticed(tmp_path: Path, name: str) -> None:
    path = sealed(tmp_path) / name
    content = path.read_bytes()
    for wrong in (content[:-1], content + b"\0", b""):
        path.write_bytes(wrong)
        with pytest.raises(DamagedError):
            open_sealed(path.parent)
    path.unlink()
    with pytest.raises(DamagedError):
        open_sealed(path.parent)


def test_another_format_says_which(tmp_path: Path) -> None:
    folder = sealed(tmp_path)
    content = json.loads((folder / "seal").read_bytes().splitlines()[0])
    line = json.dumps({**content, "format": 2}).encode()
    (folder / "seal").write_bytes(line + b"\n%08x\n" % zlib.crc32(line))
    with pytest.raises(DamagedError, match="has format 2, this version reads 1"):
        open_sealed(folder)


@needs_annoy
@pytest.mark.parametrize("name", [FOREST, AXES])
def test_a_damaged_forest_leaves_the_rows_usable(tmp_path: Path, name: str) -> None:
    folder = sealed(tmp_path, forest=True)
    assert open_sealed(folder).has_forest
    flip(folder / name, 100)
    opened = open_sealed(folder)
    assert (opened.has_forest, len(opened.block)) == (False, ROWS)
    assert opened.damage == f"image-03.1/{name} has a wrong length or checksum"


@needs_annoy
def test_the_same_rows_give_the_same_forest(tmp_path: Path) -> None:
    one, other = (sealed(tmp_path / name, forest=True) for name in ("one", "other"))
    for name in (FOREST, AXES, "codes"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_no_rows_can_be_sealed(tmp_path: Path) -> None:
    write_rows(tmp_path / "work", [], np.zeros(DIMENSION, np.float32))
    close_seal(
        tmp_path / "work", tmp_path / "x", Seal(fingerprint="a", sequence=1, scale=1, rows=0, dimension=DIMENSION)
    )
    assert open_sealed(tmp_path / "x").block.codes.shape == (0, DIMENSION)
