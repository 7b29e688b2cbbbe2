"""An activation in INT4: two codes a byte, asymmetric in groups of channels, the widest channels apart in float16.

The last axis of an activation holds its C channels, all others together its R rows: tokens of (T, C), positions of
(H, W, C). With K outliers, N = C - K channels are left, in G = ceil(N / 64) groups, the last of which may be short:

    offset                     size           type     field
    0                          2 K            uint16   numbers of the outlier channels, rising
    2 K                        2 R K          float16  their values
    2 K (R + 1)                2 R G          float16  low: the value of code 0, a row and group
    2 K (R + 1) + 2 R G        2 R G          float16  step: the distance of two codes, a row and group
    2 K (R + 1) + 4 R G        R ceil(N / 2)  uint8    codes of the channels left, the even one in the low half

Little-endian, row by row. Outliers are the channels with the largest range in this very activation: in a transformer a
few are far wider than all others, and each would coarsen the 63 channels of its group.

Source: Reminisce, the INT4 cache. `edge.runtime.int4` is the bundle's format for the rows of a token table.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from edge.items import Floats

GROUP = 64
_LEVELS = 15
_LARGEST = 65504  # of float16: a larger low would become infinite
_WIDEST = 1 << 16  # channels that a uint16 can number
_HALF, _NUMBER = np.dtype("<f2"), np.dtype("<u2")
Channels = npt.NDArray[np.intp]


def packed_bytes(shape: tuple[int, ...], outliers: int) -> int:
    """Bytes of one packed activation. Raises ValueError when no channel is left beside the outliers."""
    if not shape or min(shape) < 1 or not outliers < shape[-1] <= _WIDEST:
        raise ValueError(f"an activation of shape {shape} cannot be packed with {outliers} outlier channels")
    rows, left = math.prod(shape[:-1]), shape[-1] - outliers
    return 2 * outliers * (rows + 1) + 4 * rows * -(-left // GROUP) + rows * -(-left // 2)


def pack(activation: Floats, outliers: int) -> bytes:
    """(..., C) float32 -> its bytes. Raises ValueError on a shape, or on values, that cannot be packed."""
    packed_bytes(activation.shape, outliers)
    rows = activation.reshape(-1, activation.shape[-1])
    lowest, highest = rows.min(0), rows.max(0)
    if not (lowest.min() >= -_LARGEST and highest.max() <= _LARGEST):  # false for NaN, too
        raise ValueError(f"an activation must be finite and within {_LARGEST} of zero")
    apart = np.sort(np.argsort(highest - lowest, kind="stable")[rows.shape[1] - outliers :])
    left = np.delete(rows, apart, axis=1)
    starts = np.arange(0, left.shape[1], GROUP)
    low = np.minimum.reduceat(left, starts, axis=1).astype(_HALF)
    high = np.maximum.reduceat(left, starts, axis=1)
    step = ((high - low.astype(np.float32)) / np.float32(_LEVELS)).astype(_HALF)
    safe = np.where(step > 0, step, np.float16(1))  # a constant group has step 0 and code 0
    scaled = (left - _by_channel(low, left.shape[1])) / _by_channel(safe, left.shape[1])
    codes = np.zeros((len(rows), left.shape[1] + left.shape[1] % 2), dtype=np.uint8)
    codes[:, : left.shape[1]] = np.clip(np.rint(scaled), 0, _LEVELS)
    halves = codes[:, 0::2] | (codes[:, 1::2] << 4)
    parts = (apart.astype(_NUMBER), rows[:, apart].astype(_HALF), low, step, halves)
    return b"".join(part.tobytes() for part in parts)


def unpack(packed: bytes, shape: tuple[int, ...], outliers: int) -> Floats:
    """The bytes of one activation -> (..., C) float32. Raises ValueError when they are not as many as they must be."""
    if len(packed) != packed_bytes(shape, outliers):
        raise ValueError(f"{len(packed)} bytes are no activation of shape {shape} with {outliers} outlier channels")
    rows, channels = math.prod(shape[:-1]), shape[-1]
    left = channels - outliers
    ends = np.cumsum([2 * outliers, 2 * rows * outliers, *[2 * rows * -(-left // GROUP)] * 2])
    numbers, values, low, step, halves = np.split(np.frombuffer(packed, np.uint8), ends)
    apart = numbers.view(_NUMBER).astype(np.intp)
    codes = np.empty((rows, left + left % 2), dtype=np.float32)
    pairs = halves.reshape(rows, -1)
    codes[:, 0::2], codes[:, 1::2] = pairs & 15, pairs >> 4
    restored = codes[:, :left]
    restored *= _by_channel(step.view(_HALF).reshape(rows, -1), left)
    restored += _by_channel(low.view(_HALF).reshape(rows, -1), left)
    columns = np.concatenate([restored, values.view(_HALF).reshape(rows, outliers).astype(np.float32)], axis=1)
    place = np.argsort(np.concatenate([np.delete(np.arange(channels), apart), apart]))
    return columns.take(place, axis=1).reshape(shape)


def _by_channel(of_groups: npt.NDArray[np.float16], channels: int) -> Floats:
    """(R, G) float16, one value a group -> (R, channels) float32, the same for each of its channels."""
    return np.repeat(of_groups.astype(np.float32), GROUP, axis=1)[:, :channels]
