"""One cached activation's file: every byte of it counts, and none is believed before the checksum."""

from __future__ import annotations

import hashlib
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from edge.items import Floats
from edge.memory.cache.activation_file import decode, encode, renumbered
from edge.memory.cache.codes import pack, packed_bytes, unpack

MADE_BY = hashlib.sha256(b"a segment").digest()[:16]
HEADER = 56
ITEM, SEGMENT = 71, 3
DAMAGED = "the file does not match its checksum"


def tokens(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def encoded(activation: Floats, outliers: int = 1) -> bytes:
    return encode(ITEM, SEGMENT, MADE_BY, activation, outliers)


def decoded(content: bytes) -> Floats:
    return decode(content, ITEM, SEGMENT, MADE_BY)


def forged(content: bytes, offset: int, kind: str, value: object) -> bytes:
    """The file with one field changed and a checksum that fits."""
    changed = bytearray(content)
    struct.pack_into(kind, changed, offset, value)
    struct.pack_into("<I", changed, 52, zlib.crc32(bytes(changed[HEADER:]), zlib.crc32(bytes(changed[:52]))))
    return bytes(changed)


def test_header_has_the_bytes_that_the_format_says() -> None:
    activation = tokens(2, 5, 70)
    values = pack(activation, 4)
    content = encode(ITEM, SEGMENT, MADE_BY, activation, 4)
    fields = b"RACT" + struct.pack("<HHq", 1, SEGMENT, ITEM) + MADE_BY
    fields += struct.pack("<BBH", 3, 4, 64) + struct.pack("<III", 2, 5, 70) + struct.pack("<I", len(values))
    assert content[:52] == fields
    assert struct.unpack_from("<I", content, 52) == (zlib.crc32(fields + values),)
    assert content[HEADER:] == values


@pytest.mark.parametrize("shape", [(9,), (5, 70), (2, 5, 70)])
def test_file_brings_the_shape_and_the_packed_values_back(shape: tuple[int, ...]) -> None:
    activation = tokens(*shape)
    back = decoded(encoded(activation, 2))
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, unpack(pack(activation, 2), shape, 2))


def test_file_of_197_tokens_of_192_with_4_outliers_is_six_and_a_half_times_smaller_than_float32() -> None:
    activation = tokens(197, 192)
    assert activation.nbytes / len(encoded(activation, 4)) >= 6.5


def test_any_flipped_byte_is_noticed() -> None:
    content = encoded(tokens(3, 70))
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(ValueError, match=DAMAGED):
            decoded(bytes(changed))


def test_any_shorter_file_is_noticed() -> None:
    content = encoded(tokens(3, 70))
    for length in range(len(content)):
        with pytest.raises(ValueError, match=DAMAGED if length >= HEADER else "the file ends in its header"):
            decoded(content[:length])


@pytest.mark.parametrize("more", [b"\0", bytes(4096)])
def test_longer_file_is_noticed(more: bytes) -> None:
    with pytest.raises(ValueError, match=DAMAGED):
        decoded(encoded(tokens(3, 70)) + more)


@pytest.mark.parametrize("size", [0, 10, HEADER, 10_000])
def test_file_of_zeros_is_no_activation(size: int) -> None:
    """What some file systems leave of a file that a power cut caught."""
    with pytest.raises(ValueError, match="the file"):
        decoded(bytes(size))


@pytest.mark.parametrize(
    ("item", "segment", "made_by"),
    [(ITEM + 1, SEGMENT, MADE_BY), (ITEM, SEGMENT + 1, MADE_BY), (ITEM, SEGMENT, bytes(16))],
)
def test_file_of_another_item_segment_or_bundle_is_refused(item: int, segment: int, made_by: bytes) -> None:
    with pytest.raises(ValueError, match="the file belongs to another item or bundle"):
        decode(encoded(tokens(3, 70)), item, segment, made_by)


@pytest.mark.parametrize(("offset", "kind", "value"), [(0, "4s", b"RACU"), (4, "<H", 2), (34, "<H", 32)])
def test_file_of_another_format_is_refused(offset: int, kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"the file is of format b'RAC[TU]' [12] in groups of (64|32)"):
        decoded(forged(encoded(tokens(3, 70)), offset, kind, value))


@pytest.mark.parametrize(
    ("offset", "kind", "value", "problem"),
    [
        (32, "<B", 0, "shape () cannot be packed"),
        (32, "<B", 3, "cannot be packed"),  # an axis of length 0
        (32, "<B", 255, "cannot be packed"),
        (33, "<B", 2, "are no activation of shape (3, 70) with 2 outlier channels"),
        (33, "<B", 70, "cannot be packed"),
        (36, "<I", 0, "cannot be packed"),
        (36, "<I", 0xFFFFFFFF, "are no activation of shape (4294967295, 70)"),
        (40, "<I", 0xFFFFFFFF, "cannot be packed"),
        (48, "<I", 0xFFFFFFFF, "its header says 4294967295"),
    ],
)
def test_header_that_promises_what_is_not_there_is_refused_and_nothing_allocated_for_it(
    offset: int, kind: str, value: object, problem: str
) -> None:
    content = forged(encoded(tokens(3, 70)), offset, kind, value)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=re.escape(problem)):
            decoded(content)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_activation_of_four_axes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3, 70\) has 4 axes: must be 1 to 3"):
        encoded(tokens(1, 2, 3, 70))


def test_activation_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        encoded(np.full((3, 70), np.nan, dtype=np.float32))


def test_header_takes_56_bytes_whatever_the_shape() -> None:
    for shape in ((9,), (5, 70), (2, 5, 70)):
        assert len(encoded(tokens(*shape))) == HEADER + packed_bytes(shape, 1)


def test_file_of_another_number_differs_in_its_header_alone() -> None:
    content = encoded(tokens(5, 70))
    header = renumbered(content, 72)
    assert len(header) == HEADER
    assert header + content[HEADER:] == encode(72, SEGMENT, MADE_BY, tokens(5, 70), 1)
    assert renumbered(content, ITEM) == content[:HEADER]


def test_damaged_file_gets_no_other_number_and_so_no_good_checksum() -> None:
    content = encoded(tokens(5, 70))
    for damaged in (content[:40], content[:-1], content[:-9] + bytes(9)):
        with pytest.raises(ValueError, match=r"does not match its checksum|ends in its header"):
            renumbered(damaged, 72)
