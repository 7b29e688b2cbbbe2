"""Real builds of a tiny vision transformer, each command a process of its own, as a user types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import ROOT, Finished, finish

RECIPE = """\
model: tiny
data: {kind: pairs, held: 0.1}
item: {kind: vit, exits: [1, 2], formats: [float16]}
query: {kind: minilm, tokens: 16}
heads:
  kind: paired
  dimension: 16
  hidden: 0
  training: {epochs: 8, batch: 64, rate: 0.003, decay: 0.01, dropout: 0.1}
heal: {windows: [[1, 2], [3, 4]], rank: 4, epochs: 1, batch: 32, tokens: 0, precision: float32}
predict: {epochs: 4, nets: 1}
calibrate: {bank: 50}
"""


@dataclass(frozen=True)
class TinyBuild:
    """A recipe, where its inputs are, and a folder to build in; `run` may be called again and again."""

    recipe: Path
    checkpoint: Path
    data: Path
    tflite_python: Path
    out: Path

    @property
    def words(self) -> tuple[str | Path, ...]:
        inputs = ("--checkpoint", self.checkpoint, "--data", self.data)
        return (self.recipe, *inputs, "--tflite-python", self.tflite_python, "--out", self.out)

    def run(self, *more: str) -> Finished:
        return convert("run", *self.words, *more)

    def stage(self, name: str, *more: str) -> Finished:
        return convert("stage", name, *self.words, *more)

    def change(self, old: str, new: str) -> None:
        text = self.recipe.read_text(encoding="utf-8")
        assert old in text
        self.recipe.write_text(text.replace(old, new), encoding="utf-8")

    def killed_when(self, reached: Callable[[], bool]) -> None:
        """Kill the build, children and all, without a chance to tidy up."""
        process = start("run", *self.words)
        while not reached():
            assert process.poll() is None, finish(process).err
            time.sleep(0.005)
        _kill(process)

    def killed_at(self, step: str) -> str:
        """Kill the build when it says that a step begins; what it had said by then."""
        process = start("run", *self.words)
        assert process.stderr
        said = ""
        while line := process.stderr.readline().decode():
            said += line
            if line.startswith(step):
                break
        _kill(process)
        return said

    def bundle_files(self) -> dict[str, bytes]:
        folder = self.out / "bundle"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "converter.cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        bufsize=0,  # a line read by hand leaves the rest to `finish`
    )


def convert(*arguments: str | Path) -> Finished:
    """One command of `reminisce-convert` from start to end."""
    return finish(start(*arguments))
