"""Where each file of a bundle lies, in which formats, and the manifest entries that say so."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from itertools import pairwise
from pathlib import Path, PurePosixPath

from converter.export import Format
from converter.learnt import Learnt
from converter.recipe import Recipe
from converter.towers.tower import ItemTower, QueryTower
from edge.bundle import (
    RUNTIMES,
    Bank,
    Calibration,
    Exit,
    ImagePreprocess,
    Model,
    Predictor,
    Segment,
    TextPreprocess,
    Tower,
    Variant,
)

# Per-channel dynamic INT8 is silently wrong on tflite-runtime 2.14: cosine .16 on a text tower.
_RIGHT_ON = {"dynamic-int8": ("ai-edge-litert",)}
HEAD: tuple[Format, ...] = ("weight-int8",)
GATE: tuple[Format, ...] = ("float32",)
PREDICTOR: tuple[Format, ...] = ("full-int8",)
BANK = PurePosixPath("bank.int8")
NORM = PurePosixPath("image/predictor.norm")


def model(stem: str, formats: tuple[Format, ...]) -> Model:
    """The manifest entry of one function in its formats, at `stem`.FORMAT.tflite."""
    return Model(
        variants=tuple(
            Variant(path=PurePosixPath(f"{stem}.{kind}.tflite"), format=kind, runtimes=_RIGHT_ON.get(kind, RUNTIMES))
            for kind in formats
        )
    )


def item_spec(recipe: Recipe, tower: ItemTower, learnt: Learnt) -> Tower:
    """The item tower: segments end at exits, at the recipe's cuts and at the end, and as often as it says between."""
    depths = _ends({*learnt.exits, *recipe.item.cuts, len(tower.layers)}, recipe.export.layers_per_segment)
    queries = query_heads(learnt)
    segments = tuple(
        Segment(
            depth=depth,
            input=_input(tower, before),
            output=tower.shape(depth),
            model=model(f"image/seg-{number:02}", recipe.item.formats),
        )
        for number, (before, depth) in enumerate(zip((0, *depths), depths, strict=False))
    )
    exits = tuple(
        Exit(
            depth=depth,
            segment=depths.index(depth),
            head=model(f"image/head-{number:02}", HEAD),
            query=queries[depth],
            calibration=learnt.calibrations.get(depth),
            gate=model(f"image/gate-{number:02}", GATE) if depth in learnt.gates else None,
            cost=round(learnt.costs[depth], 5),
        )
        for number, depth in enumerate(learnt.exits)
    )
    return Tower(
        modality="image",
        layers=len(tower.layers),
        preprocess=tower.preprocess,
        segments=segments,
        exits=exits,
        predictor=Predictor(model=model("image/predictor", PREDICTOR), norm=NORM) if learnt.predictor else None,
        policies=learnt.policies,
        outliers=recipe.item.outliers,
    )


def query_heads(learnt: Learnt) -> dict[int, Model]:
    """The question's head of each exit, by depth: exits that share a module share a file. The end's is the last."""
    names: dict[int, str] = {}
    for depth in learnt.exits:
        names.setdefault(id(learnt.queries[depth]), f"text/head-{len(names):02}")
    return {depth: model(names[id(learnt.queries[depth])], HEAD) for depth in learnt.exits}


def query_spec(recipe: Recipe, tower: QueryTower, head: Model | None = None, notes: Calibration | None = None) -> Tower:
    """The query tower: one segment, one exit; sentences do not gain from more.

    head:  the question's head of the item tower's last exit
    notes: what a question's cosine with a text says about relevance
    """
    whole = Segment(
        depth=tower.layers,
        input=(tower.tokens, tower.width),
        output=(tower.features,),
        model=model("text/seg-00", recipe.query.formats),
        extra=("mask",) if tower.masked else (),
    )
    words = TextPreprocess(
        kind="text",
        tokenizer=PurePosixPath("text/tokenizer.json"),
        tokens=tower.tokens,
        width=tower.width,
        table=PurePosixPath(f"text/tokens.{recipe.query.table}"),
        table_format=recipe.query.table,
        group=recipe.query.group,
        positions=PurePosixPath("text/positions.f32"),
    )
    last = Exit(depth=tower.layers, segment=0, head=head or model("text/head-00", HEAD), calibration=notes)
    return Tower(modality="text", layers=tower.layers, preprocess=words, segments=(whole,), exits=(last,))


def bank_entry(learnt: Learnt) -> Bank | None:
    """The manifest's entry of the bank."""
    if learnt.bank is None:
        return None
    rows, width = learnt.bank.shape
    return Bank(path=BANK, rows=rows, width=width)


def targets(folder: Path, entry: Model) -> dict[Format, Path]:
    """Where to write a model, by format."""
    return {variant.format: folder / variant.path for variant in entry.variants}


def pixels_of(tower: Tower) -> ImagePreprocess:
    """The preprocessing of an image tower. Raises TypeError on another tower."""
    if not isinstance(tower.preprocess, ImagePreprocess):
        raise TypeError(f"the {tower.modality} tower takes no pictures")
    return tower.preprocess


def words_of(tower: Tower) -> TextPreprocess:
    """The preprocessing of a text tower. Raises TypeError on another tower."""
    if not isinstance(tower.preprocess, TextPreprocess):
        raise TypeError(f"the {tower.modality} tower takes no sentences")
    return tower.preprocess


def _ends(named: AbstractSet[int], most: int) -> list[int]:
    """Depths where segments end: the named ones, and between two of them equal parts of at most `most` layers."""
    ends = []
    for before, end in pairwise((0, *sorted(named))):
        parts = -(-(end - before) // most) if most else 1
        ends += [before + (end - before) * part // parts for part in range(1, parts + 1)]
    return ends


def _input(tower: ItemTower, depth: int) -> tuple[int, ...]:
    size = tower.preprocess.size
    return tower.shape(depth) if depth else (size, size, 3)
