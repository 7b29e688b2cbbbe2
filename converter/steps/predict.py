"""Stage `predict`: predictor and gates, for every fold from the others (to be judged) and from all (to be shipped)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from converter.labels import Rows, query_ranks, survival
from converter.neighbours import neighbour_numbers
from converter.predictor import Gate, SurvivalNet, fit_net
from converter.probe import stream_features
from converter.recipe import PredictRecipe
from converter.stages import Context, load_record, save_arrays
from converter.steps.catalogue import load_catalogue, pixels
from converter.steps.heal import Healed
from converter.steps.label import fold_files, load_fold
from converter.steps.trunk import healed_tower
from edge.bundle import SCALE
from edge.items import Floats
from edge.relevance import Profile, gate_inputs, pooled

Ticker = Callable[[int], object]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Of one fold: what the predictor reads (N, F), each gate with the bank alone, with neighbours too, the labels."""

    predictor: Floats
    gates: list[Floats]
    neighbours: list[Floats]
    survival: Floats


def predict(context: Context, folder: Path) -> None:
    """predictions-0.npz ... by nets that had not seen the fold; nets.safetensors, samples.npz from all folds."""
    torch.set_num_threads(1)
    files = fold_files(context.artefacts["label"])
    if not files:
        return
    folds = [_inputs(context, path) for path in files]
    recipe, seed = context.recipe.predict, context.seed
    count = (len(folds) + 1) * recipe.nets * (1 + 2 * len(folds[0].gates))
    with context.console.bar(count, "nets") as tick:
        for number, fold in enumerate(folds):
            others = [one for place, one in enumerate(folds) if place != number]
            nets = _fit(others, recipe, seed, tick, neighbours=True)
            save_arrays(folder / f"predictions-{number}.npz", **_apply(nets, fold), labels=fold.survival)
        final = _fit(folds, recipe, seed, tick, neighbours=False)
    save_file(
        {f"{name}.{key}": value.contiguous() for name, net in final.items() for key, value in net.state_dict().items()},
        folder / "nets.safetensors",
    )
    save_arrays(folder / "samples.npz", predictor=np.concatenate([fold.predictor for fold in folds]))


def load_nets(folder: Path, exits: int, recipe: PredictRecipe) -> dict[str, Gate]:
    """`predictor` and `gate-0` ... of what ships."""
    numbers = load_file(folder / "nets.safetensors")
    nets = {}
    for name in ("predictor", *(f"gate-{exit_}" for exit_ in range(exits))):
        own = {key.removeprefix(f"{name}."): x for key, x in numbers.items() if key.startswith(f"{name}.")}
        outputs = exits if name == "predictor" else exits - int(name.removeprefix("gate-"))
        net = Gate(own["mean"], own["scale"], SurvivalNet(len(own["mean"]), outputs, recipe, 0))
        net.load_state_dict(own)
        nets[name] = net.requires_grad_(requires_grad=False).eval()
    return nets


def _inputs(context: Context, path: Path) -> Inputs:
    scored, bank = load_fold(path)
    survive = context.recipe.label.survive
    profiles = [Profile.of(items, stock, SCALE) for items, stock in zip(scored.items, bank, strict=True)]
    before = [None, *profiles[:-1]]
    gates = [gate_inputs(here, earlier) for here, earlier in zip(profiles, before, strict=True)]
    near = [neighbour_numbers(items, stock) for items, stock in zip(scored.items, bank, strict=True)]
    return Inputs(
        predictor=np.concatenate([profiles[0].numbers, _pooled(context, scored.numbers)], axis=1),
        gates=gates,
        neighbours=[np.concatenate([gate, one], axis=1) for gate, one in zip(gates, near, strict=True)],
        survival=survival(query_ranks(scored), scored.owners, len(scored.numbers), survive),
    )


def _pooled(context: Context, rows: Rows) -> Floats:
    """(N, F) what the device pools of the activation at the first exit."""
    tower, catalogue = healed_tower(context), load_catalogue(context.artefacts["towers"])
    first = load_record(Healed, context.artefacts["heal"] / "healed.json").exits[0]
    with context.console.bar(len(rows), "items to the first exit") as tick:
        found = stream_features(
            tower,
            pixels(catalogue, rows, tower.preprocess),
            [first],
            lambda x: torch.from_numpy(pooled(x.numpy())),
            tick,
        )
    made: Floats = found[first].numpy()
    return made


def _fit(
    folds: Sequence[Inputs], recipe: PredictRecipe, seed: int, tick: Ticker, *, neighbours: bool
) -> dict[str, Gate]:
    labels = torch.from_numpy(np.concatenate([fold.survival for fold in folds]))

    def net(told: str, parts: list[Floats], first: int = 0) -> Gate:
        x = torch.from_numpy(np.concatenate(parts).astype(np.float32))
        return fit_net(x, labels[:, first:], recipe, seed + first, tick, told=told)

    nets = {"predictor": net("the predictor", [fold.predictor for fold in folds])}
    for exit_ in range(labels.shape[1]):
        nets[f"gate-{exit_}"] = net(f"the gate of exit {exit_}", [fold.gates[exit_] for fold in folds], exit_)
        if neighbours:
            told = f"the gate of exit {exit_} with neighbours"
            nets[f"neighbours-{exit_}"] = net(told, [fold.neighbours[exit_] for fold in folds], exit_)
    return nets


@torch.no_grad()
def _apply(nets: dict[str, Gate], fold: Inputs) -> dict[str, Floats]:
    read: dict[str, Floats] = {"predictor": fold.predictor}
    for exit_ in range(len(fold.gates)):
        read |= {f"gate-{exit_}": fold.gates[exit_], f"neighbours-{exit_}": fold.neighbours[exit_]}
    return {name: torch.sigmoid(net(_tensor(read[name]))).numpy() for name, net in nets.items()}


def _tensor(x: Floats) -> Tensor:
    return torch.from_numpy(x.astype(np.float32))
