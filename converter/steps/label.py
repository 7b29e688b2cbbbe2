"""Stage `label`: held-out items and their captions at every exit, by heads that have seen neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from converter.heads.fitting import ExitHeads, fit_heads, published_heads
from converter.labels import Scored
from converter.recipe import PublishedHeads
from converter.stages import Context, load_arrays, save_arrays
from converter.steps.catalogue import Rows, load_captions, load_catalogue
from converter.steps.study import load_features, study_of, taught_rows
from converter.towers.opening import open_item_tower, open_query_tower
from edge.items import Floats

Known = npt.NDArray[np.bool_]
LEAST_PAIRS = 200  # query-item pairs; fewer say nothing of where an item may leave


def label(context: Context, folder: Path) -> None:
    """bank.npz, and fold-0.npz ... with what the heads of that fold make of its items; none without enough pairs."""
    torch.set_num_threads(1)
    recipe, towers = context.recipe, context.artefacts["towers"]
    catalogue, captions = load_catalogue(towers), load_captions(towers)
    held = catalogue.rows("held")
    if captions.any is None or captions.known[held].sum() < LEAST_PAIRS:
        context.console.say(f"  fewer than {LEAST_PAIRS} held-out captions: no labels, no calibration, one fixed exit")
        return
    bank = _bank(context, catalogue.rows("train"), captions.features.numpy(), captions.known)
    save_arrays(folder / "bank.npz", bank=bank)
    features = load_features(context.artefacts["heal"] / "features.npz")
    tower = open_item_tower(recipe.item, context.order.checkpoint)
    for number, rows in enumerate(catalogue.folds(recipe.label.folds)):
        others = np.setdiff1d(taught_rows(catalogue, captions), rows)
        heads: dict[int, ExitHeads]
        if isinstance(recipe.heads, PublishedHeads):
            query = open_query_tower(recipe.query, context.order.query_checkpoint)
            heads = published_heads(tower, query, features)
        else:
            study = study_of(catalogue, captions, features, others)
            heads = fit_heads(tower, study, recipe.heads, context.seed, context.console)
        _save_fold(folder / f"fold-{number}.npz", heads, features, captions.features[torch.from_numpy(rows)],
                   captions.known[rows], rows, bank)  # fmt: skip


def load_fold(path: Path) -> tuple[Scored, Floats]:
    """One fold, and the bank through its query heads, (E, R, D). Raises ArtefactError."""
    arrays = load_arrays(path)
    return Scored(arrays["items"], arrays["queries"], arrays["known"], arrays["rows"]), arrays["bank"]


def fold_files(folder: Path) -> list[Path]:
    """The files of all folds, in order; none where there were not enough pairs."""
    return sorted(folder.glob("fold-*.npz"))


def _bank(context: Context, train: Rows, features: Floats, known: Known) -> Floats:
    """(R, G) captions of train items, one of each at most, at random."""
    random = np.random.default_rng(context.seed)
    with_captions = train[known[train].any(1)]
    picked = random.permutation(with_captions)[: context.recipe.calibrate.bank]
    places = [int(random.choice(np.flatnonzero(known[row]))) for row in picked]
    rows: Floats = features[picked, places]
    return rows


@torch.no_grad()
def _save_fold(
    path: Path, heads: dict[int, ExitHeads], features: dict[int, torch.Tensor], captions: torch.Tensor,
    known: Known, rows: Rows, bank: Floats,
) -> None:  # fmt: skip
    flat, stock, own = captions.flatten(0, 1), torch.from_numpy(bank), torch.from_numpy(rows)
    save_arrays(
        path,
        items=np.stack([heads[depth].item.embed(x[own]).numpy() for depth, x in features.items()]),
        queries=np.stack([heads[depth].query(flat).reshape(*known.shape, -1).numpy() for depth in features]),
        bank=np.stack([heads[depth].query(stock).numpy() for depth in features]),
        known=known,
        rows=rows,
    )
