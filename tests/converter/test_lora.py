"""LoRA by PEFT on real layers: nothing at first, nothing but itself in training, part of the weights in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.healing.activations import run_layers
from converter.healing.lora import layers_of, merge, put_on, take_off
from converter.towers import efficientnet_lite
from converter.towers.tower import ItemTower
from references import pictures
from tiny_vit import LAYERS, TOKENS, WIDTH, open_vit, toy, write_vit

pytestmark = pytest.mark.convert


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "vit"
    write_vit(folder)
    return folder


@pytest.fixture
def tower(folder: Path) -> ItemTower:
    return open_vit(folder)


@pytest.fixture(scope="module")
def lite() -> ItemTower:
    return efficientnet_lite.load()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run(layers: Any, x: Tensor) -> Tensor:
    return run_layers(layers, x, {len(layers)}, 1)[len(layers)]


def state(layers: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in nn.ModuleList(layers).state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@torch.no_grad()
def stir(adapted: Any, seed: int = 0) -> None:
    """Give every LoRA something to say, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))


def test_first_forward_with_a_lora_equals_the_base_bit_for_bit(tower: ItemTower) -> None:
    x = noise(3, TOKENS, WIDTH)
    before = run(tower.layers[1:3], x)
    adapted = put_on(tower, 2, 3, rank=4, seed=0)
    assert torch.equal(run(layers_of(adapted), x), before)


def test_a_lora_stands_on_every_named_map_of_its_window_and_nowhere_else(tower: ItemTower) -> None:
    adapted = put_on(tower, 2, 3, rank=4, seed=0)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    expected = {
        f"base_model.model.layers.{layer}.{name}.lora_{side}.default.weight"
        for layer in (0, 1)
        for name in tower.adapted(layer)
        for side in "AB"
    }
    assert trained == expected
    assert len(trained) == 2 * 6 * 2
    assert not any("lora" in name for layer in (0, 3) for name, _ in tower.layers[layer].named_parameters())


def test_layer_1_of_a_window_of_twelve_is_not_taken_for_layer_11(tower: ItemTower) -> None:
    twelve: Any = Long(tower, 12)
    adapted = put_on(twelve, 1, 12, rank=2, seed=0)
    adapted_layers = {name.split(".")[3] for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert adapted_layers == {"1"}


class Long:
    """A tower of plain maps, of which the second alone is to be adapted."""

    def __init__(self, tower: ItemTower, layers: int) -> None:
        self._tower = tower
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(layers))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tower, name)

    def adapted(self, layer: int) -> list[str]:
        return ["0"] if layer == 1 else []


def test_merged_equals_adapter_and_differs_from_the_base(tower: ItemTower) -> None:
    x = noise(3, TOKENS, WIDTH)
    base = run(tower.layers[:2], x)
    adapted = put_on(tower, 1, 2, rank=4, seed=0)
    stir(adapted)
    with_adapter = run(layers_of(adapted), x)
    merge(adapted, tower, 1)
    merged = run(tower.layers[:2], x)
    torch.testing.assert_close(merged, with_adapter, atol=1e-5, rtol=0)
    assert (merged - base).abs().max() > 0.01


def test_after_the_merge_the_layers_have_their_old_form_and_the_export_reads_the_new_weights(tower: ItemTower) -> None:
    items = toy(3).items
    names, exported = set(state(tower.layers)), tower.segment(0, LAYERS)(items)
    adapted = put_on(tower, 1, LAYERS, rank=4, seed=0)
    stir(adapted)
    merge(adapted, tower, 1)
    assert set(state(tower.layers)) == names
    assert not any(parameter.requires_grad for layer in tower.layers for parameter in layer.parameters())
    with torch.no_grad():
        healed = run(tower.layers, tower.stem(items))
        torch.testing.assert_close(tower.segment(0, LAYERS)(items), healed, atol=1e-4, rtol=1e-4)
    assert (healed - exported).abs().max() > 0.01


def test_merge_touches_the_weights_of_its_window_alone(tower: ItemTower) -> None:
    before = [state([layer]) for layer in tower.layers]
    adapted = put_on(tower, 2, 3, rank=4, seed=0)
    stir(adapted)
    merge(adapted, tower, 2)
    kept = [same(old, state([layer])) for old, layer in zip(before, tower.layers, strict=True)]
    assert kept == [True, False, False, True]


def test_a_lora_with_a_weight_that_is_no_number_is_not_merged(tower: ItemTower) -> None:
    adapted = put_on(tower, 1, 1, rank=4, seed=0)
    stir(adapted)
    with torch.no_grad():
        next(p for name, p in adapted.named_parameters() if "lora_B" in name)[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        merge(adapted, tower, 1)


def test_taking_a_lora_off_leaves_every_weight_as_it_was(tower: ItemTower) -> None:
    before = state(tower.layers)
    adapted = put_on(tower, 2, 3, rank=4, seed=0)
    stir(adapted)
    take_off(adapted, tower, 2)
    assert same(state(tower.layers), before)


def test_a_seed_gives_the_same_lora_whatever_ran_before_and_another_seed_another(folder: Path) -> None:
    def start(seed: int, state: int) -> dict[str, Tensor]:
        torch.manual_seed(state)
        adapted = put_on(open_vit(folder), 1, 2, rank=4, seed=seed)
        return {name: tensor for name, tensor in adapted.state_dict().items() if "lora_A" in name}

    one = start(0, 1)
    assert same(one, start(0, 2))
    assert not same(one, start(1, 1))


def test_putting_a_lora_on_does_not_disturb_the_random_numbers_of_others(tower: ItemTower) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    put_on(tower, 1, 2, rank=4, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_pointwise_convolutions_learn_by_lora_and_depthwise_ones_stay(lite: ItemTower) -> None:
    with torch.no_grad():
        x = run(lite.layers[:13], lite.stem(pictures(2, 224)))
        base = run(lite.layers[13:15], x)
    adapted = put_on(lite, 14, 15, rank=4, seed=0)
    assert torch.equal(run(layers_of(adapted), x), base)
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 2  # two blocks, expand and project, A and B
    optimiser = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    run_layers(layers_of(adapted), x, {15}, 14)[15].square().mean().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    with_adapter = run(layers_of(adapted), x)
    merge(adapted, lite, 14)
    merged = run(lite.layers[13:15], x)
    torch.testing.assert_close(merged, with_adapter, atol=1e-4, rtol=1e-5)
    assert not torch.equal(merged, base)
    assert not any("lora" in name for name in state(lite.layers))
