"""A checkpoint is opened whole, or refused in one line that says what is wrong with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification

from converter.towers.checkpoint import Checkpoint
from edge.errors import UsageError

pytestmark = pytest.mark.convert
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ViT of two layers in the published layout."""
    folder = tmp_path_factory.mktemp("published") / "vit-small"
    config = ViTConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32)
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "vit-small"))


def open_model(folder: Path) -> Any:
    return Checkpoint(folder, "vit").model(ViTForImageClassification)


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        open_model(folder)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_weights(folder: Path, change: Callable[[Weights], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def drop_layer(weights: Weights) -> None:
    for key in [key for key in weights if ".layer.1." in key or ".layers.1." in key]:
        del weights[key]


def test_whole_folder_gives_every_weight_in_float32_and_nothing_is_said(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    change_weights(folder, lambda weights: weights.update({key: one.half() for key, one in weights.items()}))
    stored = load_file(folder / "model.safetensors")
    model = open_model(folder)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    torch.testing.assert_close(model.classifier.weight, stored["classifier.weight"].float())
    assert capfd.readouterr() == ("", "")


def test_missing_keys_are_counted_and_the_first_are_named(folder: Path) -> None:
    change_weights(folder, drop_layer)
    said = refusal(folder)
    assert said.startswith(f"{folder} does not fit ViTForImageClassification: 16 missing (vit.layers.1.attention.")
    assert said.endswith(" and 13 more): check config.json")
    assert said.count("vit.layers.1.") == 3


def test_unexpected_keys_are_named(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"adapter.weight": torch.zeros(2), "b": torch.zeros(1)}))
    assert refusal(folder) == (
        f"{folder} does not fit ViTForImageClassification: 2 unexpected (adapter.weight, b): check config.json"
    )


def test_shape_that_differs_is_told_with_both(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"classifier.weight": torch.zeros(3, 16)}))
    assert refusal(folder) == (
        f"{folder} does not fit ViTForImageClassification: 1 of another shape"
        " (classifier.weight is (3, 16), not (2, 16)): check config.json"
    )


def test_all_that_is_wrong_is_one_error(folder: Path) -> None:
    def change(weights: Weights) -> None:
        del weights["classifier.bias"]
        weights["extra"] = torch.zeros(1)
        weights["classifier.weight"] = torch.zeros(3, 16)

    change_weights(folder, change)
    said = refusal(folder)
    assert "1 missing (classifier.bias); 1 unexpected (extra); 1 of another shape (classifier.weight is" in said


def test_config_of_another_size_is_told_by_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    assert re.search(r"6 of another shape \(vit\.layers\.0\.mlp\.fc1\.bias is \(32,\), not \(64,\)", refusal(folder))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "has no config.json: name the folder of a vit checkpoint"),
        ("model.safetensors", "has no weights: put model.safetensors or pytorch_model.bin beside its config.json"),
    ],
)
def test_file_that_the_folder_lacks_is_named(folder: Path, name: str, said: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder} {said}"


@pytest.mark.parametrize("size", [0, 7, 2000])
def test_weights_that_end_too_early_are_one_line(folder: Path, size: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    assert refusal(folder).startswith(f"{folder} cannot be opened as a vit checkpoint: ")


def test_config_that_is_no_json_is_one_line(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert refusal(folder).startswith(f"{folder} cannot be opened as a vit checkpoint: ")


def test_model_of_another_family_is_told_by_both_names(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a model of type 'vit': this recipe wants 'clip'$"):
        Checkpoint(folder, "clip")


@pytest.mark.parametrize("where", [Path("nowhere"), "./nowhere", "/no/where", "a/b/c", "../clip-b32", "~/clip"])
def test_path_that_is_no_folder_is_never_looked_for_on_the_hub(where: Path | str) -> None:
    said = f"{where} is not a folder: name the folder of a clip checkpoint, or its id on the hub"
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        Checkpoint(where, "clip")


def test_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=r"^some/model cannot be opened as a clip checkpoint: [^\n]+$"):
        Checkpoint("some/model", "clip")


def test_licence_is_the_one_of_the_readme(folder: Path) -> None:
    assert Checkpoint(folder, "vit").origin().licence == "unknown"
    assert Checkpoint(folder, "vit").origin().credit == "vit weights of vit-small: licence not stated"
    (folder / "README.md").write_text("---\ntags: [vision]\nlicense: apache-2.0\n---\nA model.\n")
    origin = Checkpoint(folder, "vit").origin()
    assert (origin.name, origin.licence) == ("vit-small", "apache-2.0")
    assert origin.credit == "vit weights of vit-small: licence apache-2.0"


def test_further_file_is_found_or_none(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    assert Checkpoint(folder, "vit").file("tokenizer.json") == folder / "tokenizer.json"
    assert Checkpoint(folder, "vit").file("other.json") is None
