"""Builds with small stages, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from commands import Finished, finish, start

PROGRAM = (str(Path(__file__).with_name("small_build.py")),)
STAGES = ("towers", "heal", "predict", "pack")


@dataclass(frozen=True)
class SmallBuild:
    """A recipe and a folder to build in; `run` may be called again and again."""

    recipe: Path
    out: Path

    def start(self, *more: str | Path, **environ: str) -> subprocess.Popen[bytes]:
        return start("run", *self.words, *more, program=PROGRAM, environ=environ)

    def run(self, *more: str | Path, **environ: str) -> Finished:
        return finish(self.start(*more, **environ))

    def stage(self, name: str, **environ: str) -> Finished:
        return finish(start("stage", name, *self.words, program=PROGRAM, environ=environ))

    def ended_by(self, number: int, hold: str) -> Finished:
        """Run until the place that `hold` names, and end it there by a signal."""
        process = self.start(HOLD=hold)
        assert process.stderr
        said = b""
        while not said.endswith(b"holding\n"):
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        process.send_signal(number)
        ended = finish(process)
        return Finished(ended.code, ended.out, said.decode() + ended.err)

    @property
    def words(self) -> tuple[str | Path, ...]:
        return (self.recipe, "--out", self.out, "--tflite-python", sys.executable)

    def change(self, old: str, new: str) -> None:
        text = self.recipe.read_text(encoding="utf-8")
        assert old in text
        self.recipe.write_text(text.replace(old, new), encoding="utf-8")

    def files(self) -> Mapping[str, bytes]:
        """Everything that the build left, but times."""
        found = {path.relative_to(self.out).as_posix(): path for path in self.out.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if path.suffix == ".npz" or "bundle/" in name}


def kept(done: Finished) -> list[str]:
    """The stages that a build kept."""
    return [line.partition(":")[0] for line in done.err.splitlines() if line.endswith(": done before, kept")]


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 - names alone
