"""Stage `verify`: every file against torch on both runtimes, and recall of the exported exits on the test side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from converter import layout, parity
from converter.data.class_texts import load_class_texts
from converter.labels import Rows, rank_of_own
from converter.learnt import Learnt
from converter.stages import Context, load_arrays, save_arrays, save_record
from converter.steps.catalogue import load_captions, load_catalogue, pixels
from converter.steps.export import learnt_of, load_spec
from converter.steps.study import load_features
from converter.steps.trunk import healed_tower
from converter.towers.opening import open_query_tower
from converter.towers.tower import ItemTower
from converter.verify import DriftError, Parity
from converter.verify import verify as run_everywhere
from edge.bundle import Tower
from edge.items import Floats
from edge.relevance import pooled
from edge.runtime import Activation, Interpreters, TextInput, TowerRunner

VERIFIED = 16  # items and sentences on which every file is compared: two batches of 8
BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Every file on every runtime and batch size."""

    parities: tuple[Parity, ...]


def verify(context: Context, folder: Path) -> None:
    """verified.json; test.npz: test items and their captions at every exit through the files. Raises DriftError."""
    torch.set_num_threads(1)
    files, spec = context.artefacts["export"] / "files", load_spec(context.artefacts["export"])
    tower = healed_tower(context)
    learnt = learnt_of(context, tower)
    save_record(folder / "verified.json", Verified(parities=tuple(_parities(context, files, spec, tower, learnt))))
    _test(context, folder, files, spec, learnt)


def _parities(context: Context, files: Path, spec: Tower, tower: ItemTower, learnt: Learnt) -> list[Parity]:
    query = open_query_tower(context.recipe.query, context.order.query_checkpoint)
    query_spec = layout.query_spec(context.recipe, query)
    sentences = [entry.gloss for entry in load_class_texts()[:: 1000 // VERIFIED][:VERIFIED]]
    words = TextInput(files, layout.words_of(query_spec)).inputs(sentences)
    items = _items(context, tower)
    with torch.no_grad():
        features = query.segment(*(torch.from_numpy(words[name]) for name in ("x", *query_spec.segments[0].extra)))
        inputs = {
            "pixels": items,
            "words": words["x"],
            "mask": words["mask"],
            **parity.inputs_of(learnt, features.numpy()),
        }
        calls = parity.query_calls(query, query_spec, words)
        calls += parity.item_calls(tower, spec, learnt, inputs, context.recipe.verify.cosine)
    return run_everywhere(files, calls, inputs, context.order.runtimes, lambda one: context.console.say(f"  {one}"))


def _items(context: Context, tower: ItemTower) -> Floats:
    """(16, size, size, 3) of the first items, or noise where the build has no data."""
    catalogue = load_catalogue(context.artefacts["towers"])
    rows = catalogue.rows("train", "held", "test")[:VERIFIED]
    if len(rows) < VERIFIED:
        size = tower.preprocess.size
        return np.random.default_rng(0).standard_normal((VERIFIED, size, size, 3)).astype(np.float32)
    return np.stack(list(pixels(catalogue, rows, tower.preprocess)))


def _test(context: Context, folder: Path, files: Path, spec: Tower, learnt: Learnt) -> None:
    catalogue, captions = load_catalogue(context.artefacts["towers"]), load_captions(context.artefacts["towers"])
    rows = catalogue.rows("test")
    known = captions.known[rows]
    if not known.any():
        return
    runner = TowerRunner(files, spec, Interpreters(files, "ai-edge-litert", 1).invoke)
    embeddings, first = _climb(context, runner, rows)
    asked = captions.features[torch.from_numpy(rows)].numpy()[known]
    invoke = Interpreters(files, "ai-edge-litert", 1).invoke
    queries = [invoke(place.query, {"x": asked}) for place in spec.exits if place.query is not None]
    stock = learnt.bank if learnt.bank is not None else np.empty((0, asked.shape[1]), dtype=np.float32)
    bank = [invoke(place.query, {"x": stock}) for place in spec.exits if place.query is not None and len(stock)]
    owners = np.nonzero(known)[0]
    save_arrays(
        folder / "test.npz", items=np.stack(embeddings), queries=np.stack(queries), owners=owners, pooled=first,
        bank=np.stack(bank) if bank else np.empty((len(spec.exits), 0, 0), dtype=np.float32),
    )  # fmt: skip
    _check_recall(context, learnt, rows, asked, owners, embeddings, queries)


def _climb(context: Context, runner: TowerRunner, rows: Rows) -> tuple[list[Floats], Floats]:
    """(N, D) at each exit, and what the predictor reads of the first exit's activations (N, F)."""
    catalogue, spec = load_catalogue(context.artefacts["towers"]), runner.spec
    stream = pixels(catalogue, rows, layout.pixels_of(spec))
    found: list[list[Floats]] = [[] for _ in spec.exits]
    first = []
    with context.console.bar(len(rows), "test items through the files") as tick:
        for start in range(0, len(rows), BATCH):
            batch = np.stack([next(stream) for _ in rows[start : start + BATCH]])
            activation = Activation(batch, 0, {})
            for number, place in enumerate(spec.exits):
                activation = runner.advance(activation, place.segment)
                found[number].append(runner.embed(activation, place))
                if not number:
                    first.append(pooled(activation.tensor))
            tick(len(batch))
    return [np.concatenate(parts) for parts in found], np.concatenate(first)


def _check_recall(
    context: Context,
    learnt: Learnt,
    rows: Rows,
    asked: Floats,
    owners: Rows,
    items: list[Floats],
    queries: list[Floats],
) -> None:
    """An exit whose files find less than torch does, by more than the recipe allows, is not shipped."""
    features = load_features(context.artefacts["heal"] / "features.npz")
    most = context.recipe.verify.recall_loss
    for number, depth in enumerate(learnt.exits):
        with torch.no_grad():
            exact = learnt.items[depth].embed(features[depth][torch.from_numpy(rows)]).numpy()
            told = learnt.queries[depth](torch.from_numpy(asked)).numpy()
        wanted, got = _recall_at_10(exact, told, owners), _recall_at_10(items[number], queries[number], owners)
        if wanted - got > most:
            raise DriftError(
                f"the exit at depth {depth} finds {got:.3f} (recall@10) through its files and {wanted:.3f} in torch:"
                f" verify.recall_loss allows {most}: nothing was packed; put a more exact format first in item.formats"
            )


def _recall_at_10(items: Floats, queries: Floats, owners: Rows) -> float:
    return float((rank_of_own(queries @ items.T, owners) < 10).mean())


def test_arrays(folder: Path) -> dict[str, Floats] | None:
    """What test.npz holds; None where nothing could be tested."""
    path = folder / "test.npz"
    return load_arrays(path) if path.is_file() else None
