"""What an item's similarities to the bank say: confidence for the policy, and the offset of a calibrated score.

The same on host and device. Shapes: N items, R bank rows, D the shared space, F features; all tensors float32.
Source: Reminisce, data-aware exits; the numbers and the offset are the ones that `predictor.norm`, the gates and the
calibration were fitted on, so that their order and their meaning belong to the bundle's format (FORMAT.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.bundle import SCALE, Bank, Calibration, Exit
from edge.errors import BundleError
from edge.items import Floats

NUMBERS = 11
_MEAN, _SPREAD, _TOP = 4, 5, 10  # the numbers that the offset is made of
ENTROPY = 7  # the number that says how undecided an item is
_BEST = 20
_LARGEST = 65504  # of float16, a row's scale
_FLAT = 1e-5  # a smaller deviation of float32 cosines is rounding, and its shape means nothing


def pack_bank(features: Floats) -> bytes:
    """(R, width) features -> the content of `bank.int8`. Raises ValueError on values that cannot be packed."""
    if not (np.abs(features) <= 127 * _LARGEST).all():  # false for NaN, too
        raise ValueError(f"bank rows must be finite and within {127 * _LARGEST} of zero")
    scale = (np.abs(features).max(1, keepdims=True) / 127).astype("<f2")
    safe = np.where(scale > 0, scale, np.float16(1)).astype(np.float32)  # a row of zeros has scale 0 and codes 0
    codes = np.clip(np.rint(features / safe), -127, 127).astype(np.int8)
    return np.concatenate([scale.view(np.uint8), codes.view(np.uint8)], axis=1).tobytes()


def read_bank(folder: Path, bank: Bank) -> Floats:
    """(R, width) features of the stock queries, before the heads of the query tower."""
    packed = np.frombuffer((folder / bank.path).read_bytes(), np.uint8).reshape(bank.rows, 2 + bank.width)
    scale = np.ascontiguousarray(packed[:, :2]).view("<f2").astype(np.float32)
    return packed[:, 2:].view(np.int8).astype(np.float32) * scale


def bank_similarities(embeddings: Floats, bank: Floats) -> Floats:
    """(N, D) items at one exit and (R, D), the bank through that exit's query head -> (N, R) cosines."""
    # Not by BLAS: its first product of matrices sets 32 MB aside, which count against a limit of the process.
    # This takes .02 ms an item more.
    made: Floats = np.einsum("nd,rd->nr", embeddings, bank)
    return made


def scale_of(place: Exit) -> float:
    """By what `bank_numbers` multiplies similarities at this exit before their softmax."""
    return place.calibration.scale if place.calibration else SCALE


def bank_numbers(sims: Floats, scale: float) -> Floats:
    """(N, R) similarities, R at least 20 -> (N, 11) numbers.

    In order: largest, mean of the 5 and of the 20 largest, distance of the largest two, mean, standard deviation,
    skewness, entropy (nats) and maximum of softmax(scale * sims), logsumexp(scale * sims) / scale, mean of the 10
    largest.
    """
    best = np.sort(np.partition(sims, -_BEST, axis=1)[:, -_BEST:], axis=1)[:, ::-1]
    logits = scale * (sims - best[:, :1])  # from the largest: exp stays within float32
    total = np.exp(logits).sum(1)
    softmax = np.exp(logits) / total[:, None]
    columns = (
        best[:, 0],
        best[:, :5].mean(1),
        best.mean(1),
        best[:, 0] - best[:, 1],
        sims.mean(1),
        sims.std(1),
        _skewness(sims),
        np.log(total) - (softmax * logits).sum(1),
        softmax.max(1),
        best[:, 0] + np.log(total) / scale,
        best[:, :10].mean(1),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def offset(numbers: Floats, calibration: Calibration) -> Floats:
    """(N, 11) bank numbers at an exit -> (N,): what an item adds to every score at that exit."""
    mean, spread, top = (numbers[:, column] for column in (_MEAN, _SPREAD, _TOP))
    made: Floats = calibration.mean * mean + calibration.spread * spread + calibration.top * top + calibration.bias
    return made


def probability(cosine: Floats, offset: Floats, calibration: Calibration) -> Floats:
    """P(relevant) of cosines with queries at one exit, of any shape that `offset` fits to; comparable across exits."""
    return sigmoid(np.float32(calibration.cosine) * cosine + offset)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    made: Floats = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return made


@dataclass(frozen=True, slots=True)
class Profile:
    """Items beside the bank at one exit: similarities (N, R) and numbers (N, 11)."""

    sims: Floats
    numbers: Floats

    @classmethod
    def of(cls, embeddings: Floats, bank: Floats, scale: float) -> Profile:
        """(N, D) items and (R, D) bank rows, both at that exit."""
        sims = bank_similarities(embeddings, bank)
        return cls(sims, bank_numbers(sims, scale))


def gate_inputs(here: Profile, before: Profile | None) -> Floats:
    """(N, 11) at a tower's first exit, else (N, 24): numbers here and at the exit before, and how the two agree.

    Agreement: correlation of the two rows of similarities (0 where one is constant), share of the 20 best in common.
    """
    if before is None:
        return here.numbers
    correlation = (_standardised(here.sims) * _standardised(before.sims)).mean(1)
    agreement = np.stack([correlation, _in_common(here.sims, before.sims)], axis=1)
    return np.concatenate([here.numbers, before.numbers, agreement], axis=1)


def pooled(activation: Floats) -> Floats:
    """(N, T, W) tokens -> (N, 2 W): the first, then the mean of the others; (N, H, W, C) positions -> (N, C) mean.

    Raises ValueError for another shape.
    """
    if activation.ndim == 4:
        made: Floats = activation.mean((1, 2))
        return made
    if activation.ndim == 3 and activation.shape[1] > 1:
        return np.concatenate([activation[:, 0], activation[:, 1:].mean(1)], axis=1)
    raise ValueError(f"an activation of shape {activation.shape[1:]} has no tokens or positions to pool")


@dataclass(frozen=True, slots=True)
class Norm:
    """How the predictor's inputs are standardised: means and scales (F,)."""

    mean: Floats
    scale: Floats

    def write(self, path: Path) -> None:
        """See `Predictor.norm`."""
        path.write_bytes(np.stack([self.mean, self.scale]).astype("<f4").tobytes())

    @classmethod
    def read(cls, path: Path) -> Norm:
        """See `Predictor.norm`. Raises BundleError when these cannot be means and scales."""
        values = np.frombuffer(path.read_bytes(), np.uint8)
        if len(values) == 0 or len(values) % 8:
            raise BundleError(f"{path} has {len(values)} bytes, not two rows of float32: convert again")
        mean, scale = values.view("<f4").astype(np.float32).reshape(2, -1)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise BundleError(f"{path} must hold finite means and scales above 0: convert again")
        return cls(mean, scale)


def predictor_inputs(numbers: Floats, activation: Floats, norm: Norm) -> Floats:
    """Bank numbers (N, 11) and the activation (N, ...) at the first exit -> (N, F), standardised.

    Raises ValueError when `norm` is of another width.
    """
    raw = np.concatenate([numbers, pooled(activation)], axis=1)
    return ((raw - norm.mean) / norm.scale).astype(np.float32)


def _standardised(sims: Floats) -> Floats:
    """Each row less its mean, over its standard deviation."""
    made: Floats = (sims - sims.mean(1, keepdims=True)) / np.maximum(sims.std(1, keepdims=True), np.float32(_FLAT))
    return made


def _skewness(sims: Floats) -> Floats:
    z = _standardised(sims)
    made: Floats = (z * z * z).mean(1)  # z ** 3 takes forty times as long
    return made


def _in_common(one: Floats, other: Floats) -> Floats:
    """Of equal similarities the earlier row counts as the better one."""
    made: Floats = (_are_best(one) & _are_best(other)).sum(1, dtype=np.float32) / np.float32(_BEST)
    return made


def _are_best(sims: Floats) -> npt.NDArray[np.bool_]:
    """(N, R) whether a similarity is among the 20 best of its row. Not by sorting: that takes twenty times as long."""
    least = np.partition(sims, -_BEST, axis=1)[:, -_BEST, None]
    better, equal = sims > least, sims == least
    room = _BEST - better.sum(1, keepdims=True)
    made: npt.NDArray[np.bool_] = better | (equal & (equal.cumsum(1) <= room))
    return made
