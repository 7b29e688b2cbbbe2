"""The file of one cached activation: a header that says whose it is and what made it, and the packed values.

    offset  size  type    field
    0       4     bytes   "RACT"
    4       2     uint16  version of this format, 1
    6       2     uint16  number of the segment whose end it is
    8       8     int64   id of the item
    16      16    bytes   what made it, see `Manifest.segment_hashes`
    32      1     uint8   axes, 1 to 3
    33      1     uint8   outlier channels
    34      2     uint16  channels of a group, 64
    36      12    uint32  length of each axis; 0 for an axis that it does not have
    48      4     uint32  bytes of the values
    52      4     uint32  CRC-32 of the 52 bytes before, followed by the values
    56            bytes   the values, see edge.memory.cache.codes

Little-endian. Nothing else in the file: a byte more or less makes it another one.
"""

from __future__ import annotations

import struct
import zlib

from edge.items import Floats
from edge.memory.cache.codes import GROUP, pack, unpack

HASH_BYTES = 16
_MAGIC, _VERSION = b"RACT", 1
_HEADER = struct.Struct("<4sHHq16sBBH3II")
_CHECKSUM = struct.Struct("<I")
_AXES = 3


def encode(item: int, segment: int, made_by: bytes, activation: Floats, outliers: int) -> bytes:
    """The content of the file. Raises ValueError on an activation that cannot be packed: not finite, of four axes."""
    axes = activation.ndim
    if not 1 <= axes <= _AXES:
        raise ValueError(f"an activation of shape {activation.shape} has {axes} axes: must be 1 to {_AXES}")
    values = pack(activation, outliers)
    lengths = (*activation.shape, *[0] * (_AXES - axes))
    header = _HEADER.pack(_MAGIC, _VERSION, segment, item, made_by, axes, outliers, GROUP, *lengths, len(values))
    return header + _CHECKSUM.pack(zlib.crc32(values, zlib.crc32(header))) + values


def renumbered(content: bytes, item: int) -> bytes:
    """What the file begins with once it belongs to another item; the values behind that stay. Raises ValueError."""
    header, values = _parts(content)
    magic, version, segment, _, *rest = _HEADER.unpack(header)
    header = _HEADER.pack(magic, version, segment, item, *rest)
    return header + _CHECKSUM.pack(zlib.crc32(values, zlib.crc32(header)))


def decode(content: bytes, item: int, segment: int, made_by: bytes) -> Floats:
    """The activation. Raises ValueError when the file is damaged, of another version, or not the one that is asked for.

    Nothing is allocated on the word of a header whose checksum is wrong.
    """
    header, values = _parts(content)
    magic, version, *said, axes, outliers, group, first, second, third, size = _HEADER.unpack(header)
    if (magic, version, group) != (_MAGIC, _VERSION, GROUP):
        raise ValueError(f"the file is of format {magic!r} {version} in groups of {group}")
    if said != [segment, item, made_by]:
        raise ValueError("the file belongs to another item or bundle")
    if size != len(values):
        raise ValueError(f"the file has {len(values)} bytes of values, its header says {size}")
    return unpack(values, (first, second, third)[:axes], outliers)


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """Header and values, as they were written. Raises ValueError."""
    begin = _HEADER.size + _CHECKSUM.size
    if len(content) < begin:
        raise ValueError("the file ends in its header")
    header, values = content[: _HEADER.size], content[begin:]
    (checksum,) = _CHECKSUM.unpack_from(content, _HEADER.size)
    if zlib.crc32(values, zlib.crc32(header)) != checksum:
        raise ValueError("the file does not match its checksum")
    return header, values
