"""Stage `towers`: data on its sides, the query tower as files, and all sentences through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converter import layout
from converter.data import PICTURES, SENSED, Dataset, modality, open_data
from converter.data.class_texts import load_class_texts
from converter.features import text_features
from converter.healing.windows import check_windows
from converter.recipe import DistilledHeads, PairedHeads, Recipe
from converter.stages import Context, save_arrays, save_record
from converter.steps.catalogue import Catalogue, Entry, spread
from converter.towers.opening import open_item_tower, open_query_tower
from converter.writing import write_query_tower
from edge.errors import UsageError
from edge.items import Floats
from edge.runtime import Interpreters

THREADS = 2  # of the text tower's calls
FOLDS = 2**16  # places on the line from 0 to 1 that an item's fold is told by


def towers(context: Context, folder: Path) -> None:
    """items.json, captions.npz, and query/: the query tower's files as they will be in the bundle."""
    recipe, order, console = context.recipe, context.order, context.console
    _check_modality(recipe, SENSED.get(recipe.data.kind))
    data = open_data(recipe.data, order.data, bar=console.bar)
    for item in data.items:
        _check_modality(recipe, modality(item.source))
    _say_what_was_skipped(context, data)
    if isinstance(recipe.heads, PairedHeads) and not any(item.texts for item in data.items):
        raise UsageError("heads.kind is paired, which learns from captions: the data has none")
    item_tower = open_item_tower(recipe.item, order.checkpoint)  # what is wrong with it is told before the sentences
    check_windows(recipe, len(item_tower.layers))
    tower = open_query_tower(recipe.query, order.query_checkpoint)
    spec = layout.query_spec(recipe, tower)
    write_query_tower(folder / "query", tower, spec)
    texts, known = spread([item.texts for item in data.items])
    told = [text for entry in load_class_texts() for text in entry.texts()] if _wants_classes(recipe.heads) else []
    sentences = [text for own in texts for text in own] + told
    invoke = Interpreters(folder / "query", "ai-edge-litert", THREADS).invoke
    with console.bar(len(sentences), "sentences") as tick:
        features = text_features(folder / "query", spec, invoke, sentences, tick)
    width = tower.features
    own = features[: len(sentences) - len(told)].reshape(*known.shape, width)
    classes = features[len(sentences) - len(told) :].reshape(-1, 5, width)
    save_arrays(folder / "captions.npz", features=_float32(own), known=known, classes=_float32(classes))
    entries = tuple(
        Entry(name=item.name, path=str(item.source), role=item.role, fold=item.fold(FOLDS) / FOLDS)
        for item in data.items
    )
    skipped = tuple((one.name, one.reason) for one in data.skipped)
    save_record(
        folder / "items.json",
        Catalogue(kind=recipe.data.kind, entries=entries, skipped=skipped, texts_taken=data.texts_taken),
    )


def _wants_classes(heads: object) -> bool:
    return isinstance(heads, DistilledHeads)


def _float32(x: Floats) -> Floats:
    return np.ascontiguousarray(x, dtype=np.float32)


def _check_modality(recipe: Recipe, found: str | None) -> None:
    """Every kind of item tower takes pictures."""
    if found is not None and found != PICTURES:
        raise UsageError(
            f"the data (data.kind {recipe.data.kind}) has {found}, and a tower of item.kind {recipe.item.kind} takes"
            f" {PICTURES}: no tower that the converter opens takes {found} yet"
        )


def _say_what_was_skipped(context: Context, data: Dataset) -> None:
    for one in data.skipped[:5]:
        context.console.say(f"  left out: {one.name}: {one.reason}")
    if data.skipped:
        count = f"{len(data.skipped)} item{'s' * (len(data.skipped) > 1)}"
        context.console.say(f"  {count} left out in all: items.json lists them")
