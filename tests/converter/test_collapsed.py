"""A build whose policy sends everything to one exit fails in `choose`, and names the policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.console import Console
from converter.labels import query_ranks, survival
from converter.policies import CollapseError
from converter.recipe import load_recipe
from converter.stages import Context, Order, save_arrays, save_record
from converter.steps.calibrate import Calibrations
from converter.steps.choose import choose, load_chosen
from converter.steps.heal import Healed
from converter.steps.label import load_fold
from edge.bundle import Calibration
from edge.items import Floats
from tiny_build import RECIPE

pytestmark = pytest.mark.convert

EXITS, ITEMS, WIDTH = 3, 120, 16
MAP = Calibration(cosine=5.0, mean=0.0, spread=0.0, top=0.0, bias=0.0)


def unit(x: npt.NDArray[np.float64]) -> Floats:
    made: Floats = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    return made


@pytest.fixture
def context(tmp_path: Path, console: Console) -> Context:
    """Two folds in which a third of the items is found at each exit first; nothing is predicted yet."""
    stages = {name: tmp_path / name for name in ("heal", "label", "predict", "calibrate")}
    for folder in stages.values():
        folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(2):
        items = unit(random.standard_normal((EXITS, ITEMS, WIDTH)))
        queries = unit(random.standard_normal((EXITS, ITEMS, 1, WIDTH)))
        for exit_ in range(EXITS):
            found = np.arange(ITEMS) % EXITS <= exit_
            queries[exit_, found, 0] = items[exit_, found]
            queries[exit_, ~found, 0] = -items[exit_, ~found]
        arrays = {"items": items, "queries": queries, "bank": unit(random.standard_normal((EXITS, 30, WIDTH)))}
        known, rows = np.ones((ITEMS, 1), dtype=bool), np.arange(ITEMS)
        save_arrays(stages["label"] / f"fold-{number}.npz", **arrays, known=known, rows=rows)
    save_record(stages["calibrate"] / "calibrations.json", Calibrations(folds=((MAP,) * EXITS,) * 2, final=()))
    ms = (1.0, 2.0, 3.0)
    healed = Healed(exits=(1, 2, 4), costs=(0.33, 0.66, 1.0), ms=ms, float32_ms=ms, precision="float32", windows=())
    save_record(stages["heal"] / "healed.json", healed)
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(tmp_path / "tiny.yaml")
    return Context(out=tmp_path, recipe=recipe, order=Order(), console=console, artefacts=stages)


def predict(context: Context, *constant: str) -> None:
    """Predictions that know the labels, but for those that say the same of every item."""
    for number in range(2):
        scored, _ = load_fold(context.artefacts["label"] / f"fold-{number}.npz")
        labels = survival(query_ranks(scored), scored.owners, ITEMS, context.recipe.label.survive)
        told = {"predictor": labels}
        for exit_ in range(EXITS):
            told |= {f"gate-{exit_}": labels[:, exit_:], f"neighbours-{exit_}": labels[:, exit_:]}
        for name, known in told.items():
            if name.partition("-")[0] in constant:
                told[name] = np.full_like(known, labels.mean())
        save_arrays(context.artefacts["predict"] / f"predictions-{number}.npz", **told, labels=labels)


@pytest.mark.parametrize(("constant", "policy"), [("predictor", "predict"), ("gate", "gate")])
def test_policy_that_says_the_same_of_every_item_fails_the_build_by_its_name(
    context: Context, tmp_path: Path, constant: str, policy: str
) -> None:
    predict(context, constant)
    with pytest.raises(
        CollapseError, match=rf"^policy {policy} sends 100% of the items to depth \d, while labels spread"
    ):
        choose(context, tmp_path)
    assert not (tmp_path / "chosen.json").exists()


def test_policies_that_tell_items_apart_pass(context: Context, tmp_path: Path) -> None:
    predict(context)
    choose(context, tmp_path)
    chosen = load_chosen(tmp_path)
    assert chosen.labels == (2 * ITEMS // 3,) * 3
    assert chosen.policies


def test_gate_with_neighbours_may_collapse_for_it_never_ships(context: Context, tmp_path: Path) -> None:
    predict(context, "neighbours")
    choose(context, tmp_path)
    assert load_chosen(tmp_path).policies
