"""Where each file of the demo bundle lies, in which formats, and the manifest entries that say so."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from converter.export import Format
from converter.recipe import Recipe
from converter.towers import efficientnet_lite, minilm
from edge.bundle import RUNTIMES, Exit, ImagePreprocess, Model, Segment, TextPreprocess, Tower, Variant

# Per-channel dynamic INT8 is silently wrong on tflite-runtime 2.14: cosine .16 on this text tower.
_RIGHT_ON = {"dynamic-int8": ("ai-edge-litert",)}
IMAGE_SEGMENT: tuple[Format, ...] = ("float16",)  # INT8 does not hold on depthwise convolutions
TEXT_SEGMENT: tuple[Format, ...] = ("dynamic-int8", "weight-int8")  # the fastest first
HEAD: tuple[Format, ...] = ("weight-int8",)


def model(stem: str, formats: tuple[Format, ...]) -> Model:
    """The manifest entry of one function in its formats, at `stem`.FORMAT.tflite."""
    return Model(
        variants=tuple(
            Variant(path=PurePosixPath(f"{stem}.{kind}.tflite"), format=kind, runtimes=_RIGHT_ON.get(kind, RUNTIMES))
            for kind in formats
        )
    )


def image_tower(recipe: Recipe, shapes: list[tuple[int, ...]]) -> Tower:
    """The image tower; `shapes` are those of one item before the first segment and after each."""
    depths = (*recipe.image.cuts, efficientnet_lite.BLOCKS)
    segments = tuple(
        Segment(
            depth=depth,
            input=shapes[number],
            output=shapes[number + 1],
            model=model(f"image/seg-{number:02}", IMAGE_SEGMENT),
        )
        for number, depth in enumerate(depths)
    )
    exits = tuple(
        Exit(depth=depth, segment=depths.index(depth), head=model(f"image/head-{number:02}", HEAD))
        for number, depth in enumerate((*recipe.image.exits, efficientnet_lite.BLOCKS))
    )
    pixels = ImagePreprocess(
        kind="image", size=efficientnet_lite.SIDE, fit="squash", filter="bicubic", mean=127.0, scale=128.0
    )
    return Tower(modality="image", layers=efficientnet_lite.BLOCKS, preprocess=pixels, segments=segments, exits=exits)


def text_tower(recipe: Recipe) -> Tower:
    """The text tower: one segment, one exit; sentences do not gain from more."""
    whole = Segment(
        depth=minilm.LAYERS,
        input=(recipe.text.tokens, minilm.WIDTH),
        output=(minilm.WIDTH,),
        model=model("text/seg-00", TEXT_SEGMENT),
        extra=("mask",),
    )
    words = TextPreprocess(
        kind="text",
        tokenizer=PurePosixPath("text/tokenizer.json"),
        tokens=recipe.text.tokens,
        width=minilm.WIDTH,
        table=PurePosixPath("text/tokens.int4"),
        group=recipe.text.group,
        positions=PurePosixPath("text/positions.f32"),
    )
    last = Exit(depth=minilm.LAYERS, segment=0, head=model("text/head-00", HEAD))
    return Tower(modality="text", layers=minilm.LAYERS, preprocess=words, segments=(whole,), exits=(last,))


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
