"""What the command line names becomes what the stages are given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builds import SmallBuild, kept
from commands import finish, start
from converter.cli import make_parser
from converter.cli.order import given, make_order
from converter.console import Console
from converter.recipe import RECIPES, ItemRecipe, QueryRecipe, Recipe, load_recipe
from converter.stages import Order, fingerprint

CLIP = replace(
    load_recipe(RECIPES / "vit-tiny-flickr8k.yaml"),
    item=ItemRecipe(kind="clip", checkpoint="org/clip", exits=(3,)),
    query=QueryRecipe(kind="clip"),
)


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    """The order of a run with some options, on data that is there."""
    (tmp_path / "pairs.csv").write_text("photo,caption\n", encoding="utf-8")

    def make(recipe: Recipe, *options: str | Path) -> Order:
        words = ["run", "x", "--out", "x", "--data", tmp_path / "pairs.csv", "--tflite-python", sys.executable]
        return make_order(make_parser().parse_args([*map(str, words), *map(str, options)]), recipe)

    return make


def test_one_checkpoint_serves_both_towers_of_a_pair(order: Callable[..., Order], tmp_path: Path) -> None:
    made = order(CLIP)
    assert (made.checkpoint, made.query_checkpoint) == ("org/clip", "org/clip")
    made = order(CLIP, "--checkpoint", tmp_path)
    assert (made.checkpoint, made.query_checkpoint) == (str(tmp_path), str(tmp_path))
    made = order(CLIP, "--checkpoint", tmp_path, "--query-checkpoint", "org/text")
    assert (made.checkpoint, made.query_checkpoint) == (str(tmp_path), "org/text")


def test_towers_that_come_with_a_package_have_no_checkpoint(order: Callable[..., Order]) -> None:
    made = order(replace(CLIP, query=QueryRecipe(kind="minilm")))
    assert (made.checkpoint, made.query_checkpoint) == ("org/clip", "")


def test_folder_is_resolved_and_a_hub_id_kept_as_it_is(
    order: Callable[..., Order], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    assert order(CLIP, "--checkpoint", "weights").checkpoint == str(tmp_path / "weights")
    assert order(CLIP, "--checkpoint", "google/weights").checkpoint == "google/weights"


def test_given_are_fingerprints_of_folders_and_names_of_hub_ids(
    order: Callable[..., Order], tmp_path: Path, console: Console
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}", encoding="utf-8")
    made = given(order(CLIP, "--query-checkpoint", tmp_path / "weights"), console)
    assert made == {
        "checkpoint": "org/clip",
        "query_checkpoint": fingerprint(tmp_path / "weights"),
        "data": fingerprint(tmp_path / "pairs.csv"),
    }


@pytest.mark.convert
@pytest.mark.slow
class TestBuilds:
    """With small stages, in processes of their own."""

    pytest.importorskip("torch", reason="needs the host tools: make convert-env")

    def test_quick_leaves_healing_away_and_a_later_run_adds_it(self, build: SmallBuild) -> None:
        assert build.run("--quick").code == 0
        done = build.run()
        assert (done.code, kept(done)) == (0, ["towers"])
        assert "heal: recipe.heal was null and is given\n" in done.err

    def test_changed_data_redoes_what_reads_it_and_a_copy_of_it_does_not(
        self, build: SmallBuild, tmp_path: Path
    ) -> None:
        build.change("kind: demo", "kind: folder")
        for name, content in (("one", "a"), ("copy", "a"), ("other", "b")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "item.txt").write_text(content, encoding="utf-8")
        assert build.run("--data", tmp_path / "one").code == 0
        assert len(kept(build.run("--data", tmp_path / "copy"))) == 4
        done = build.run("--data", tmp_path / "other")
        assert kept(done) == []
        assert "towers: data was " in done.err

    def test_stage_runs_alone_and_names_the_earlier_one_that_is_missing(self, build: SmallBuild) -> None:
        done = build.stage("heal")
        assert (done.code, done.out) == (2, "")
        assert done.err == "reminisce-convert: heal needs towers, which is not done: run `stage towers` first\n"
        for name in ("towers", "heal"):
            done = build.stage(name)
            assert (done.code, done.out) == (0, f"{build.out}/stages/{name}\n")
        assert build.stage("heal").err == "heal: done before, kept\n"
        assert kept(build.run()) == ["towers", "heal"]

    def test_unknown_stage_is_answered_with_the_nearest_or_with_all_and_nothing_is_made(
        self, build: SmallBuild
    ) -> None:
        assert build.stage("heel").err == "reminisce-convert: no stage is called 'heel': did you mean heal?\n"
        assert build.stage("zzz").err == (
            "reminisce-convert: no stage is called 'zzz': there are towers, heal, predict, pack\n"
        )
        assert not build.out.exists()

    def test_folder_may_be_named_by_a_link_or_a_dot(self, build: SmallBuild, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "empty")
        assert replace(build, out=tmp_path / "link").run().out.startswith(f"{tmp_path}/empty/bundle: ")
        (tmp_path / "dot").mkdir()
        program = (str(Path(__file__).parents[1] / "small_build.py"),)
        words = ("run", build.recipe, "--out", ".", "--tflite-python", sys.executable)
        done = finish(start(*words, program=program, here=tmp_path / "dot"))
        assert done.out.startswith(f"{tmp_path}/dot/bundle: ")
