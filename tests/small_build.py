"""`reminisce-convert` with four small stages that write real files: python small_build.py ARGUMENTS.

HOLD names a place ("heal:1": in heal, after its window 1) where the build says "holding" and waits to be ended.
FILL names one where everything but half a megabyte of the disk is taken by the file that BALLAST names.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from converter.cli import main
from converter.stages import Context, Stage, load_arrays, load_record, save_arrays, save_record
from edge.demo import DEMO_BUNDLE

WINDOWS = 3


@dataclass(frozen=True)
class Score:
    value: float


def place(context: Context, name: str) -> None:
    """Somewhere in the build."""
    if os.environ.get("FILL") == name:
        ballast = Path(os.environ["BALLAST"])
        status = os.statvfs(ballast.parent)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - 500_000)
    if os.environ.get("HOLD") == name:
        context.console.say("holding")
        time.sleep(600)


def towers(context: Context, folder: Path) -> None:
    save_arrays(folder / "weights.npz", weights=np.random.default_rng(context.seed).normal(size=200_000))
    place(context, "towers")


def heal(context: Context, folder: Path) -> None:
    weights = load_arrays(context.artefacts["towers"] / "weights.npz")["weights"]
    for window in range(WINDOWS):
        part = folder / f"window-{window}.npz"
        if part.exists():
            context.console.say(f"window {window} kept")
        else:
            rank = context.recipe.heal.rank if context.recipe.heal else 0
            save_arrays(part, weights=weights + rank * window)
            context.console.say(f"window {window} healed")
        place(context, f"heal:{window}")


def predict(context: Context, folder: Path) -> None:
    parts = sorted(context.artefacts["heal"].glob("window-*.npz"))
    save_record(folder / "score.json", Score(value=sum(float(load_arrays(part)["weights"].mean()) for part in parts)))
    place(context, "predict")


def pack(context: Context, folder: Path) -> None:
    score = load_record(Score, context.artefacts["predict"] / "score.json")
    save_record(folder / "packed.json", score)
    shutil.rmtree(context.out / "bundle", ignore_errors=True)
    shutil.copytree(DEMO_BUNDLE, context.out / "bundle")
    place(context, "pack")


STAGES = (
    Stage(name="towers", label="open the towers", run=towers, reads=("item", "query"), takes=("checkpoint", "data")),
    Stage(
        name="heal", label="heal the towers", run=heal, reads=("heal", "item.exits"), after=("towers",), resumes=True
    ),
    Stage(name="predict", label="learn to predict", run=predict, reads=("predict",), after=("heal",)),
    Stage(name="pack", label="pack", run=pack, reads=("model",), after=("predict",), makes=("bundle",)),
)

if __name__ == "__main__":
    pipeline = ModuleType("converter.pipeline")
    pipeline.STAGES = STAGES  # type: ignore[attr-defined]
    sys.modules["converter.pipeline"] = pipeline
    sys.exit(main())
