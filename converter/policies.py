"""What a policy costs and finds: items leave at their exits, the filter takes a pool, the pool is finished and ranked.

Every policy is held against the calibrated fixed exit of equal milliseconds, a random policy with its own histogram,
and the split oracle. Shapes: E exits, Q queries, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from converter.labels import Ranks, Rows, survival
from edge.errors import ReminisceError
from edge.items import Floats
from edge.policy import Rule, choose, leaves

CUTS = (1, 5, 10)
POOL = 50
RESAMPLES = 1000
_UNSURE = 0.05  # of the resamples may keep less than `kept_at_least`
MOST_AT_ONE_EXIT, MOST_OF_ONE_LABEL = 0.95, 0.8
TOLD = 3  # of an item's queries, for the split oracle
Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Items as a device would hold them, at every exit.

    logits: (E, Q, N) score of every query with every item; owners: (Q,) each query's item
    costs:  (E,) share of the milliseconds of full depth; layers: of the tower
    gallery: items among which pool and cuts are meant, which are scaled as ranks are for labels: a pool of all 50 in a
             fold of 750 made exits look a point or two of recall@10 better than they are. None: as many as there are
    """

    logits: Floats
    owners: Rows
    costs: Floats
    layers: int
    gallery: int | None = None

    @property
    def scale(self) -> float:
        """Items there are, of one of the gallery."""
        items = self.logits.shape[2]
        return float(items / (self.gallery or items))

    def restricted(self, judging: Hits) -> Scene:
        """Only the queries of a (Q,) mask ask; all items stay."""
        return replace(self, logits=self.logits[:, judging], owners=self.owners[judging])


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A policy at one setting. exits: (N,) where each item left; hits: (Q, 3), see `search`."""

    policy: str
    centre: float
    cost: float
    exits: Rows
    hits: Hits

    @property
    def recall(self) -> tuple[float, float, float]:
        """At 1, 5 and 10."""
        one, five, ten = (float(value) for value in self.hits.mean(0))
        return one, five, ten

    def histogram(self, count: int) -> tuple[float, ...]:
        """Share of the items that left at each of `count` exits."""
        return tuple(float(share) for share in np.bincount(self.exits, minlength=count) / len(self.exits))


def search(scene: Scene, exits: Rows, pool: int) -> Hits:
    """(Q, 3) whether a query's own item is among the first 1, 5, 10: filter, pool, finish at the last exit, rank.

    `pool` and the three are of the scene's gallery.
    """
    coarse = np.empty_like(scene.logits[0])
    for exit_ in np.unique(exits):
        here = exits == exit_
        coarse[:, here] = scene.logits[exit_][:, here]
    fine, every = scene.logits[-1], np.arange(len(scene.owners))
    size = min(max(1, round(pool * scene.scale)), coarse.shape[1])
    chosen = np.argpartition(-coarse, size - 1, axis=1)[:, :size]
    kept = (chosen == scene.owners[:, None]).any(1)
    own = fine[every, scene.owners]
    before = (~(np.take_along_axis(fine, chosen, 1) < own[:, None])).sum(1) - 1  # NaN stands before it
    made: Hits = (before[:, None] < np.array(CUTS) * scene.scale) & kept[:, None]
    return made


def outcome(scene: Scene, policy: str, centre: float, exits: Rows, pool: int = POOL) -> Outcome:
    """Measure one assignment of items to exits."""
    return Outcome(policy, centre, float(scene.costs[exits].mean()), exits, search(scene, exits, pool))


def fixed(scene: Scene, pool: int = POOL) -> list[Outcome]:
    """Everything leaves at one exit, for each of them."""
    items = scene.logits.shape[2]
    return [
        outcome(scene, "fixed", scene.layers * float(cost), np.full(items, exit_), pool)
        for exit_, cost in enumerate(scene.costs)
    ]


def predicted(known: Floats) -> Callable[[Rule], Rows]:
    """One early decision from (N, E) predicted survival."""
    return lambda rule: choose(known, rule)


def gated(known: Sequence[Floats]) -> Callable[[Rule], Rows]:
    """A decision at every exit e, from (N, E - e) survival predicted there."""

    def decide(rule: Rule) -> Rows:
        going = np.ones(len(known[0]), dtype=bool)
        exits = np.full(len(going), len(known) - 1)
        for exit_, here in enumerate(known):
            out = going & leaves(here, rule, exit_)
            exits[out] = exit_
            going &= ~out
        return exits

    return decide


def shuffled(exits: Rows, seed: int) -> Rows:
    """The same histogram, dealt at random: what a policy must beat beside the fixed exit."""
    return np.random.default_rng(seed).permutation(exits)


def split_oracle(ranks: Ranks, owners: Rows, items: int, survive: int, seed: int) -> tuple[Floats, Hits]:
    """Who knows up to three of an item's queries and is judged on its others; ranks (E, Q) among all `items`.

    Returns the survival (N, E) by the queries that are told, drawn at random, and the (Q,) mask of those that judge:
    restrict the scene to them for the oracle and for what it is held against. Of two queries or more one judges; an
    only one is told. Labels and judgement by the same queries would flatter: half of survival belongs to the query.
    """
    order = np.random.default_rng(seed).permutation(len(owners))
    order = order[np.argsort(owners[order], kind="stable")]  # by item, in each at random
    counts = np.bincount(owners, minlength=items)
    place = np.empty(len(owners), dtype=np.int64)
    place[order] = np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners[order]]
    told = place < np.clip(counts - 1, 1, TOLD)[owners]
    return survival(ranks[:, told], owners[told], items, survive), ~told


def sweep(
    scene: Scene,
    policy: str,
    mean_survival: Floats,
    stray: float,
    decide: Callable[[Rule], Rows],
    centres: Sequence[float],
    pool: int = POOL,
) -> list[Outcome]:
    """A policy along its knob: one outcome for each centre (in layers)."""
    rules = [Rule(scene.costs, mean_survival, scene.layers, stray, centre) for centre in centres]
    return [outcome(scene, policy, rule.centre, decide(rule), pool) for rule in rules]


@dataclass(frozen=True, slots=True)
class Gain:
    """What a policy finds more than the fixed exit of equal milliseconds: paired over items, bootstrap errors."""

    at_1: float
    error_1: float
    at_10: float
    error_10: float

    @property
    def wins(self) -> bool:
        """By more than two standard errors at 10, and not worse by as much at 1."""
        return self.at_10 > 2 * self.error_10 and self.at_1 >= -2 * self.error_1


def gain(outcomes: Sequence[Outcome], baseline: Sequence[Outcome], owners: Rows, seed: int) -> Gain:
    """Mean over `outcomes` of the difference to `baseline` at equal cost, baseline interpolated between its exits."""
    differences = np.mean([one.hits - at_cost(baseline, one.cost) for one in outcomes], axis=0)
    sums = resampled(np.column_stack([differences[:, [0, 2]], np.ones(len(owners))]), owners, seed)
    errors = [float((sums[:, column] / sums[:, 2]).std()) for column in (0, 1)]
    return Gain(
        at_1=float(differences[:, 0].mean()),
        error_1=errors[0],
        at_10=float(differences[:, 2].mean()),
        error_10=errors[1],
    )


def kept_at_least(one: Outcome, full: Outcome, owners: Rows, seed: int) -> float:
    """Share of the recall@10 of `full` that is kept in 95 % of the resamples of items; 0 where `full` finds nothing."""
    mine, its = resampled(np.column_stack([one.hits[:, 2], full.hits[:, 2]]), owners, seed).T
    return float(np.quantile(np.where(its > 0, mine / np.maximum(its, 1), 0), _UNSURE))


def resampled(values: Floats, owners: Rows, seed: int) -> Floats:
    """(Q, C) values of queries -> (RESAMPLES, C) sums over items that are drawn anew with all their queries."""
    items = np.unique(owners)
    of_items = np.stack([np.bincount(owners, weights=column)[items] for column in values.T], axis=1)
    picks = np.random.default_rng(seed).integers(0, len(items), (RESAMPLES, len(items)))
    made: Floats = np.stack([column[picks].sum(1) for column in of_items.T], axis=1)
    return made


def at_cost(baseline: Sequence[Outcome], cost: float) -> Floats:
    """(Q, 3) hits of the fixed exit at `cost`; between two exits the mean of their hits, by distance."""
    if len(baseline) == 1:
        return baseline[0].hits.astype(np.float32)
    costs = [one.cost for one in baseline]
    above = int(np.clip(np.searchsorted(costs, cost), 1, len(costs) - 1))
    low, high = baseline[above - 1], baseline[above]
    share = float(np.clip((cost - low.cost) / (high.cost - low.cost), 0, 1))
    made: Floats = ((1 - share) * low.hits + share * high.hits).astype(np.float32)
    return made


class CollapseError(ReminisceError, ValueError):
    """A policy sends nearly everything to one exit, while its labels spread."""


def collapsed(exits: Rows, labels: Rows) -> bool:
    """Of (N,) exits and (N,) labels: more than 95 % leave at one exit, of the labels less than 80 % are one."""
    return _largest(exits) > MOST_AT_ONE_EXIT and _largest(labels) < MOST_OF_ONE_LABEL


def check_not_collapsed(policy: str, outcomes: Sequence[Outcome], labels: Rows, depths: Sequence[int]) -> None:
    """Judged at one setting, that of middling cost: near an end of its knob every policy sends all to one exit.

    A collapse at other settings is not seen. Raises CollapseError.
    """
    costs = np.array([one.cost for one in outcomes])
    middle = outcomes[int(np.abs(costs - (costs.min() + costs.max()) / 2).argmin())]
    if collapsed(middle.exits, labels):
        depth = depths[int(np.bincount(middle.exits).argmax())]
        raise CollapseError(
            f"policy {policy} sends {_largest(middle.exits):.0%} of the items to depth {depth}, while labels spread"
            f" (at most {_largest(labels):.0%} at one exit): raise predict.stray or predict.epochs"
        )


def _largest(exits: Rows) -> float:
    return float(np.bincount(exits).max() / len(exits))
