"""INT4 rows: two codes a byte, asymmetric in groups, each group with its own float16 step and offset.

One row of `width` values on disk, little-endian (width / group = G groups):

    offset      size        type     field
    0           2 G         float16  low: the value of code 0, a group
    2 G         2 G         float16  step: the distance of two codes, a group
    4 G         width / 2   uint8    codes, the even value in the low half of its byte

Source: the paper's INT4 cache; group-wise and asymmetric because channels with outliers spoil one scale a row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.items import Floats

LEVELS = 15
LARGEST = 65504  # of float16: a larger low would become infinite
Packed = npt.NDArray[np.uint8]


def row_bytes(width: int, group: int) -> int:
    """Bytes of one packed row. Raises ValueError when `group` does not divide `width` or `width` is odd."""
    if width % group or width % 2:
        raise ValueError(f"INT4 rows of {width} values cannot be split into groups of {group}")
    return 4 * (width // group) + width // 2


def pack(rows: Floats, group: int) -> Packed:
    """(R, width) float32 -> (R, row_bytes) uint8. Raises ValueError on a width or values that cannot be packed."""
    row_bytes(rows.shape[1], group)
    if not (np.abs(rows) <= LARGEST).all():  # false for NaN, too
        raise ValueError(f"INT4 rows must be finite and within {LARGEST} of zero")
    grouped = rows.reshape(len(rows), -1, group)
    low = grouped.min(2).astype(np.float16)
    step = ((grouped.max(2) - low.astype(np.float32)) / LEVELS).astype(np.float16)
    safe = np.where(step > 0, step, np.float16(1)).astype(np.float32)  # a constant group has step 0 and code 0
    codes = np.rint((grouped - low.astype(np.float32)[..., None]) / safe[..., None])
    codes = np.clip(codes, 0, LEVELS).astype(np.uint8).reshape(len(rows), -1)
    halves = codes[:, 0::2] | (codes[:, 1::2] << 4)
    return np.concatenate([low.view(np.uint8), step.view(np.uint8), halves], axis=1)


def unpack(packed: Packed, width: int, group: int) -> Floats:
    """(R, row_bytes) uint8 -> (R, width) float32."""
    groups = width // group
    low, step, halves = np.split(np.ascontiguousarray(packed), [2 * groups, 4 * groups], axis=1)
    codes = np.empty((len(packed), width), dtype=np.float32)
    codes[:, 0::2], codes[:, 1::2] = halves & 15, halves >> 4
    scale, offset = (np.ascontiguousarray(part).view(np.float16).astype(np.float32) for part in (step, low))
    values = codes.reshape(len(packed), groups, group) * scale[..., None] + offset[..., None]
    return values.reshape(len(packed), width).astype(np.float32)
