"""Healing goes on from its finished parts: after an interruption, and after a change that is not theirs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from builds import names_in
from converter import pipeline
from converter.console import Console
from converter.heads.runaway import RunawayError
from converter.probe import Costs
from converter.recipe import HealRecipe, Recipe, load_recipe
from converter.stages import Context, Order, Stage, Workshop, save_arrays, save_record
from converter.steps import heal as step
from converter.steps.catalogue import Catalogue, Entry
from edge.errors import UsageError
from shapes_data import shapes
from tiny_build import RECIPE
from tiny_vit import HEADS, write_vit

pytestmark = pytest.mark.convert

ROLES = ("train",) * 40 + ("held",) * 30 + ("test",) * 10
HEAL = next(stage for stage in pipeline.STAGES if stage.name == "heal")
SPLIT = HealRecipe(windows=((1, 2), (3, 4)), rank=2, epochs=1, batch=16, tokens=0, precision="float32")


@dataclass
class Healing:
    """A build whose stage `heal` is real, on a ViT of four layers; the stage before it only brings the data."""

    context: Context
    console: Listening
    said: list[str]
    timings: list[tuple[int, ...]]

    def run(self, **changes: object) -> list[str]:
        """The lines that healing said; changes: to the recipe."""
        self.said.clear()
        self.context.out.mkdir(exist_ok=True)
        recipe = replace(self.context.recipe, **changes)  # type: ignore[arg-type]
        Workshop(replace(self.context, recipe=recipe), (self._towers, HEAL)).run_all()
        return [line.strip() for line in self.said if line.startswith("  layers")]

    def ends_at(self, bar: str, **changes: object) -> None:
        """The same, ended where the bar of that name begins."""
        self.console.stop = bar
        with pytest.raises(KeyboardInterrupt):
            self.run(**changes)
        self.console.stop = ""

    @property
    def _towers(self) -> Stage:
        return Stage(name="towers", label="bring the data", run=self._bring)

    @property
    def work(self) -> Path:
        return self.context.out / "stages" / ".heal"

    @property
    def done(self) -> Path:
        return self.context.out / "stages" / "heal"

    @property
    def exits(self) -> list[int]:
        exits: list[int] = json.loads((self.done / "healed.json").read_text(encoding="utf-8"))["exits"]
        return exits

    def _bring(self, _context: Context, folder: Path) -> None:
        files = sorted((self.context.out.parent / "data").iterdir())
        entries = tuple(
            Entry(name=file.name, path=str(file), role=role, fold=0.5) for file, role in zip(files, ROLES, strict=True)
        )
        save_record(folder / "items.json", Catalogue(kind="pairs", entries=entries, skipped=(), texts_taken=0))
        words = np.random.default_rng(0).standard_normal((len(ROLES), 2, 24)).astype(np.float32)
        known, classes = np.ones((len(ROLES), 2), dtype=bool), np.empty(0, dtype=np.float32)
        save_arrays(folder / "captions.npz", features=words, known=known, classes=classes)


class Listening(Console):
    """Keeps what is said; ends the build at the bar that is called `stop`."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(quiet=True)
        self._said, self.stop = said, ""

    def say(self, text: str) -> None:
        self._said.append(text)

    @contextmanager
    def bar(self, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        if self.stop and self.stop in unit:
            raise KeyboardInterrupt
        with super().bar(total, unit) as tick:
            yield tick


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint, and 80 pictures."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("vit", "data"):
        (folder / name).mkdir()
    write_vit(folder / "vit")
    shapes(folder / "data", len(ROLES))
    return folder


@pytest.fixture
def healing(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Healing]:
    """Nothing is built yet. Exits are not timed, but it is counted how often they would be."""
    timings: list[tuple[int, ...]] = []

    def costs(_tower: object, _kind: str, exits: tuple[int, ...], _console: Console) -> Costs:
        timings.append(tuple(exits))
        ms = tuple(float(depth + 10 * (len(timings) - 1)) for depth in exits)  # never the same again
        return Costs(ms, ms)

    monkeypatch.setattr(step, "segment_costs", costs)
    shutil.copytree(inputs / "data", tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    recipe: Recipe = replace(load_recipe(tmp_path / "tiny.yaml"), heal=SPLIT)
    said: list[str] = []
    threads = torch.get_num_threads()
    order, console = Order(checkpoint=str(inputs / "vit")), Listening(said)
    context = Context(out=tmp_path / "out", recipe=recipe, order=order, console=console)
    yield Healing(context, console, said, timings)
    torch.set_num_threads(threads)


def features(folder: Path) -> bytes:
    return (folder / "features.npz").read_bytes()


def test_healing_that_ended_between_windows_goes_on_to_the_same_features(healing: Healing) -> None:
    healing.ends_at("steps of healing layers 3 to 4")
    assert {"probe.json", "window-01-02.json", "window-01-02.safetensors"} <= set(names_in(healing.work))
    assert healing.run() == ["layers 1 to 2: healed before, kept"]
    assert healing.timings == [(1, 2, 4)]
    resumed = features(healing.done)
    shutil.rmtree(healing.context.out)
    assert healing.run() == []
    assert features(healing.done) == resumed


@pytest.mark.parametrize("changed", [{"rate": 1e-2}, {"epochs": 2}], ids=["rate", "epochs"])
def test_setting_that_all_windows_read_heals_all_again(
    healing: Healing, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    monkeypatch.setattr(step, "stream_features", in_torch)
    healing.ends_at("steps of healing layers 3 to 4")
    assert healing.run(heal=replace(SPLIT, **changed)) == [  # type: ignore[arg-type]
        "layers 1 to 2: healed before from what has changed, healed again"
    ]


def test_window_that_runs_away_names_the_rate_to_lower_and_keeps_the_probe(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "stream_features", in_torch)
    with pytest.raises(RunawayError) as caught:
        healing.run(heal=replace(SPLIT, rate=1e30))
    assert str(caught.value).startswith("healing layers 1 to 2: the loss is nan at step ")
    assert str(caught.value).endswith(": lower heal.rate and run again, the stages before are kept")
    assert "probe.json" in names_in(healing.work)
    assert healing.run() == []
    assert healing.timings == [(1, 2, 4)]


def test_window_stays_when_only_later_ones_change_and_what_is_no_longer_asked_for_goes(healing: Healing) -> None:
    healing.ends_at("items through layers 3 to 4")
    assert "window-03-04.json" in names_in(healing.work)
    recipe = replace(SPLIT, windows=((1, 2), (3, 3), (4, 4)))
    item = replace(healing.context.recipe.item, exits=(1, 2, 3))
    assert healing.run(heal=recipe, item=item) == ["layers 1 to 2: healed before, kept"]
    windows = {f"window-{first:02}-{last:02}" for first, last in recipe.windows}
    assert {name.partition(".")[0] for name in names_in(healing.done) if name.startswith("window")} == windows


def test_exit_more_inside_a_window_or_another_seed_heals_it_again(healing: Healing) -> None:
    for change in (
        {"item": replace(healing.context.recipe.item, exits=(2,))},
        {"seed": 1},
        {"heads": replace(HEADS, dimension=8)},
    ):
        shutil.rmtree(healing.context.out, ignore_errors=True)
        healing.ends_at("steps of healing layers 3 to 4")
        assert healing.run(**change) == ["layers 1 to 2: healed before from what has changed, healed again"], change


def test_window_whose_retraining_was_ended_is_not_taken_for_the_one_before(healing: Healing) -> None:
    healing.ends_at("steps of healing layers 3 to 4")
    weights = (healing.work / "window-01-02.safetensors").read_bytes()
    healing.ends_at("steps of healing layers 1 to 2", heal=replace(SPLIT, rate=1e-4))
    assert (healing.work / "window-01-02.safetensors").read_bytes() == weights
    assert healing.run() == ["layers 1 to 2: healed before, kept"]  # the recipe was changed back


def test_healing_left_away_after_an_attempt_leaves_no_window_behind(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    healing.ends_at("steps of healing layers 3 to 4")
    monkeypatch.setattr(step, "stream_features", in_torch)
    healing.run(heal=None)
    assert healing.timings == [(1, 2, 4)]
    assert names_in(healing.done) == ["done.json", "features.npz", "heads.safetensors", "healed.json", "probe.json"]


@torch.no_grad()
def in_torch(tower, items, exits, read, tick):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The features without the minute that exporting segments takes."""
    x, found = tower.stem(torch.from_numpy(np.stack(list(items)))), {}
    for depth, layer in enumerate(tower.layers, 1):
        x = layer(x)
        if depth in exits:
            found[depth] = read(x)
    tick(len(x))
    return found


def test_exits_that_were_chosen_by_their_milliseconds_are_not_chosen_again_after_an_interruption(
    healing: Healing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "stream_features", in_torch)
    chosen = [(1, 4), (3, 4)]  # a second look at the milliseconds would choose others
    monkeypatch.setattr(step, "probed_exits", lambda *_: chosen.pop(0))
    recipe = {
        "item": replace(healing.context.recipe.item, exits=(), choose=2),
        "heal": replace(SPLIT, windows=()),
    }
    healing.ends_at("items to activations", **recipe)
    assert healing.timings == [(1, 2, 3, 4), (1, 4)]
    before = json.loads((healing.work / "probe.json").read_text(encoding="utf-8"))
    healing.run(**recipe)
    assert "  exits at depths 1, 4: measured before, kept" in healing.said
    assert healing.timings == [(1, 2, 3, 4), (1, 4)]
    healed = json.loads((healing.done / "healed.json").read_text(encoding="utf-8"))
    assert (healed["exits"], healed["ms"]) == (before["exits"], before["ms"]) == ([1, 4], [11.0, 14.0])


def test_probe_of_other_exits_is_not_taken(healing: Healing) -> None:
    for exits in ((1, 2), (1, 2), (2, 3)):
        healing.ends_at("items to activations", item=replace(healing.context.recipe.item, exits=exits))
    assert healing.timings == [(1, 2, 4), (2, 3, 4)]


def test_windows_that_do_not_fit_the_tower_are_refused_before_anything_is_timed(healing: Healing) -> None:
    with pytest.raises(UsageError, match=r"^heal\.windows is \[\[1, 2\]\]: must end at layer 4"):
        healing.run(heal=replace(SPLIT, windows=((1, 2),)))
    assert healing.timings == []
