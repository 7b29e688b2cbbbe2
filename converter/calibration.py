"""Per exit a logistic map from [cosine, the item's bank statistics] to the probability of relevance.

It makes scores of different exits comparable, damps items that everything finds a little, and costs one number an item.
Shapes: Q queries, N items, R bank rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converter.labels import GALLERY, Rows, Scored
from edge.bundle import SCALE, Calibration
from edge.items import Floats
from edge.relevance import bank_numbers, offset

_MEAN, _SPREAD, _TOP = 4, 5, 10
_ROUNDS = 50
_SMALL = 1e-6  # a step, in standardised units
_RIDGE = 1e-4  # for each right pair: keeps the map finite where all are right
_LEAST = 1e-3  # a cosine never counts against relevance
BINS = 10
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What a map is fitted on: at one exit (Q, N) cosines, (N, 11) bank numbers, (Q,) each query's item."""

    cosines: Floats
    numbers: Floats
    owners: Rows


def note_gallery(scored: Scored, bank: Floats) -> Gallery:
    """Texts as items: of each item with two captions or more the first is the note, and the others ask for it.

    All at the query tower's end, as its last head makes them; bank: (R, D) there. One note an item, as there is one
    picture an item in the galleries of the exits, so that the maps of both say how likely a match is at the same rate.
    """
    has_two = scored.known.sum(1) > 1
    embeddings, known = scored.queries[-1][has_two], scored.known[has_two]
    first = known.argmax(1)
    rows = np.arange(len(known))
    notes: Floats = embeddings[rows, first]
    asks = known.copy()
    asks[rows, first] = False
    asked: Floats = embeddings[asks]
    return Gallery(asked @ notes.T, item_numbers(notes, bank), np.nonzero(asks)[0])


def fit_calibration(galleries: Sequence[Gallery], non_matches: int, seed: int) -> Calibration:
    """The map of one exit, by weighted logistic regression.

    Each query's own item against its hardest and against random other items, weighted as in a gallery of 1,000: the
    hardest are where an answer is decided, the others give the rate. Cosines that say nothing (an untrained tower's)
    get next to no weight, so that the bank numbers alone give the rate.
    """
    random = np.random.default_rng(seed)
    parts = [_pairs(gallery, non_matches, random) for gallery in galleries]
    inputs, right, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    fitted = _logistic(inputs, right, weights, np.zeros(len(right)))
    if fitted[0] < _LEAST:
        fitted = np.append(_LEAST, _logistic(inputs[:, 1:], right, weights, _LEAST * inputs[:, 0]))
    cosine, mean, spread, top, bias = (float(value) for value in fitted)
    return Calibration(cosine=cosine, mean=mean, spread=spread, top=top, bias=bias)


def _pairs(gallery: Gallery, non_matches: int, random: np.random.Generator) -> tuple[Doubles, Doubles, Doubles]:
    """Inputs (P, 4), right or wrong (P,) and weights (P,) of the pairs of one gallery."""
    cosines, owners = gallery.cosines, gallery.owners
    queries, items = cosines.shape
    non_matches = min(non_matches, items - 1)
    masked = cosines.copy()
    masked[np.arange(queries), owners] = -np.inf
    hard = np.argpartition(-masked, non_matches - 1, axis=1)[:, :non_matches]
    chance = random.integers(0, items - 1, (queries, non_matches))
    chance += chance >= owners[:, None]  # never the query's own
    fresh = ~(chance[:, :, None] == hard[:, None, :]).any(2)
    scale = (GALLERY - 1) / (items - 1)
    rest = scale * (items - 1 - non_matches) / np.maximum(fresh.sum(1, keepdims=True), 1)
    columns = np.concatenate([owners[:, None], hard, chance], axis=1)
    weights = np.concatenate([np.ones((queries, 1)), np.full(hard.shape, scale), fresh * rest], axis=1)
    flat = columns.ravel()
    numbers = gallery.numbers[flat]
    inputs: Doubles = np.column_stack(
        [np.take_along_axis(cosines, columns, 1).ravel(), numbers[:, [_MEAN, _SPREAD, _TOP]]]
    ).astype(np.float64)  # in float32 the spread of a constant column is rounding, and would be scaled up
    right = np.zeros(columns.shape)
    right[:, 0] = 1
    return inputs, right.ravel(), weights.ravel()


def _logistic(inputs: Doubles, right: Doubles, weights: Doubles, given: Doubles) -> Doubles:
    """Weights and bias of a logistic regression beside `given` logits, by Newton's method on standardised inputs."""
    mean, spread = inputs.mean(0), inputs.std(0) + 1e-9
    x = np.column_stack([(inputs - mean) / spread, np.ones(len(inputs))])
    ridge = np.append(np.full(inputs.shape[1], _RIDGE * (weights @ right)), 0.0)

    def loss(beta: Doubles) -> float:
        logits = x @ beta + given
        return float(weights @ (np.logaddexp(0, logits) - right * logits) + ridge @ beta**2 / 2)

    beta = np.zeros(x.shape[1])
    beta[-1] = np.log((weights @ right) / (weights @ (1 - right))) - given.mean()
    for _ in range(_ROUNDS):
        chance = 0.5 + 0.5 * np.tanh((x @ beta + given) / 2)
        slope = x.T @ (weights * (right - chance)) - ridge * beta
        curve = (x * (weights * chance * (1 - chance))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        before = loss(beta)
        while loss(beta + step) > before and np.abs(step).max() > _SMALL:  # a whole step can overshoot rare matches
            step /= 2
        beta += step
        if np.abs(step).max() < _SMALL:
            break
    plain = beta[:-1] / spread
    made: Doubles = np.append(plain, beta[-1] - plain @ mean)
    return made


def item_numbers(items: Floats, bank: Floats, scale: float = SCALE) -> Floats:
    """(N, D) embeddings and (R, D) bank rows at one exit -> (N, 11), see edge.relevance."""
    return bank_numbers(items @ bank.T, scale)


def calibrated(cosines: Floats, numbers: Floats, calibration: Calibration) -> Floats:
    """(Q, N) logits of relevance."""
    made: Floats = np.float32(calibration.cosine) * cosines + offset(numbers, calibration)[None, :]
    return made


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities keep what they say, on each query's best items.

    bins: (mean predicted, share right, count), of equal mass; ece: their mean distance by count; skill: 1 - brier /
    brier of saying the base rate always (0 where all are right or none is: there is nothing to know)
    """

    bins: tuple[tuple[float, float, int], ...]
    ece: float
    brier: float
    base_rate: float
    skill: float


def reliability(logits: Floats, owners: Rows, best: int) -> Reliability:
    """Of (Q, N) calibrated logits, on the `best` items of each query."""
    top = np.argpartition(-logits, min(best, logits.shape[1]) - 1, axis=1)[:, :best]
    chance = 1 / (1 + np.exp(-np.take_along_axis(logits, top, 1).astype(np.float64).ravel()))
    right = (top == owners[:, None]).ravel().astype(np.float64)
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    bins = tuple((float(chance[part].mean()), float(right[part].mean()), len(part)) for part in parts)
    base = right.mean()
    brier, constant = ((chance - right) ** 2).mean(), base * (1 - base)
    ece = sum(abs(said - came) * count for said, came, count in bins) / len(chance)
    skill = 1 - brier / constant if constant > 0 else 0.0
    return Reliability(bins, float(ece), float(brier), float(base), float(skill))
