"""Stage `export`: everything learnt as TFLite files, laid out as the bundle will be."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from converter import layout
from converter.learnt import Learnt, Predictor
from converter.predictor import Gate, SurvivalNet
from converter.stages import Context, load_arrays, load_record, save_record
from converter.steps.calibrate import load_calibrations
from converter.steps.choose import load_chosen
from converter.steps.heal import Healed
from converter.steps.predict import load_nets
from converter.steps.trunk import healed_tower, learnt_heads
from converter.towers.tower import ItemTower
from converter.writing import write_item_tower
from edge.bundle import Tower
from edge.relevance import Norm

SAMPLES = 256  # of the predictor's inputs, to find the ranges of its integers


def export(context: Context, folder: Path) -> None:
    """files/: all but the manifest; image.json: its item tower."""
    torch.set_num_threads(1)
    tower = healed_tower(context)
    learnt = learnt_of(context, tower)
    files = folder / "files"
    shutil.copytree(context.artefacts["towers"] / "query", files)
    spec = layout.item_spec(context.recipe, tower, learnt)
    models = len(spec.segments) + 2 * len(spec.exits) + len(learnt.gates)
    with context.console.bar(models, "models to TFLite") as tick:
        write_item_tower(files, tower, spec, learnt, tick)
    save_record(folder / "image.json", spec)


def learnt_of(context: Context, tower: ItemTower) -> Learnt:
    """What the stages before this one have learnt."""
    artefacts, recipe = context.artefacts, context.recipe
    healed = load_record(Healed, artefacts["heal"] / "healed.json")
    heads = learnt_heads(context, tower, healed.exits)
    chosen, calibrations = load_chosen(artefacts["choose"]), load_calibrations(artefacts["calibrate"])
    known = bool(calibrations.final)
    nets = load_nets(artefacts["predict"], len(healed.exits), recipe.predict) if known else {}
    predictor = None
    if known:
        gate = nets["predictor"]
        samples = torch.from_numpy(load_arrays(artefacts["predict"] / "samples.npz")["predictor"][:SAMPLES])
        predictor = Predictor(
            net=_joined(gate).net,
            norm=Norm(gate.mean.numpy(), gate.scale.numpy()),
            samples=((samples - gate.mean) / gate.scale).numpy(),
        )
    width = _features(context)
    with torch.no_grad():
        dimension = int(heads[healed.exits[-1]].query(torch.zeros(1, width)).shape[1])
    return Learnt(
        exits=healed.exits,
        items={depth: heads[depth].item for depth in healed.exits},
        queries={depth: heads[depth].query for depth in healed.exits},
        costs=dict(zip(healed.exits, healed.costs, strict=True)),
        dimension=dimension,
        width=width,
        bank=load_arrays(artefacts["label"] / "bank.npz")["bank"] if known else None,
        calibrations=dict(zip(healed.exits, calibrations.final, strict=True)) if known else {},
        notes=calibrations.notes,
        predictor=predictor,
        gates={depth: _joined(nets[f"gate-{place}"]) for place, depth in enumerate(healed.exits)} if known else {},
        policies=chosen.policies,
    )


def _joined(gate: Gate) -> Gate:
    if not isinstance(gate.net, SurvivalNet):
        raise TypeError("nets are joined once")
    return Gate(gate.mean, gate.scale, gate.net.joined())


def load_spec(folder: Path) -> Tower:
    """The item tower's part of the manifest. Raises ArtefactError."""
    return load_record(Tower, folder / "image.json")


def _features(context: Context) -> int:
    return int(load_arrays(context.artefacts["towers"] / "captions.npz")["features"].shape[2])
