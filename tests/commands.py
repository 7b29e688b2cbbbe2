"""`reminisce` as its own process, as a user starts it; whatever happens, it never shows a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.config import MqttConfig

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 240  # for a slow and busy board
# What is open when a signal comes, or a connection fails, is left to be collected.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process left behind."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The output of `--json`: an object a line."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(one, dict) for one in found)
        return found


def start(
    *arguments: str | Path,
    here: Path = ROOT,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "edge"),
    below: Sequence[str] = (),
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """Start a command; output and errors are pipes unless `streams` say otherwise.

    here:    the folder that it runs in
    environ: further variables
    program: what Python is told to run
    below:   a program that starts it, with its options
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [*below, sys.executable, *WARNINGS, *program, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        bufsize=0,  # a line read by hand leaves the rest to `finish`
        **{**pipes, **streams},
    )


def finish(process: subprocess.Popen[bytes]) -> Finished:
    """Wait for its end; one that does not come to it is killed."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.wait()
    finished = Finished(process.returncode, (out or b"").decode(), (err or b"").decode())
    assert "Traceback" not in finished.err, finished.err
    return finished


def run(*arguments: str | Path, **options: Any) -> Finished:
    """A command from start to end; options are those of `start`."""
    return finish(start(*arguments, **options))


def write_config(folder: Path, mqtt: MqttConfig, device: str = "dev1", **sections: Any) -> Path:
    """A config for the command line alone: where the broker is, and what the device is called."""
    file = folder / "config.yaml"
    file.write_text(json.dumps({"device": device, "mqtt": asdict(mqtt), **sections}), encoding="utf-8")
    return file
