"""What `reminisce-convert` says before any heavy import: help, version, and every mistake on the command line."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

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


def convert(*arguments: str | Path, program: str = WITHOUT_TORCH) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("arguments", [("--help",), ("demo", "--help")])
def test_help_shows_examples_that_can_be_typed_and_the_exit_codes(arguments: tuple[str, ...]) -> None:
    done = convert(*arguments)
    assert done.returncode == 0
    assert "reminisce-convert demo --out my-bundle --photos ~/flickr8k\n" in done.stdout
    assert "2 the command line or the recipe is wrong, 130 interrupted\n" in done.stdout
    assert done.stderr == ""


def test_help_of_the_command_explains_every_option() -> None:
    text = convert("demo", "--help").stdout
    for option in ("--out DIR", "--photos DIR", "--recipe FILE", "--tflite-python FILE"):
        assert f"\n  {option}" in text


def test_version_is_the_one_of_the_package() -> None:
    done = convert("--version")
    assert (done.returncode, done.stdout) == (0, f"reminisce-convert {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("demo",), "the following arguments are required: --out"),
        (("demos", "--out", "x"), "invalid choice: 'demos'"),
        (("demo", "--out", "x", "--photo"), "argument --photos: expected one argument"),
        (("demo", "--out", "x", "--crops", "3"), "unrecognized arguments: --crops 3"),
    ],
)
def test_mistyped_command_is_refused_with_usage_and_exit_code_2(arguments: tuple[str, ...], text: str) -> None:
    done = convert(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: reminisce-convert")
    assert text in done.stderr
    assert done.stdout == ""


def test_typo_in_the_recipe_is_told_before_torch_is_imported(tmp_path: Path, small_recipe: Path) -> None:
    small_recipe.write_text(small_recipe.read_text(encoding="utf-8").replace("crops: 1,", "crop: 1,"), "utf-8")
    done = convert("demo", "--out", tmp_path / "out", "--recipe", small_recipe)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"reminisce-convert: {small_recipe}: image.crop is not a key. Did you mean image.crops?",
        f"{small_recipe}: image.crops is missing",
    ]
    assert not (tmp_path / "out").exists()


def test_recipe_that_does_not_exist_is_told_with_exit_code_2(tmp_path: Path) -> None:
    done = convert("demo", "--out", tmp_path / "out", "--recipe", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"reminisce-convert: {tmp_path}/none.yaml: cannot be read:")


@pytest.mark.skipif(find_spec("torch") is None, reason="the host tools are not installed: run `make convert-env`")
def test_missing_tflite_python_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    missing = ("--tflite-python", tmp_path / "python")
    done = convert("demo", "--out", tmp_path / "out", *missing, program=WITH_TORCH)
    assert done.returncode == 2
    assert done.stderr == (
        f"reminisce-convert: {tmp_path}/python does not exist: run `make convert-env`,"
        " or name a Python with --tflite-python\n"
    )


def test_missing_host_tools_are_named_with_how_to_get_them(tmp_path: Path) -> None:
    done = convert("demo", "--out", tmp_path / "out", "--tflite-python", sys.executable)
    assert done.returncode == 2
    assert done.stderr == (
        "reminisce-convert: the host tools are not installed (torch is missing): run `make convert-env`,"
        " or `pip install '.[convert]'` on Python 3.12 and later\n"
    )
    assert not (tmp_path / "out").exists()
