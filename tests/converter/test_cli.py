"""What `reminisce-convert` says before any heavy import: help, version, and every mistake on the command line."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from converter.cli import make_parser
from converter.recipe import packaged_recipes
from edge import __version__

ROOT = Path(__file__).resolve().parents[2]
# Runs the command line in a Python that has none of the packages that make a build slow to start.
WITHOUT_TORCH = """\
import sys
sys.modules.update(dict.fromkeys(["torch", "onnx", "onnx2tf", "ai_edge_quantizer"]))
from converter.cli import main
sys.exit(main(sys.argv[1:]))
"""
WITH_TORCH = """\
import sys
from converter.cli import main
code = main(sys.argv[1:])
sys.exit(99 if "torch" in sys.modules else code)
"""
BUILD = {"--out", "--seed", "--tflite-python"}
RECIPE = BUILD | {"--checkpoint", "--query-checkpoint", "--data", "--quick"}
OPTIONS = {
    "run": RECIPE,
    "demo": BUILD | {"--photos"},
    "stage": RECIPE,
    "verify": {"--tflite-python"},
    "report": {"--plot"},
    "recipes": set[str](),
}
HELPS = [[], *[[command] for command in OPTIONS]]
HAS_TORCH = pytest.mark.skipif(
    find_spec("torch") is None, reason="the host tools are not installed: run `make convert-env`"
)


def convert(*arguments: str | Path, program: str = WITHOUT_TORCH) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@functools.cache
def help_of(*command: str) -> str:
    done = convert(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal_of(*arguments: str | Path, program: str = WITH_TORCH) -> str:
    """What is said of a command that is wrong, before torch is loaded."""
    done = convert(*arguments, program=program)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("reminisce-convert: ")
    return done.stderr.removeprefix("reminisce-convert: ").removesuffix("\n")


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_has_exit_codes_and_examples_that_can_be_typed(command: list[str]) -> None:
    shown = help_of(*command)
    assert shown.endswith(
        "\nexit codes: 0 done, 1 failed, 2 the command line or the recipe is wrong, 130 interrupted\n"
    )
    assert max(map(len, shown.splitlines())) <= 120
    examples = re.findall(r"^  (reminisce-convert .*)$", shown.partition("\nexamples:\n")[2], re.MULTILINE)
    assert examples
    for example in examples:
        options = make_parser().parse_args(shlex.split(example)[1:])
        assert not command or command[0] == options.COMMAND
        recipe = getattr(options, "recipe", "my.yaml")
        assert recipe.endswith(".yaml") or recipe in packaged_recipes()


@pytest.mark.parametrize("command", OPTIONS)
def test_help_of_a_command_explains_every_option(command: str) -> None:
    described = help_of(command).partition("\noptions:\n")[2].partition("\nexamples:\n")[0]
    assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", described, re.MULTILINE)) - {"--help"} == OPTIONS[command]


def test_help_lists_every_command_with_what_it_does() -> None:
    assert set(re.findall(r"^    ([a-z]+)  +\S", help_of(), re.MULTILINE)) == set(OPTIONS)


def test_version_is_the_one_of_the_package() -> None:
    done = convert("--version")
    assert (done.returncode, done.stdout) == (0, f"reminisce-convert {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "usage", "text"),
    [
        ((), "", "the following arguments are required: COMMAND"),
        (("demo",), " demo", "the following arguments are required: --out"),
        (("demos", "--out", "x"), "", "(choose from 'run', 'demo', 'stage', 'verify', 'report', 'recipes'). Did you mean demo?"),  # noqa: E501
        (("zzz",), "", "'recipes')"),
        (("demo", "--out", "x", "--photo"), " demo", "argument --photos: expected one argument"),
        (("demo", "--out", "x", "--crops", "3"), " demo", "unrecognized arguments: --crops 3"),
        (("run", "demo", "--out", "x", "--chekpoint=y"), " run", "unrecognized arguments: --chekpoint=y. Did you mean --checkpoint?"),  # noqa: E501
        (("stage", "heal", "demo", "--uot", "x"), " stage", "the following arguments are required: --out. Did you mean --out?"),  # noqa: E501
        (("demo", "--out", "x", "--seed", "-1"), " demo", "argument --seed: '-1': must be a whole number, 0 or more"),
        (("demo", "--out", "x", "--seed", "one"), " demo", "argument --seed: 'one': must be a whole number, 0 or more"),
        (("report",), " report", "the following arguments are required: DIR"),
        (("verify",), " verify", "the following arguments are required: BUNDLE"),
        (("recipes", "demo"), " recipes", "unrecognized arguments: demo"),
    ],
)  # fmt: skip
def test_mistyped_command_is_refused_with_its_usage_the_nearest_choice_and_exit_code_2(
    arguments: tuple[str, ...], usage: str, text: str
) -> None:
    done = convert(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: reminisce-convert{usage} [-h]")
    assert done.stderr.endswith(f"{text}\n")
    assert done.stdout == ""


def test_recipes_are_listed_with_what_they_are() -> None:
    done = convert("recipes")
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert found == packaged_recipes()


@pytest.mark.parametrize("command", [("run",), ("stage", "heal")])
def test_typo_in_the_recipe_is_told_before_torch_is_imported(
    tmp_path: Path, small_recipe: Path, command: tuple[str, ...]
) -> None:
    small_recipe.write_text(small_recipe.read_text(encoding="utf-8").replace("  crops: 1", "  crop: 1"), "utf-8")
    assert refusal_of(*command, small_recipe, "--out", tmp_path / "out").splitlines() == [
        f"{small_recipe}: heads.crop is not a key. Did you mean heads.crops?",
        f"{small_recipe}: heads.crops is missing",
    ]
    assert not (tmp_path / "out").exists()


def test_recipe_that_does_not_exist_is_told_with_exit_code_2(tmp_path: Path) -> None:
    told = refusal_of("run", tmp_path / "none.yaml", "--out", tmp_path / "out")
    assert told.startswith(f"{tmp_path}/none.yaml: cannot be read:")


def test_unknown_recipe_is_answered_with_the_nearest(tmp_path: Path) -> None:
    told = refusal_of("run", "vit-tini-flickr8k", "--out", tmp_path / "out")
    assert told == "no recipe is called 'vit-tini-flickr8k': did you mean vit-tiny-flickr8k?"


@HAS_TORCH
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("vit-tiny-flickr8k",), "the recipe's vit needs weights: name their folder or hub id with --checkpoint"),
        (("vit-tiny-flickr8k", "--checkpoint", "./none"), "--checkpoint is ./none: no such folder"),
        (("vit-tiny-flickr8k", "--checkpoint", "google/vit"), "the recipe reads flickr8k: name its folder or file with --data"),  # noqa: E501
        (("vit-tiny-flickr8k", "--checkpoint", "google/vit", "--data", "none"), "--data is none: no such folder or file"),  # noqa: E501
        (
            ("vit-tiny-flickr8k", "--checkpoint", "google/vit", "--query-checkpoint", "google/bert"),
            "--query-checkpoint is google/bert: minilm comes with a package and takes no other weights",
        ),
        (("demo", "--checkpoint", "x"), "--checkpoint is x: efficientnet-lite0 comes with a package and takes no other weights"),  # noqa: E501
        (("demo", "--data", "tests"), "--data is tests: the recipe's data.kind is demo, which reads none"),
    ],
)  # fmt: skip
def test_what_the_recipe_needs_and_the_command_lacks_is_told_before_torch_is_imported(
    tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    assert refusal_of("run", *arguments, "--out", tmp_path / "out") == text
    assert not (tmp_path / "out").exists()


@HAS_TORCH
def test_photos_that_do_not_exist_are_told_before_torch_is_imported(tmp_path: Path) -> None:
    told = refusal_of("demo", "--photos", tmp_path / "none", "--out", tmp_path / "out")
    assert told == f"--photos is {tmp_path}/none: no such folder"


@HAS_TORCH
def test_folder_of_somebody_else_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    told = refusal_of("demo", "--out", tmp_path, "--tflite-python", sys.executable)
    assert told == (
        f"{tmp_path} holds files that reminisce-convert did not make: choose a new or empty folder with --out"
    )
    told = refusal_of("demo", "--out", tmp_path / "mine", "--tflite-python", sys.executable)
    assert told == f"{tmp_path}/mine is not a folder: choose another with --out"


@HAS_TORCH
def test_missing_tflite_python_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    assert refusal_of("demo", "--out", tmp_path / "out", "--tflite-python", tmp_path / "python") == (
        f"{tmp_path}/python does not exist: run `make convert-env`, or name a Python with --tflite-python"
    )


def test_missing_host_tools_are_named_with_how_to_get_them(tmp_path: Path) -> None:
    arguments = ("demo", "--out", tmp_path / "out", "--tflite-python", sys.executable)
    assert refusal_of(*arguments, program=WITHOUT_TORCH) == (
        "the host tools are not installed (torch is missing): run `make convert-env`,"
        " or `pip install '.[convert]'` on Python 3.12 and later"
    )
    assert not (tmp_path / "out").exists()


def test_report_of_what_is_no_build_is_refused(tmp_path: Path) -> None:
    assert refusal_of("report", tmp_path) == f"{tmp_path} is not the folder of a build: it has no stages"
