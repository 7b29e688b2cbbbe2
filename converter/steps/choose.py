"""Stage `choose`: every policy on held-out items, out of fold, against the calibrated fixed exit of equal cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.calibration import calibrated, item_numbers
from converter.labels import GALLERY, Rows, first_exits, query_ranks
from converter.policies import (
    Outcome,
    Scene,
    check_not_collapsed,
    fixed,
    gain,
    gated,
    kept_at_least,
    predicted,
    sweep,
)
from converter.stages import Context, load_arrays, load_record, save_record
from converter.steps.calibrate import load_calibrations
from converter.steps.heal import Healed
from converter.steps.label import fold_files, load_fold
from edge.bundle import Policies, Policy, PolicySetting
from edge.items import Floats
from edge.policy import Rule

CENTRES = 17  # places of the knob that are measured, from the first exit's cost to the end
INSIDE = (0.3, 0.75)  # costs at which a policy is compared: beyond them hardly anything is left to choose
SHIPPED: dict[str, Policy] = {"predict": "predict", "gate": "gate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A policy against the calibrated fixed exit of equal milliseconds, mean over settings inside; cost: theirs."""

    policy: str
    cost: float
    at_1: float
    error_1: float
    at_10: float
    error_10: float
    wins: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """policies: None without labels; labels: items by first sufficient exit, shallow to deep."""

    policies: Policies | None
    reason: str
    compared: tuple[Compared, ...] = ()
    labels: tuple[int, ...] = ()


def choose(context: Context, folder: Path) -> None:
    """chosen.json. Raises CollapseError where a policy sends nearly everything to one exit."""
    files = fold_files(context.artefacts["label"])
    if not files:
        reason = "fixed: without enough query-item pairs nothing could be compared"
        save_record(folder / "chosen.json", Chosen(policies=None, reason=reason))
        return
    healed = load_record(Healed, context.artefacts["heal"] / "healed.json")
    trial = Trial(context, files, healed)
    base = trial.run("fixed", lambda _fold: None)
    outcomes = {name: trial.run(name, decide) for name, decide in DECISIONS.items()}
    compared = [_compared(name, found, base, trial.owners, context.seed) for name, found in outcomes.items()]
    for name in SHIPPED:
        check_not_collapsed(name, outcomes[name], trial.labels, healed.exits)
    winner = _winner(compared)
    kept = [*base, *outcomes["predict"], *outcomes["gate"]]
    policies = Policies(
        default=winner,
        stray=context.recipe.predict.stray,
        survival=tuple(round(float(value), 5) for value in trial.survival),
        settings=tuple(
            _setting(one, len(healed.exits), kept_at_least(one, base[-1], trial.owners, context.seed)) for one in kept
        ),
    )
    counts = np.bincount(trial.labels, minlength=len(healed.exits))
    reason = _reason(winner, compared)
    context.console.say(f"  {reason}")
    save_record(
        folder / "chosen.json",
        Chosen(policies=policies, reason=reason, compared=tuple(compared), labels=tuple(int(n) for n in counts)),
    )


class Trial:
    """The folds' scenes side by side; a policy's outcome is that of all folds together."""

    def __init__(self, context: Context, files: Sequence[Path], healed: Healed) -> None:
        self._context, self._costs = context, np.array(healed.costs, dtype=np.float32)
        self._layers = healed.exits[-1]
        calibrations = load_calibrations(context.artefacts["calibrate"]).folds
        self.predictions = [load_arrays(path) for path in sorted(context.artefacts["predict"].glob("predictions-*"))]
        self.survival: Floats = np.concatenate([one["labels"] for one in self.predictions]).mean(0)
        scenes, labels, owners, before = [], [], [], 0
        for path, maps in zip(files, calibrations, strict=True):
            scored, bank = load_fold(path)
            logits = [
                calibrated(scored.cosines(e), item_numbers(items, bank[e]), maps[e])
                for e, items in enumerate(scored.items)
            ]
            scenes.append(Scene(np.stack(logits), scored.owners, self._costs, self._layers, GALLERY))
            ranks = query_ranks(scored)
            labels.append(first_exits(ranks, scored.owners, len(scored.numbers), context.recipe.label.survive))
            owners.append(scored.owners + before)
            before += len(scored.numbers)
        self._scenes = scenes
        self.labels: Rows = np.concatenate(labels)
        self.owners: Rows = np.concatenate(owners)

    def run(self, name: str, decision: Callable[[dict[str, Floats]], Callable[[Rule], Rows] | None]) -> list[Outcome]:
        """A policy along its knob. decision: what decides from a fold's predictions; None leaves all at fixed exits."""
        centres = np.linspace(self._layers * float(self._costs[0]), self._layers, CENTRES)
        parts = []
        for scene, known in zip(self._scenes, self.predictions, strict=True):
            decide = decision(known)
            stray = self._context.recipe.predict.stray
            parts.append(
                fixed(scene) if decide is None else sweep(scene, name, self.survival, stray, decide, centres.tolist())
            )
        return [_together(outcomes) for outcomes in zip(*parts, strict=True)]


def _gates(known: dict[str, Floats], name: str) -> Callable[[Rule], Rows]:
    exits = known["labels"].shape[1]
    return gated([known[f"{name}-{exit_}"] for exit_ in range(exits)])


DECISIONS: dict[str, Callable[[dict[str, Floats]], Callable[[Rule], Rows]]] = {
    "predict": lambda known: predicted(known["predictor"]),
    "gate": lambda known: _gates(known, "gate"),
    "gate+neighbours": lambda known: _gates(known, "neighbours"),
}


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    items = np.array([len(one.exits) for one in outcomes])
    cost = float(np.average([one.cost for one in outcomes], weights=items))
    exits = np.concatenate([one.exits for one in outcomes])
    return Outcome(outcomes[0].policy, outcomes[0].centre, cost, exits, np.concatenate([one.hits for one in outcomes]))


def _compared(name: str, outcomes: Sequence[Outcome], base: Sequence[Outcome], owners: Rows, seed: int) -> Compared:
    inside = [one for one in outcomes if INSIDE[0] <= one.cost <= INSIDE[1]] or list(outcomes)
    found = gain(inside, base, owners, seed)
    return Compared(
        policy=name,
        cost=float(np.mean([one.cost for one in inside])),
        at_1=found.at_1,
        error_1=found.error_1,
        at_10=found.at_10,
        error_10=found.error_10,
        wins=found.wins,
    )


def _winner(compared: Sequence[Compared]) -> Policy:
    """The shipped policy that wins by most, else fixed."""
    winners = [one for one in compared if one.wins and one.policy in SHIPPED]
    return SHIPPED[max(winners, key=lambda one: one.at_10).policy] if winners else "fixed"


def _reason(winner: str, compared: Sequence[Compared]) -> str:
    told = "; ".join(
        f"{one.policy} {one.at_1:+.3f} ± {one.error_1:.3f} recall@1, {one.at_10:+.3f} ± {one.error_10:.3f} recall@10"
        for one in compared
    )
    won = "wins by more than two standard errors" if winner != "fixed" else "nothing wins by two standard errors"
    return f"{winner}: {won} at equal milliseconds ({told})"


def _setting(one: Outcome, exits: int, kept_at_10: float) -> PolicySetting:
    at_1, _, at_10 = one.recall
    return PolicySetting(
        policy="fixed" if one.policy == "fixed" else SHIPPED[one.policy],
        centre=round(one.centre, 4),
        cost=round(min(one.cost, 1.0), 5),
        recall_at_1=round(at_1, 5),
        recall_at_10=round(at_10, 5),
        kept_at_10=round(kept_at_10, 5),
        exits=tuple(round(share, 5) for share in one.histogram(exits)),
    )


def recommended(policies: Policies) -> PolicySetting:
    """What the device takes unless its config says otherwise."""
    return policies.recommended(policies.default)


def load_chosen(folder: Path) -> Chosen:
    """Raises ArtefactError."""
    return load_record(Chosen, folder / "chosen.json")
