"""Stage `heal`: a probe of the trunk as it is, then windows of LoRA from shallow to deep, heads refit after each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from converter.heads.fitting import ExitHeads, Study, fit_heads, fit_pairs, published_heads
from converter.heads.paired import Pair
from converter.heads.saving import save_heads
from converter.heads.steps import step_count
from converter.healing.activations import Activations, fastest_precision
from converter.healing.lora import merge
from converter.healing.teaching import Lessons, teach_window
from converter.healing.windows import check_windows
from converter.probe import Costs, segment_costs, stream_features
from converter.recipe import DistilledHeads, HealRecipe, PairedHeads, PublishedHeads
from converter.stages import Context, save_arrays, save_record
from converter.steps.catalogue import Captions, Catalogue, Rows, load_captions, load_catalogue, pixels
from converter.steps.healing_parts import HealedWindow, WindowParts, kept_probe, remove_windows
from converter.steps.probe import probe_ranks, probed_exits, probed_windows
from converter.steps.study import study_of, taught_rows
from converter.towers.opening import open_item_tower, open_query_tower
from converter.towers.tower import ItemTower
from edge.errors import UsageError
from edge.items import Floats

THREADS = 2  # sums in the same order on every machine of one kind; windows gain from the second, more is not tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """What healing was like. costs: (E,) share of full depth's milliseconds; the others as in `probe.Costs`."""

    exits: tuple[int, ...]
    costs: tuple[float, ...]
    ms: tuple[float, ...]
    float32_ms: tuple[float, ...]
    precision: str
    windows: tuple[HealedWindow, ...]


def heal(context: Context, folder: Path) -> None:
    """features.npz and heads.safetensors of every exit, trunk.safetensors, healed.json; with healing before.* too."""
    torch.set_num_threads(THREADS)
    match context.recipe.heal, context.recipe.heads:
        case None, _:
            remove_windows(folder, but=set())  # of an attempt that was to heal
            work = _Work(context, folder)
            features = work.stream()
            work.finish(features, work.heads(features), (), "float32")
        case HealRecipe() as recipe, PairedHeads() as heads:
            _Work(context, folder).heal(recipe, heads)
        case _, others:
            raise UsageError(f"heal asks for heads of kind paired, and heads.kind is {others.kind}")


class _Work:
    """One healing: the tower, its data, and where it goes."""

    def __init__(self, context: Context, folder: Path) -> None:
        self._context, self._folder, self._recipe = context, folder, context.recipe
        self._console = context.console
        towers = context.artefacts["towers"]
        self._catalogue: Catalogue = load_catalogue(towers)
        self._captions: Captions = load_captions(towers)
        self._tower: ItemTower = open_item_tower(self._recipe.item, context.order.checkpoint)
        self._exits = tuple(sorted({*self._recipe.item.exits, len(self._tower.layers)}))
        for layer in self._tower.layers:
            layer.requires_grad_(requires_grad=False)
        check_windows(self._recipe, len(self._tower.layers))
        probe = kept_probe(folder, context.inputs, self._console.say, self._measure)
        self._exits, self._costs = probe.exits, probe.costs

    def stream(self) -> dict[int, Tensor]:
        """Features at every exit of the trunk as it is, in float32; views of the taught items behind the plain ones."""
        heads = self._recipe.heads
        every = self._catalogue.rows("train", "held", "test")
        if not len(every):
            return {depth: torch.empty(0, 0) for depth in self._exits}
        crops = self._crops()
        taught = taught_rows(self._catalogue, self._captions)
        count = len(every) + crops * len(taught)

        published = self._tower.published if isinstance(heads, PublishedHeads) else None
        read = published if published is not None else self._tower.pool
        with self._console.bar(count, "items through the trunk") as tick:
            plain = stream_features(self._tower, self._pixels(every, 0), self._exits, read, tick)
            if not crops:
                return plain
            views = self._pixels(taught, crops)
            for _ in taught:
                next(views)  # the plain ones again
            cropped = stream_features(self._tower, views, self._exits, read, tick)
        return {depth: torch.cat([plain[depth], cropped[depth]]) for depth in self._exits}

    def heads(self, features: Mapping[int, Tensor]) -> dict[int, ExitHeads]:
        """Heads of the exits in `features`, taught by all items that heads may learn from."""
        recipe, seed = self._recipe.heads, self._context.seed
        if isinstance(recipe, PublishedHeads):
            query = open_query_tower(self._recipe.query, self._context.order.query_checkpoint)
            return published_heads(self._tower, query, features)
        study = self._study(features, taught_rows(self._catalogue, self._captions))
        return fit_heads(self._tower, study, recipe, seed, self._console)

    def heal(self, recipe: HealRecipe, heads: PairedHeads) -> None:
        """Probe, windows, heads."""
        precision = fastest_precision(recipe.precision)
        climb = Activations(self._tower, precision)
        every = self._catalogue.rows("train", "held", "test")
        with self._console.bar(len(every), "items to activations") as tick:
            climb.start(self._pixels(every, 0), len(every), tick)
        start = climb.tensor
        with self._console.bar(len(every), "items through the trunk as it is") as tick:
            before = climb.climb(len(self._tower.layers), self._exits, tick)
        save_arrays(self._folder / "before.npz", **{str(d): x.numpy() for d, x in before.items()})
        save_heads(self._folder / "before.safetensors", self.heads(before))
        pairs = fit_pairs(
            self._tower, self._study(before, self._catalogue.rows("train")), heads, self._context.seed, self._console
        )
        windows = recipe.windows or self._pivots(before, pairs)
        rows = torch.from_numpy(self._catalogue.rows("train"))
        last = self._exits[-1]
        with torch.no_grad():
            example = pairs[last].item.embed(before[last][rows])
        lessons = Lessons(self._captions.any[rows] if self._captions.any is not None else None, example)
        climb.tensor, climb.depth = start, 0
        features: dict[int, Tensor] = {}
        refit: dict[int, ExitHeads] = {}
        logs = []
        parts = WindowParts(self._folder, self._context.inputs, recipe, str(precision), self._console.say)
        for first, end in windows:
            train = partial(self._train, (first, end), climb, rows, lessons, pairs, recipe)
            logs.append(parts.bring(self._tower, (first, end), self._exits, train))
            with self._console.bar(len(every), f"items through layers {first} to {end}") as tick:
                found = climb.climb(end, self._exits, tick)
            features |= found
            if found:
                refit |= self.heads(found)
        parts.tidy()
        self.finish(features, refit, tuple(logs), str(precision).removeprefix("torch."))

    def _train(
        self,
        window: tuple[int, int],
        climb: Activations,
        rows: Tensor,
        lessons: Lessons,
        pairs: Mapping[int, Pair],
        recipe: HealRecipe,
    ) -> HealedWindow:
        first, last = window
        inside = {depth: pair for depth, pair in pairs.items() if first <= depth <= last}
        steps = step_count(len(rows), recipe.batch, recipe.epochs)
        began = time.monotonic()
        with self._console.bar(steps, f"steps of healing layers {first} to {last}") as tick:
            adapted, told = teach_window(
                self._tower, (first, last), climb.tensor[rows], lessons, inside, recipe,
                self._context.seed + first, tick,
            )  # fmt: skip
        merge(adapted, self._tower, first)
        return HealedWindow(first=first, last=last, seconds=time.monotonic() - began, losses=told.losses)

    def _pivots(self, features: Mapping[int, Tensor], pairs: Mapping[int, Pair]) -> tuple[tuple[int, int], ...]:
        held, layers = self._catalogue.rows("held"), len(self._tower.layers)
        ranks, owners = probe_ranks(features, pairs, self._captions, held)
        windows = probed_windows(ranks, owners, len(held), self._exits, layers, self._recipe.label.survive)
        self._console.say(f"  windows by the pivots of the exit histogram: {windows}")
        return windows

    def _measure(self) -> tuple[tuple[int, ...], Costs]:
        """The exits, chosen if the recipe asks for that, and their milliseconds."""
        if self._recipe.item.choose:
            self._choose_exits(self._recipe.item.choose)
        return self._exits, segment_costs(self._tower, self._recipe.item.formats[0], self._exits, self._console)

    def _choose_exits(self, count: int) -> None:
        """Take the exits of least expected cost among all depths. Raises UsageError for heads that are not paired."""
        heads, layers = self._recipe.heads, len(self._tower.layers)
        if not isinstance(heads, PairedHeads):
            raise UsageError(f"item.choose asks for heads of kind paired, and heads.kind is {heads.kind}")
        self._exits = tuple(range(1, layers + 1))
        ms = segment_costs(self._tower, self._recipe.item.formats[0], self._exits, self._console).ms
        features, held = self.stream(), self._catalogue.rows("held")
        study = self._study(features, self._catalogue.rows("train"))
        pairs = fit_pairs(self._tower, study, heads, self._context.seed, self._console)
        ranks, owners = probe_ranks(features, pairs, self._captions, held)
        self._exits = probed_exits(ranks, owners, len(held), ms, count, self._recipe.label.survive)
        self._console.say(f"  exits of least expected cost: depths {', '.join(map(str, self._exits))}")

    def finish(
        self,
        features: Mapping[int, Tensor],
        heads: Mapping[int, ExitHeads],
        windows: tuple[HealedWindow, ...],
        precision: str,
    ) -> None:
        """Write what later stages read."""
        save_arrays(self._folder / "features.npz", **{str(depth): x.numpy() for depth, x in features.items()})
        if not isinstance(self._recipe.heads, PublishedHeads):
            save_heads(self._folder / "heads.safetensors", heads)
        if windows:
            layers = nn.ModuleList(self._tower.layers)
            save_file(layers.state_dict(), self._folder / "trunk.safetensors")
        costs = self._costs
        healed = Healed(
            exits=self._exits,
            costs=costs.shares,
            ms=costs.ms,
            float32_ms=costs.float32_ms,
            precision=precision,
            windows=windows,
        )
        save_record(self._folder / "healed.json", healed)

    def _crops(self) -> int:
        heads = self._recipe.heads
        if not isinstance(heads, DistilledHeads):
            return 0
        return heads.crops if self._captions.any is not None else heads.open_crops

    def _pixels(self, rows: Rows, crops: int) -> Iterator[Floats]:
        return pixels(self._catalogue, rows, self._tower.preprocess, crops, self._context.seed)

    def _study(self, features: Mapping[int, Tensor], rows: Rows) -> Study:
        return study_of(self._catalogue, self._captions, features, rows)
