"""What an install of the device brings: which packages, how many bytes, and everything that the wheel must hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge import __version__
from edge.bundle import Bundle

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "reminisce-edge"
README_PICTURE = "edge/demo/answers.jpg"
PACKAGES = ("edge", "converter")
LIMIT_BYTES = 280_000_000  # a 2 GB board's card also holds the system; ai-edge-litert and numpy alone are 130 MB


@pytest.fixture(scope="module")
def installed() -> dict[str, Distribution]:
    """The project and what its base requirements bring here, all the way down, by name; no extras of the project."""
    try:
        distribution(PROJECT)
    except PackageNotFoundError:
        pytest.skip(f"{PROJECT} is not installed in this Python: make test installs it")
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(PROJECT)]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) not in seen:
            seen.add((name, frozenset(wanted.extras)))
            found[name] = distribution(name)
            waiting += _brought(found[name], wanted.extras)
    return found


def _brought(package: Distribution, extras: set[str]) -> list[Requirement]:
    """The requirements of a package whose markers hold on this Python with these extras (those of none: "")."""
    requirements = [Requirement(text) for text in package.requires or ()]
    chosen = [{"extra": extra} for extra in extras or {""}]
    return [r for r in requirements if r.marker is None or any(r.marker.evaluate(extra) for extra in chosen)]


def _bytes_of(package: Distribution) -> int:
    paths = [Path(str(package.locate_file(file))) for file in package.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _own_files() -> dict[str, int]:
    """Sizes of all files of both packages in the checkout, by path."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in files if path.suffix != ".pyc"}


def test_device_install_brings_a_runtime_and_no_training_framework(installed: dict[str, Distribution]) -> None:
    assert installed.keys() >= {"ai-edge-litert", "numpy", "pillow", "tokenizers"}
    assert not installed.keys() & {"torch", "tensorflow", "jax", "transformers", "onnx", "onnx2tf"}


def test_device_install_is_small_enough_for_a_board(installed: dict[str, Distribution]) -> None:
    sizes = {name: _bytes_of(package) for name, package in installed.items()} | {PROJECT: sum(_own_files().values())}
    largest = sorted(sizes.items(), key=lambda entry: -entry[1])[:5]
    assert all(sizes.values()), "a package without files would not be counted"
    assert sum(sizes.values()) < LIMIT_BYTES, f"largest: {largest}"


@pytest.mark.slow
def test_wheel_holds_every_file_of_both_packages(tmp_path: Path, bundle: Bundle) -> None:
    checkout = tmp_path / "checkout"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (path for path in ROOT.iterdir() if path.suffix in {".cfg", ".toml", ".md"} or path.name == "LICENSE"):
        shutil.copy(file, checkout)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    done = subprocess.run([*build, str(checkout)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {entry.filename: entry.file_size for entry in archive.infolist() if ".dist-info/" not in entry.filename}
    assert held == {name: size for name, size in _own_files().items() if name != README_PICTURE}
    assert held.keys() >= {f"edge/demo/bundle/{name}" for name in bundle.manifest.files}
    assert held.keys() >= {
        "converter/constraints.txt",
        "converter/data/CREDITS.md",
        "converter/data/class_texts.tsv",
        "converter/recipes/demo.yaml",
        "edge/bundle/FORMAT.md",
        "edge/demo/bundle/manifest.json",
        "edge/demo/pictures/CREDITS.md",
        "edge/mqtt/PROTOCOL.md",
    }


@pytest.mark.parametrize("command", ["reminisce", "reminisce-convert"])
@pytest.mark.usefixtures("installed")
def test_command_tells_its_version_and_gives_examples(command: str) -> None:
    program = str(Path(sys.executable).parent / command)
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"{command} {__version__}\n"
    assert version.stderr == ""
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert f"examples:\n  {command} demo" in shown
    assert "exit codes: 0 done" in shown


@pytest.mark.parametrize("command", ["reminisce", "reminisce-convert"])
@pytest.mark.usefixtures("installed")
def test_command_without_a_known_word_exits_2(command: str) -> None:
    program = str(Path(sys.executable).parent / command)
    done = subprocess.run([program, "remind"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: 'remind'" in done.stderr
