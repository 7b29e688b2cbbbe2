"""What is done from the same inputs is kept; what depends on a change is done again, and why is told in words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builds import names_in
from converter.console import Console
from converter.recipe import HealRecipe, Recipe, load_recipe, quick
from converter.stages import Context, Order, Stage, Workshop, versions
from converter.stages.inputs import differences
from edge.errors import UsageError
from small_build import STAGES

NAMES = [stage.name for stage in STAGES]
HEALS = HealRecipe(rank=16)


@pytest.fixture
def context(tmp_path: Path, small_recipe: Path, console: Console) -> Context:
    recipe = replace(load_recipe(small_recipe), heal=HEALS)
    found = {"torch": "2.12", "numpy": "2.4"}
    given = {"data": "aa", "checkpoint": "bb"}
    return Context(out=tmp_path, recipe=recipe, order=Order(), console=console, given=given, versions=found)


@pytest.fixture
def run(context: Context, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Run all stages in the same folder with changes to the context; gives what was said, but steps."""

    def again(stages: tuple[Stage, ...] = STAGES, **changes: object) -> list[str]:
        Workshop(replace(context, **changes), stages).run_all()  # type: ignore[arg-type]
        return [
            line
            for line in capsys.readouterr().err.splitlines()
            if line[0].isalpha() and not line.startswith("window ")
        ]

    return again


def healed(context: Context, **changes: object) -> Recipe:
    return replace(context.recipe, heal=replace(HEALS, **changes))  # type: ignore[arg-type]


def test_first_run_gives_no_reasons_and_the_second_keeps_everything(run: Callable[..., list[str]]) -> None:
    assert run() == []
    assert run() == [f"{name}: done before, kept" for name in NAMES]


def test_changed_value_redoes_its_stage_and_what_comes_after_and_says_why(
    run: Callable[..., list[str]], context: Context
) -> None:
    run()
    assert run(recipe=healed(context, rank=8)) == [
        "towers: done before, kept",
        "heal: recipe.heal.rank was 16 and is 8",
        "predict: done again because heal was",
        "pack: done again because predict was",
    ]
    assert run(recipe=healed(context, rank=8)) == [f"{name}: done before, kept" for name in NAMES]


def test_value_that_no_stage_reads_redoes_nothing(run: Callable[..., list[str]], context: Context) -> None:
    run()
    calibrate = replace(context.recipe.calibrate, bank=99)
    assert run(recipe=replace(context.recipe, calibrate=calibrate)) == [f"{name}: done before, kept" for name in NAMES]


def test_part_of_a_section_that_a_stage_reads_by_a_dotted_path_alone_counts(
    run: Callable[..., list[str]], context: Context
) -> None:
    stages = tuple(replace(stage, after=()) if stage.name == "heal" else stage for stage in STAGES)
    stages = tuple(replace(s, run=lambda _context, _folder: None) if s.name == "heal" else s for s in stages)
    run(stages)
    item = replace(context.recipe.item, formats=("float32",))
    told = run(stages, recipe=replace(context.recipe, item=item))
    assert told[0] == 'towers: recipe.item.formats was ["float16"] and is ["float32"]'
    assert told[1] == "heal: done before, kept"


def test_quick_run_after_a_healed_one_redoes_healing_and_keeps_the_towers(
    run: Callable[..., list[str]], context: Context
) -> None:
    run()
    told = run(recipe=quick(context.recipe))
    assert told[:2] == ["towers: done before, kept", "heal: recipe.heal was given and is null"]
    assert run()[1] == "heal: recipe.heal was null and is given"


def test_new_seed_redoes_every_stage(run: Callable[..., list[str]], context: Context) -> None:
    run()
    told = run(recipe=replace(context.recipe, seed=3))
    assert [line.partition(": ")[2].partition(";")[0] for line in told] == [
        "recipe.seed was 0 and is 3",
        *(f"done again because {name} was" for name in NAMES[:-1]),
    ]


def test_other_data_redoes_the_stages_that_take_it(run: Callable[..., list[str]]) -> None:
    run()
    told = run(given={"data": "cc", "checkpoint": "bb"})
    assert told[:2] == ["towers: data was aa and is cc", "heal: done again because towers was"]


def test_new_package_redoes_every_stage_and_is_named(run: Callable[..., list[str]]) -> None:
    run()
    told = run(versions={"torch": "2.13", "numpy": "2.4"})
    assert told[0] == "towers: torch was 2.12 and is 2.13"
    assert [line.partition(":")[0] for line in told] == NAMES


@pytest.mark.parametrize("harm", ["removed", "cut short"])
def test_artefact_that_is_not_as_it_was_written_is_made_again(
    run: Callable[..., list[str]], tmp_path: Path, harm: str
) -> None:
    run()
    file = tmp_path / "stages" / "heal" / "window-1.npz"
    file.unlink() if harm == "removed" else file.write_bytes(file.read_bytes()[:-1])
    assert run()[:2] == ["towers: done before, kept", "heal: window-1.npz is not as it was written"]


def test_damaged_done_file_is_named_and_its_stage_done_again(run: Callable[..., list[str]], tmp_path: Path) -> None:
    run()
    file = tmp_path / "stages" / "predict" / "done.json"
    file.write_text("{", encoding="utf-8")
    told = run()[2]
    assert told.startswith(f"predict: {file} cannot be read (")
    assert "remove" not in told


def test_result_of_an_earlier_format_is_made_again_and_the_others_are_kept(run: Callable[..., list[str]]) -> None:
    run()
    renewed = tuple(replace(stage, format=2) if stage.name == "predict" else stage for stage in STAGES)
    assert run(renewed) == [
        "towers: done before, kept",
        "heal: done before, kept",
        "predict: what it left had format 1, this version makes format 2",
        "pack: done again because predict was",
    ]
    assert run(renewed) == [f"{name}: done before, kept" for name in NAMES]
    assert run()[2] == "predict: what it left had format 2, this version makes format 1"


@pytest.mark.convert
def test_calibrations_from_before_there_were_notes_are_made_again(
    run: Callable[..., list[str]], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the host tools: make convert-env")
    from converter.pipeline import STAGES as REAL  # noqa: PLC0415

    (stage,) = (replace(one, after=(), run=lambda *_: None) for one in REAL if one.name == "calibrate")
    run((replace(stage, format=1),))
    assert "format" not in (tmp_path / "stages" / "calibrate" / "done.json").read_text(encoding="utf-8")
    assert run((stage,)) == ["calibrate: what it left had format 1, this version makes format 2"]


def test_result_outside_the_stages_that_is_gone_is_made_again(run: Callable[..., list[str]], tmp_path: Path) -> None:
    run()
    (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    assert run()[-1] == "pack: bundle is gone"
    assert (tmp_path / "bundle" / "manifest.json").is_file()


def test_stage_that_does_not_resume_finds_an_empty_folder(tmp_path: Path, context: Context) -> None:
    seen = []

    def fail(_context: Context, folder: Path) -> None:
        seen.append(names_in(folder))
        (folder / "half").write_bytes(b"half")
        raise RuntimeError("stopped")

    for resumes in (False, False, True):
        stage = Stage(name="one", label="one", run=fail, resumes=resumes)
        with pytest.raises(RuntimeError, match="stopped"):
            Workshop(context, (stage,)).run_all()
    assert seen == [["inputs.json"], ["inputs.json"], ["half", "inputs.json"]]
    assert not (tmp_path / "stages" / "one").exists()


def test_parts_that_say_what_they_were_made_from_stay_for_the_stage_to_judge_when_inputs_change(
    run: Callable[..., list[str]], context: Context
) -> None:
    seen, told = [], []

    def fail(context: Context, folder: Path) -> None:
        seen.append(names_in(folder))
        told.append(context.inputs["recipe.heal.rank"])
        for name in ("window-1", "window-2", "half", "probe"):
            (folder / name).write_bytes(b"part")
        (folder / "more").mkdir(exist_ok=True)
        raise RuntimeError("stopped")

    stage = Stage(name="one", label="one", run=fail, reads=("heal",), resumes=True, parts=("probe", "window-*"))
    every = ["half", "inputs.json", "more", "probe", "window-1", "window-2"]
    for rank in (16, 16, 8):
        with pytest.raises(RuntimeError, match="stopped"):
            run((stage,), recipe=healed(context, rank=rank))
    assert seen == [["inputs.json"], every, ["inputs.json", "probe", "window-1", "window-2"]]
    assert told == ["16", "16", "8"]


def test_stage_may_read_only_what_it_says_it_comes_after(context: Context) -> None:
    def peek(context: Context, _folder: Path) -> None:
        assert context.artefacts["towers"].is_dir()

    peeking = Stage(name="peek", label="peek", run=peek, after=("heal",))
    with pytest.raises(KeyError, match="towers"):
        Workshop(context, (*STAGES[:2], peeking)).run_all()
    Workshop(context, (*STAGES[:2], replace(peeking, after=("towers",)))).run_all()


def test_stage_alone_needs_the_earlier_ones_and_names_the_first_that_is_missing(context: Context) -> None:
    workshop = Workshop(context, STAGES)
    with pytest.raises(UsageError) as caught:
        workshop.run("predict")
    assert str(caught.value) == "predict needs towers, which is not done: run `stage towers` first"
    for name in NAMES[:2]:
        workshop.run(name)
    with pytest.raises(UsageError, match=r"^pack needs predict, which is not done: run `stage predict` first$"):
        workshop.run("pack")
    workshop.run("predict")
    workshop.run("pack")
    assert (context.out / "bundle").is_dir()


def test_stage_alone_is_refused_on_top_of_a_stale_one_that_is_named_with_the_reason(
    run: Callable[..., list[str]], context: Context
) -> None:
    run()
    with pytest.raises(UsageError) as caught:
        Workshop(replace(context, recipe=healed(context, rank=8)), STAGES).run("pack")
    assert str(caught.value) == (
        "pack needs heal, which must be done again (recipe.heal.rank was 16 and is 8): run `stage heal` first"
    )


def test_stage_alone_runs_no_other(context: Context) -> None:
    Workshop(context, STAGES).run("towers")
    assert [path.name for path in (context.out / "stages").iterdir()] == ["towers"]


def test_stages_in_the_wrong_order_are_a_mistake_of_the_program(context: Context) -> None:
    with pytest.raises(ValueError, match=r"^heal comes before towers, which it needs$"):
        Workshop(context, STAGES[1:])


def test_failing_stage_leaves_the_earlier_ones_finished(run: Callable[..., list[str]], context: Context) -> None:
    failing = replace(STAGES[2], run=lambda _context, folder: (folder / "none" / "file").touch())
    with pytest.raises(FileNotFoundError):
        Workshop(context, (*STAGES[:2], failing)).run_all()
    assert run()[:2] == ["towers: done before, kept", "heal: done before, kept"]


differ = functools.partial(differences, {"recipe.a": "1", "recipe.b": "null", "recipe.c.d": "2", "version.torch": "3"})


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"recipe.a": "1"}, ("recipe.b was null and is left out", "recipe.c.d was 2 and is left out")),
        ({"recipe.a": "1", "recipe.b.x": "5", "recipe.b.y": "6", "recipe.c": "null"}, ("recipe.b was null and is given", "recipe.c was given and is null")),  # noqa: E501
        ({"recipe.b": "null", "recipe.c.d": "2", "recipe.a": "x" * 99}, ("recipe.a was 1 and is " + "x" * 57 + "...",)),
    ],
)  # fmt: skip
def test_difference_is_a_short_sentence_for_each_value(now: dict[str, str], told: tuple[str, ...]) -> None:
    assert differ({"version.torch": "3", **now}) == told


def test_many_differences_are_counted() -> None:
    was, now = ({f"recipe.{name}": value for name in "abcde"} for value in "12")
    assert differences(was, now)[2:] == ("recipe.c was 1 and is 2", "2 more changed")


def test_versions_are_those_of_the_packages_that_are_there() -> None:
    found = versions()
    assert set(found) >= {"python", "numpy", "reminisce-edge"}
    assert all(found.values())
