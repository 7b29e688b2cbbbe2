"""Random checkpoints are what transformers itself writes and reads, of the true size, and the same for one seed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel, SiglipConfig, SiglipModel

from converter.towers.random_checkpoint import ARCHITECTURES, write_random

pytestmark = pytest.mark.convert
PUBLISHED_PARAMETERS = {  # in millions
    "clip-vit-b32": 151.3,
    "clip-vit-b16": 149.6,
    "clip-vit-l14": 427.6,
    "siglip-base-patch16-224": 203.2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "clip"
    write_random(folder, "clip-vit-b32", layers=1)
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architecture_has_as_many_weights_as_the_published_one(name: str) -> None:
    config = ARCHITECTURES[name]()
    with torch.device("meta"):
        model = (CLIPModel if isinstance(config, CLIPConfig) else SiglipModel)(config)
    assert sum(one.numel() for one in model.parameters()) / 1e6 == pytest.approx(PUBLISHED_PARAMETERS[name], abs=0.1)


def test_folder_has_every_file_that_a_published_one_has(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert AutoTokenizer.from_pretrained(folder).pad_token == "<|endoftext|>"  # noqa: S105 - a word
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 77
    assert CLIPImageProcessorPil.from_pretrained(folder).crop_size["height"] == 224


def test_same_seed_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    torch.rand(3)  # what ran before must not matter
    state = torch.random.get_rng_state()
    write_random(tmp_path / "same", "clip-vit-b32", layers=1)
    assert torch.equal(state, torch.random.get_rng_state())
    write_random(tmp_path / "other", "clip-vit-b32", layers=1, seed=1)
    for path in folder.iterdir():
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes(), path.name
    weights = "model.safetensors"
    assert (tmp_path / "other" / weights).read_bytes() != (folder / weights).read_bytes()


def test_tokenizer_knows_every_byte_and_ends_with_its_largest_number(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in ("a dog", "naïve 狗 🐕 \x7f", "a\tb\nc"):
        numbers = tokenizer(text)["input_ids"]
        assert numbers[-1] == len(tokenizer) - 1 == tokenizer.eos_token_id
        assert numbers.count(tokenizer.eos_token_id) == 1  # it is also the sign for an unknown token
        assert numbers[0] == tokenizer.bos_token_id
    words = tokenizer.tokenize("golden retriever")
    assert len(words) < len("goldenretriever") / 2  # it learnt merges


def test_norms_and_attention_are_away_from_where_training_starts(folder: Path) -> None:
    model = CLIPModel.from_pretrained(folder)
    norm = model.vision_model.encoder.layers[0].layer_norm1
    assert norm.weight.std() > 0.1
    assert norm.bias.std() > 0.05


def test_configs_are_of_their_families() -> None:
    assert isinstance(ARCHITECTURES["clip-vit-l14"](), CLIPConfig)
    assert isinstance(ARCHITECTURES["siglip-base-patch16-224"](), SiglipConfig)
    assert ARCHITECTURES["clip-vit-b32"]().text_config.eos_token_id == 2
