"""The second runtime's Python, a silent console, and a recipe that builds in seconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is loaded

from builds import SmallBuild
from converter.console import Console
from edge.bundle import Bundle

if TYPE_CHECKING:
    from learnt_small import Small

# Two segments and one early exit, at the depth where items leave by default; short sentences, a few steps of training.
SMALL_RECIPE = """\
model: small
data: {kind: demo, purpose: any}
item: {kind: efficientnet-lite0, exits: [11], formats: [float16]}
query: {kind: minilm, tokens: 16, group: 64}
heads:
  kind: distilled
  crops: 1
  open_crops: 1
  full:
    training: {epochs: 2, batch: 8, rate: 0.001, decay: 1.0, dropout: 0.5}
    class_weight: 1.0
    residual: 2.0
    temperature: 1.0
  exit:
    training: {epochs: 2, batch: 8, rate: 0.003, decay: 0.05, dropout: 0.3}
    cosine_weight: 4.0
    caption_weight: 1.0
"""


@pytest.fixture(scope="session")
def tflite_python() -> Path:
    """A Python with tflite-runtime: TFLITE_PYTHON, or the one of `make convert-env`; else a skip with its reason."""
    python = Path(os.environ.get("TFLITE_PYTHON", Path(sys.prefix).parent / ".venv-tflite" / "bin" / "python"))
    if not python.is_file():
        pytest.skip(f"no Python with tflite-runtime at {python}: run `make convert-env`, or set TFLITE_PYTHON")
    return python


@pytest.fixture(scope="session")
def runtimes(tflite_python: Path) -> dict[str, Path]:
    """A Python for each runtime, as `verify` and `build_demo` take them."""
    return {"ai-edge-litert": Path(sys.executable), "tflite-runtime": tflite_python}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A small ViT and a word tower, and all that a build learns."""
    pytest.importorskip("torch", reason="needs the host tools: make convert-env")
    from learnt_small import small_build  # noqa: PLC0415 - it needs torch, which other tests here do without

    return small_build(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory, small: Small) -> Bundle:
    """The same as a bundle. Not to be changed."""
    from converter.pack import pack  # noqa: PLC0415
    from learnt_small import manifest, write_files  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("small-bundle") / "bundle"
    return pack(folder, manifest(folder, small, write_files(folder, small)))


@pytest.fixture(scope="session")
def console() -> Console:
    """A console without bars."""
    return Console(quiet=True)


@pytest.fixture(scope="session")
def small_recipe_text() -> str:
    """A recipe that gives a bundle in seconds."""
    return SMALL_RECIPE


@pytest.fixture
def small_recipe(tmp_path: Path, small_recipe_text: str) -> Path:
    """The same as a file of the test's own."""
    path = tmp_path / "small.yaml"
    path.write_text(small_recipe_text, encoding="utf-8")
    return path


@pytest.fixture
def build(small_recipe: Path, tmp_path: Path) -> SmallBuild:
    """A build with small stages, healing among them, into a folder that does not exist yet."""
    with small_recipe.open("a", encoding="utf-8") as file:
        file.write("heal: {rank: 16}\n")
    return SmallBuild(small_recipe, tmp_path / "out")
