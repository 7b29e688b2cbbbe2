"""The command line as its own process: help, version, and what a wrong config or a damaged bundle is answered with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import __version__
from edge.bundle import MANIFEST, Bundle
from edge.config import DEMO_BUNDLE
from edge.runtime import installed_runtimes

ROOT = Path(__file__).parents[1]
SECONDS = 240  # for a slow and busy board


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors of `python -m edge ARGUMENTS`, which never shows a traceback."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "edge", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    errors = done.stderr.decode()
    assert "Traceback" not in errors
    return done.returncode, done.stdout.decode(), errors


def refused(tmp_path: Path, config: str) -> tuple[int, str]:
    """Exit code and errors of a demo with this config; it says nothing else and writes nothing."""
    file, sheet = tmp_path / "config.yaml", tmp_path / "sheet.html"
    file.write_text(config, encoding="utf-8")
    code, out, errors = run("demo", "--config", file, "--sheet", sheet)
    assert out == ""
    assert not sheet.exists()
    return code, errors


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    """The shipped bundle, free to be damaged."""
    shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"]])
def test_help_has_examples_that_work_and_the_exit_codes(arguments: list[str]) -> None:
    code, out, errors = run(*arguments)
    assert (code, errors) == (0, "")
    for example in (
        "reminisce demo\n",
        "reminisce demo --photos ~/Pictures/2025\n",
        "reminisce demo --config config.yaml\n",
    ):
        assert f"\n  {example}" in out
    assert "exit codes: 0 done, 1 failed" in out
    assert "130 interrupted" in out


def test_help_of_the_demo_lists_its_options() -> None:
    _, out, _ = run("demo", "--help")
    assert set(re.findall(r"--[a-z]+", out.partition("examples:")[0])) == {"--help", "--photos", "--config", "--sheet"}


def test_version_is_the_packages() -> None:
    assert run("--version") == (0, f"reminisce {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "reminisce: error: the following arguments are required: COMMAND"),
        (["dance"], "reminisce: error: argument COMMAND: invalid choice: 'dance'"),
        (["demo", "--fotos", "."], "reminisce: error: unrecognized arguments: --fotos ."),
        (["demo", "--photos"], "reminisce demo: error: argument --photos: expected one argument"),
    ],
)
def test_command_line_that_makes_no_sense_is_refused_with_the_usage(arguments: list[str], said: str) -> None:
    code, out, errors = run(*arguments)
    assert (code, out) == (2, "")
    assert errors.startswith("usage: reminisce")
    assert said in errors


def test_key_with_a_typing_error_is_answered_with_the_nearest(tmp_path: Path) -> None:
    code, errors = refused(tmp_path, "remember:\n  exit_dept: 8\n")
    said = "remember.exit_dept is not a key. Did you mean remember.exit_depth?"
    assert (code, errors) == (2, f"reminisce: {tmp_path / 'config.yaml'}: {said}\n")


def test_every_problem_of_a_config_is_listed_with_its_file(tmp_path: Path) -> None:
    code, errors = refused(tmp_path, "runtime: {threads: 0}\nrecall: {pool: many}\nbundel: here\n")
    assert code == 2
    lines = errors.removeprefix("reminisce: ").splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'config.yaml'}: ") for line in lines)
    for problem in (
        "runtime.threads is 0: must be 1 to 64",
        "recall.pool is 'many': must be a whole number",
        "bundel is not a key. Did you mean bundle?",
    ):
        assert problem in errors


def test_config_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    code, out, errors = run("demo", "--config", tmp_path / "missing.yaml")
    assert (code, out) == (2, "")
    assert errors.startswith(f"reminisce: {tmp_path / 'missing.yaml'}: cannot be read: ")
    assert "No such file or directory" in errors


def test_exit_depth_that_does_not_exist_is_a_usage_error_that_lists_the_exits(tmp_path: Path, bundle: Bundle) -> None:
    exits = ", ".join(str(place.depth) for place in bundle.manifest.tower("image").exits)
    said = f"reminisce: remember.exit_depth: no exit at depth 4: there are {exits}\n"
    assert refused(tmp_path, "remember: {exit_depth: 4}") == (2, said)


def test_damaged_file_of_a_bundle_is_named(tmp_path: Path, bundle_copy: Path) -> None:
    damaged = bundle_copy / next(name for name in json.loads((bundle_copy / MANIFEST).read_text())["files"])
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    said = f"{damaged} does not match its checksum in the manifest: copy it again, or convert again"
    assert refused(tmp_path, f"bundle: {bundle_copy}") == (1, f"reminisce: {said}\n")


def test_missing_file_of_a_bundle_is_named(tmp_path: Path, bundle_copy: Path) -> None:
    (bundle_copy / "text" / "tokens.int4").unlink()
    code, errors = refused(tmp_path, f"bundle: {bundle_copy}")
    assert code == 1
    assert errors.startswith(f"reminisce: {bundle_copy / 'text' / 'tokens.int4'} cannot be read (No such file")


def test_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    said = f"reminisce: {tmp_path} is not a bundle: it has no manifest.json\n"
    assert refused(tmp_path, f"bundle: {tmp_path}") == (1, said)


def test_runtime_that_is_not_installed_is_named_with_what_to_install(tmp_path: Path) -> None:
    missing = {"ai-edge-litert", "tflite-runtime"} - set(installed_runtimes())
    if not missing:
        pytest.skip("both runtimes are installed")
    (name,) = missing
    said = f"reminisce: no TFLite runtime {name!r} is installed: run `pip install {name}`\n"
    assert refused(tmp_path, f"runtime: {{backend: {name}}}") == (1, said)


def test_settings_of_the_config_are_used(tmp_path: Path, bundle: Bundle, pictures: list[Path]) -> None:
    last = bundle.manifest.tower("image").exits[-1].depth
    (tmp_path / "config.yaml").write_text(
        f"runtime: {{threads: 1}}\nremember: {{exit_depth: {last}, batch: 4}}\nrecall: {{pool: 0, limit: 2}}\n",
        encoding="utf-8",
    )
    code, out, _ = run("demo", "--config", tmp_path / "config.yaml", "--sheet", tmp_path / "sheet.html")
    assert code == 0
    assert ", 1 threads\n" in out.splitlines(keepends=True)[0]
    questions = re.findall(rf"search of {len(pictures)} \d+\.\d, 0 finished 0$", out, re.MULTILINE)
    answers = re.findall(rf"^  ([12])\. .+  exit at depth {last}$", out, re.MULTILINE)
    assert answers == ["1", "2"] * len(questions)
    assert len(questions) == 4
