"""Everything learnt becomes the files that the layout names, and the device reads them back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter import layout
from converter.recipe import QueryRecipe
from converter.writing import write_item_tower, write_query_tower
from edge.bundle import MANIFEST, Bundle, Model
from edge.items import Floats
from edge.relevance import Norm, read_bank
from edge.runtime import Activation, Interpreters, Invoke, TextInput, TowerRunner
from learnt_small import EXITS, FEATURES, SENTENCE, WORDS, Small, pixels, small_recipe, word_tower
from references import cosines

pytestmark = pytest.mark.convert


@pytest.fixture(scope="module")
def invoke(small_bundle: Bundle) -> Invoke:
    return Interpreters(small_bundle.folder, "ai-edge-litert", 1).invoke


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def agreement(module: nn.Module, model: Model | None, x: Tensor, invoke: Invoke) -> float:
    """The least cosine of what a file makes with what torch makes."""
    assert model is not None
    with torch.no_grad():
        return float(cosines(torch.from_numpy(invoke(model, {"x": x.numpy()})), module(x)).min())


def test_files_are_those_of_the_layout_and_no_others(small_bundle: Bundle) -> None:
    written = {path.relative_to(small_bundle.folder).as_posix() for path in small_bundle.folder.rglob("*.*")}
    numbers = [f"{number:02}" for number in range(4)]
    assert written == {
        *(f"image/seg-{number}.{kind}.tflite" for number in numbers for kind in ("dynamic-int8", "float16")),
        *(f"image/head-{number}.weight-int8.tflite" for number in numbers[:3]),
        *(f"image/gate-{number}.float32.tflite" for number in numbers[:3]),
        *(f"text/head-{number}.weight-int8.tflite" for number in numbers[:2]),
        *(f"text/seg-00.{kind}.tflite" for kind in ("dynamic-int8", "weight-int8")),
        *("image/predictor.full-int8.tflite", "image/predictor.norm", "bank.int8", MANIFEST),
        *("text/tokens.int4", "text/positions.f32", "text/tokenizer.json"),
    }


def test_device_climbs_to_every_exit_and_finds_what_torch_finds(small_bundle: Bundle, small: Small) -> None:
    folder, spec, x = small_bundle.folder, small_bundle.manifest.tower("image"), pixels(8)
    runner = TowerRunner(folder, spec, Interpreters(folder, "ai-edge-litert", 1).invoke)
    activation = Activation(x, 0, {})
    for place in spec.exits:
        activation = runner.advance(activation, place.segment)
        with torch.no_grad():
            wanted = small.learnt.items[place.depth](small.item.segment(0, place.depth)(torch.from_numpy(x)))
        made = torch.from_numpy(runner.embed(activation, place))
        assert cosines(made, wanted).min() > 0.98, place.depth
        assert cosines(wanted[:1].expand(7, -1), wanted[1:]).max() < 0.95  # the pictures are not one to the heads


def test_each_exit_gets_its_own_heads_for_questions(small_bundle: Bundle, small: Small, invoke: Invoke) -> None:
    x = noise(8, FEATURES)
    for place in small_bundle.manifest.tower("image").exits:
        assert agreement(small.learnt.queries[place.depth], place.query, x, invoke) > 0.999
    first, _, last = small_bundle.manifest.tower("image").exits
    assert agreement(small.learnt.queries[last.depth], first.query, x, invoke) < 0.9
    (own,) = small_bundle.manifest.tower("text").exits
    assert agreement(small.learnt.queries[last.depth], own.head, x, invoke) > 0.999


def test_gate_standardises_inside_its_file_and_predicts_its_own_and_deeper_exits(
    small_bundle: Bundle, small: Small, invoke: Invoke
) -> None:
    for place, exits in zip(small_bundle.manifest.tower("image").exits, (3, 2, 1), strict=True):
        assert place.gate is not None
        gate = small.learnt.gates[place.depth]
        x = noise(5, len(gate.get_buffer("mean")))
        made = invoke(place.gate, {"x": x.numpy()})
        assert made.shape == (5, exits)
        np.testing.assert_allclose(made, gate(x).detach().numpy(), atol=1e-5)


def test_predictor_and_its_norm_come_back(small_bundle: Bundle, small: Small, invoke: Invoke) -> None:
    spec, learnt = small_bundle.manifest.tower("image").predictor, small.learnt.predictor
    assert spec is not None
    assert learnt is not None
    made = torch.from_numpy(invoke(spec.model, {"x": learnt.samples}))
    wanted = learnt.net(torch.from_numpy(learnt.samples))
    assert made.shape == (64, len(EXITS))
    assert cosines(made.reshape(1, -1), wanted.detach().reshape(1, -1)).min() > 0.99
    norm = Norm.read(small_bundle.path(spec.norm))
    np.testing.assert_array_equal(norm.mean, learnt.norm.mean)
    np.testing.assert_array_equal(norm.scale, learnt.norm.scale)


def test_bank_comes_back_within_half_a_step_of_int8(small_bundle: Bundle, small: Small) -> None:
    bank, rows = small_bundle.manifest.bank, small.learnt.bank
    assert bank is not None
    assert rows is not None
    step = np.abs(rows).max(1, keepdims=True) / 127
    assert (np.abs(read_bank(small_bundle.folder, bank) - rows) <= 0.51 * step + 1e-3).all()


@pytest.mark.parametrize(("table", "coarse"), [("int4", 0.2), ("float16", 2e-3)])
def test_table_is_cut_to_the_tokenizers_words_and_read_back(tmp_path: Path, table: str, coarse: float) -> None:
    recipe = small_recipe(query=QueryRecipe(kind="minilm", table=table, group=16))  # type: ignore[arg-type]
    tower = word_tower(tmp_path)
    spec = layout.query_spec(recipe, tower)
    write_query_tower(tmp_path / "out", tower, spec)
    inputs = TextInput(tmp_path / "out", layout.words_of(spec)).inputs(["a dog runs"])
    numbers = [WORDS.index(word) for word in ("a", "dog", "runs")] + [0] * (SENTENCE - 3)
    np.testing.assert_allclose(inputs["x"][0], tower.table[numbers] + tower.positions, atol=coarse)
    row = 2 * FEATURES if table == "float16" else 4 * FEATURES // 16 + FEATURES // 2
    assert (tmp_path / "out" / layout.words_of(spec).table).stat().st_size == row * len(WORDS)


def test_tower_that_takes_no_mask_is_written_without_one(tmp_path: Path) -> None:
    tower = word_tower(tmp_path, masked=False)
    spec = layout.query_spec(small_recipe(), tower)
    write_query_tower(tmp_path / "out", tower, spec)
    x: Floats = noise(3, SENTENCE, FEATURES).numpy()
    made = Interpreters(tmp_path / "out", "ai-edge-litert", 1).invoke(spec.segments[0].model, {"x": x})
    assert cosines(torch.from_numpy(made), tower.segment(torch.from_numpy(x)).detach()).min() > 0.99


def test_tokenizer_keeps_its_words_and_loses_its_blanks(tmp_path: Path) -> None:
    tower = word_tower(tmp_path)
    write_query_tower(tmp_path / "out", tower, layout.query_spec(small_recipe(), tower))
    written = (tmp_path / "out" / "text" / "tokenizer.json").read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(tower.tokenizer.read_text(encoding="utf-8"))
    assert "\n" not in written
    assert ": " not in written


def test_what_is_written_twice_is_equal_bytes_and_every_model_is_counted(
    tmp_path: Path, small: Small, small_bundle: Bundle
) -> None:
    counted: list[int] = []
    spec = layout.item_spec(small.recipe, small.item, small.learnt)
    write_item_tower(tmp_path, small.item, spec, small.learnt, counted.append)
    assert sum(counted) == len(spec.segments) + 2 * len(spec.exits) + len(small.learnt.gates)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        name = path.relative_to(tmp_path)
        assert path.read_bytes() == (small_bundle.folder / name).read_bytes(), name
