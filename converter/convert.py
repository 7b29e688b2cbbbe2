"""READ FIRST. The demo bundle, step by step: towers -> export -> features -> heads -> export -> verify -> pack.

Nothing is left at the target unless every step went well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from converter import layout
from converter.console import Console
from converter.credits import attribution, purpose
from converter.data.class_texts import load_class_texts
from converter.export import export
from converter.features import image_features, text_features
from converter.fit import Features, Heads, fit_heads
from converter.pack import pack, records, staged
from converter.parity import image_calls, text_calls
from converter.recipe import Recipe
from converter.towers import efficientnet_lite, minilm
from converter.verify import Parity, verify
from converter.views import views
from edge.bundle import SCHEMA, Bundle, Manifest, Tower
from edge.demo import DEMO_PICTURES
from edge.items import Floats
from edge.pairs import read_flickr8k
from edge.runtime import Interpreters, TextInput, TowerRunner, int4

VERIFIED = 16  # photos and sentences on which every file is compared with torch: two batches of 8


@dataclass(frozen=True, slots=True)
class Training:
    """What the heads learn from. captions: as many for each photo, or none at all for open pictures."""

    photos: tuple[Path, ...]
    captions: tuple[tuple[str, ...], ...]
    crops: int


@dataclass(frozen=True, slots=True)
class Towers:
    """The pretrained towers, and what the manifest will say of them."""

    image: efficientnet_lite.ImageTower
    text: minilm.TextTower
    image_spec: Tower
    text_spec: Tower


def build_demo(
    out: Path, photos: Path | None, recipe: Recipe, runtimes: Mapping[str, Path], console: Console
) -> Bundle:
    """Build the demo bundle at `out`; heads learn from Flickr8k at `photos`, or from open pictures alone.

    runtimes: for each TFLite runtime a Python that has it. Raises UsageError, DriftError, BundleError.
    """
    torch.set_num_threads(1)  # sums in the same order on every machine of one kind
    with staged(out) as folder:
        training = _training(photos, recipe)
        console.say(f"{len(training.photos)} training photos, {'with' if training.captions else 'without'} captions")
        with console.step("1/6 open the towers"):
            towers = _open(recipe)
        with console.step("2/6 export the trunks"):
            _export_trunks(folder, towers)
        with console.step("3/6 compute features"):
            features = _features(folder, towers, training, recipe, console)
        with console.step("4/6 fit the heads"):
            heads = fit_heads(features, towers.image.classifier, recipe, console)
        with console.step("5/6 export the heads"):
            _export_heads(folder, towers, heads)
        with console.step("6/6 verify every file on every runtime"):
            parities = _verify(folder, towers, heads, training, runtimes, console)
        pack(folder, _manifest(folder, towers, recipe, parities, len(training.photos) if training.captions else 0))
    return Bundle.open(out)


def _training(photos: Path | None, recipe: Recipe) -> Training:
    if photos is None:
        return Training(tuple(sorted(DEMO_PICTURES.glob("*.jpg"))), (), recipe.image.open_crops)
    pairs = read_flickr8k(photos, "train")
    fewest = min(len(pair.captions) for pair in pairs)
    captions = tuple(pair.captions[:fewest] for pair in pairs)
    return Training(tuple(pair.photo for pair in pairs), captions, recipe.image.crops)


def _open(recipe: Recipe) -> Towers:
    image = efficientnet_lite.load(recipe.image.cuts)
    x = torch.zeros(1, efficientnet_lite.SIDE, efficientnet_lite.SIDE, 3)
    shapes = [tuple(x.shape[1:])]
    with torch.no_grad():
        for segment in image.segments:
            x = segment(x)
            shapes.append(tuple(x.shape[1:]))
    text = minilm.load(recipe.text.tokens)
    return Towers(image, text, layout.image_tower(recipe, shapes), layout.text_tower(recipe))


def _export_trunks(folder: Path, towers: Towers) -> None:
    for module, spec in zip(towers.image.segments, towers.image_spec.segments, strict=True):
        export(module, {"x": torch.zeros(2, *spec.input)}, layout.targets(folder, spec.model))
    (whole,) = towers.text_spec.segments
    words = {"x": torch.zeros(2, *whole.input), "mask": torch.ones(2, whole.input[0])}
    export(towers.text.segment, words, layout.targets(folder, whole.model))
    tables = layout.words_of(towers.text_spec)
    (folder / tables.table).write_bytes(int4.pack(towers.text.table, tables.group).tobytes())
    (folder / tables.positions).write_bytes(towers.text.positions.astype("<f4").tobytes())
    tokenizer = json.loads(towers.text.tokenizer.read_text(encoding="utf-8"))
    (folder / tables.tokenizer).write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), "utf-8")


def _features(folder: Path, towers: Towers, training: Training, recipe: Recipe, console: Console) -> Features:
    invoke = Interpreters(folder, "ai-edge-litert", 2).invoke
    image, text = (TowerRunner(folder, spec, invoke) for spec in (towers.image_spec, towers.text_spec))
    pixels = views(training.photos, training.crops, layout.pixels_of(towers.image_spec), recipe.seed)
    with console.bar(len(training.photos) * (training.crops + 1), "views") as tick:
        exits, pooled = image_features(image, recipe.image.exits, pixels, tick)
    classes = [told for entry in load_class_texts() for told in entry.texts()]
    captions = [caption for photo in training.captions for caption in photo]
    with console.bar(len(classes) + len(captions), "sentences") as tick:
        sentences = text_features(text, classes + captions, tick)
    width = sentences.shape[1]
    return Features(
        photos=len(training.photos),
        pooled=pooled,
        exits=exits,
        captions=sentences[len(classes) :].reshape(len(training.photos), -1, width) if captions else None,
        classes=sentences[: len(classes)].reshape(-1, len(classes) // towers.image.classifier.out_features, width),
    )


def _export_heads(folder: Path, towers: Towers, heads: Heads) -> None:
    for module, place in zip((*heads.exits, heads.full), towers.image_spec.exits, strict=True):
        shape = towers.image_spec.segments[place.segment].output
        export(module, {"x": torch.zeros(2, *shape)}, layout.targets(folder, place.head))
    (last,) = towers.text_spec.exits
    export(heads.query, {"x": torch.zeros(2, minilm.WIDTH)}, layout.targets(folder, last.head))


def _verify(
    folder: Path, towers: Towers, heads: Heads, training: Training, runtimes: Mapping[str, Path], console: Console
) -> list[Parity]:
    pictures = list(views(training.photos[:VERIFIED], 0, layout.pixels_of(towers.image_spec), 0))
    sentences = [entry.gloss for entry in load_class_texts()[:: 1000 // VERIFIED][:VERIFIED]]
    words = TextInput(folder, layout.words_of(towers.text_spec)).inputs(sentences)
    inputs: dict[str, Floats] = {"pixels": np.stack(pictures), "words": words.pop("x"), **words}
    with torch.no_grad():
        calls = image_calls(towers.image_spec, towers.image.segments, (*heads.exits, heads.full), inputs["pixels"])
        calls += text_calls(towers.text_spec, towers.text.segment, heads.query, inputs["words"], inputs["mask"])
    return verify(folder, calls, inputs, runtimes, lambda parity: console.say(_line(parity)))


def _line(parity: Parity) -> str:
    where = f"{parity.runtime}, batch {parity.batch}"
    return f"  {parity.path:36} {where:24} cosine {parity.cosine:.5f}  largest difference {parity.difference:.2g}"


def _manifest(folder: Path, towers: Towers, recipe: Recipe, parities: list[Parity], flickr8k_photos: int) -> Manifest:
    cosines: dict[str, float] = {}
    for parity in parities:  # a head behind two variants of its segment was checked twice: the worse counts
        name = f"{parity.path} on {parity.runtime} at batch {parity.batch}: cosine"
        cosines[name] = min(round(parity.cosine, 5), cosines.get(name, 1.0))
    return Manifest(
        schema=SCHEMA,
        model=recipe.model,
        purpose=purpose(flickr8k_photos),
        licence="Apache-2.0",
        attribution=attribution(flickr8k_photos),
        dimension=minilm.WIDTH,
        towers=(towers.image_spec, towers.text_spec),
        files=records(folder),
        build=cosines,
    )
