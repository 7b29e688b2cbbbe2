"""Twenty times `kill -9` at random moments of a real process: what it reported as remembered is there, and once."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pytest
from PIL import Image

from edge.bundle import Bundle
from edge.memory import Memory

SEED = 20251125
VARIANTS = 6  # of each picture that ships: enough that the work outlasts all kills
CHILD = """
import sys
from pathlib import Path
from edge.config import Config, RememberConfig
from edge.engine import Engine

def say(line):
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

def announced(keep):  # the real one; only said aloud, so that the test knows what a kill interrupted
    def keep_aloud(batch):
        say("committing")
        keep(batch)
        say("committed")
    return keep_aloud

say("opening")
with Engine(Config(remember=RememberConfig(batch=1)), Path(sys.argv[1])) as engine:
    engine.memory.keep = announced(engine.memory.keep)
    say("encoding")
    for outcome in engine.remember(map(Path, Path(sys.argv[2]).read_text().splitlines())):
        say(f"{outcome.state} {outcome.source}")
say("done")
"""


class Moment(NamedTuple):
    """When to kill: at most `longest_s` seconds after the child said `word` for the time of that number."""

    word: str
    times: int
    longest_s: float


# Most delays are much shorter than the longest, and the longest reach the next phase.
MOMENTS = (
    [Moment("", 0, 0.4)] * 2
    + [Moment("opening", 1, 0.1)] * 3
    + [Moment("encoding", 1, 1.5)] * 7
    + [Moment("committing", 1, 0.2)] * 4
    + [Moment("committing", 2, 0.2)] * 4
)


@dataclass(frozen=True)
class Landing:
    """Where one kill fell. reported: by all children so far; swept: files that the next start had to delete."""

    phase: str
    reported: int
    swept: int


@pytest.fixture(scope="module")
def variants(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Each shipped picture, encoded anew in several qualities: all of them different files."""
    folder = tmp_path_factory.mktemp("variants")
    files = []
    for picture in pictures:
        with Image.open(picture) as image:
            for variant in range(VARIANTS):
                files.append(folder / f"{picture.stem}-{variant}.jpg")
                image.save(files[-1], quality=60 + 5 * variant)
    assert len({digest(file) for file in files}) == len(files)
    return files


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def start(state: Path, listed: Path, files: list[Path]) -> subprocess.Popen[str]:
    listed.write_text("\n".join(map(str, files)), encoding="utf-8")
    command = [sys.executable, "-c", CHILD, str(state), str(listed)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def read_until(said: IO[str], moment: Moment) -> list[str]:
    """The lines up to the moment, or all if it never comes."""
    lines: list[str] = []
    while lines.count(moment.word) < moment.times and (line := said.readline()):
        lines.append(line.rstrip("\n"))
    return lines


def lines_before_kill(child: subprocess.Popen[str], moment: Moment, delay_s: float) -> list[str]:
    """Kill the child so long after the moment. All that it said."""
    with child:
        assert child.stdout is not None
        lines = read_until(child.stdout, moment)
        time.sleep(delay_s)
        child.kill()
        lines += [line.rstrip("\n") for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL or lines[-1] == "done"
    return lines


def reported_in(lines: list[str]) -> set[Path]:
    states = [line.partition(" ") for line in lines if " " in line]
    assert {state for state, _, _ in states} <= {"remembered", "known"}
    return {Path(name) for _, _, name in states}


def phase_after(lines: list[str]) -> str:
    """What the child was at when it said no more."""
    last = lines[-1] if lines else "starting"
    return "encoding" if " " in last else last


def files_in(state: Path) -> set[str]:
    return {path.name for path in (state / "content").rglob("*") if path.is_file()}


def check_after_kill(state: Path, fingerprint: str, reported: set[str]) -> int:
    """Reopen: all that was reported is there, whole and once, and nothing else. How many files were swept."""
    before = files_in(state)
    with Memory(state, fingerprint) as memory:
        after = files_in(state)
        numbers = [number for part in memory.partitions() for number in part.ids.tolist()]
        items = [memory.item(number) for number in numbers]
        found = [item.digest.hex() for item in items]
        assert len(found) == len(set(found)) == len(set(numbers))
        assert reported <= set(found)
        assert set(found) == after
        assert all(hashlib.sha256(memory.content(item) or b"").digest() == item.digest for item in items)
        assert memory._rows.execute("SELECT count(*) FROM items").fetchone() == (len(items),)
        assert memory._rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for part in memory.partitions():
            np.testing.assert_allclose(np.linalg.norm(part.embeddings, axis=1), 1, atol=2e-3)
    return len(before - after)


def kill_often(state: Path, listed: Path, variants: list[Path], fingerprint: str) -> tuple[list[Landing], set[Path]]:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    moments = chance.sample(MOMENTS, len(MOMENTS))
    reported: set[Path] = set()
    landings = []
    for moment in moments:
        child = start(state, listed, chance.sample(variants, len(variants)))
        lines = lines_before_kill(child, moment, moment.longest_s * chance.random() ** 3)
        reported |= reported_in(lines)
        swept = check_after_kill(state, fingerprint, {digest(file) for file in reported})
        landings.append(Landing(phase_after(lines), len(reported), swept))
    return landings, reported


def print_landings(config: pytest.Config, landings: list[Landing]) -> None:
    writer = config.get_terminal_writer()
    writer.line()
    for number, landing in enumerate(landings, 1):
        writer.line(
            f"kill {number:2}: while {landing.phase}, {landing.reported} reported so far, {landing.swept} files swept"
        )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_at_any_moment_loses_nothing_that_was_reported(
    tmp_path: Path,
    variants: list[Path],
    bundle: Bundle,
    pytestconfig: pytest.Config,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state, listed = tmp_path / "state", tmp_path / "files.txt"
    landings, reported = kill_often(state, listed, variants, bundle.fingerprint)
    with capsys.disabled():
        print_landings(pytestconfig, landings)

    fell = Counter(landing.phase for landing in landings)
    assert fell["starting"] + fell["opening"] >= 2
    assert fell["encoding"] >= 3
    assert fell["committing"] >= 2
    assert fell["done"] == 0
    assert [landing.reported for landing in landings] == sorted(landing.reported for landing in landings)
    assert 0 < len(reported) < len(variants)

    with start(state, listed, variants) as last:
        said, _ = last.communicate()
    assert last.returncode == 0
    assert reported_in(said.splitlines()) == set(variants)
    assert check_after_kill(state, bundle.fingerprint, {digest(file) for file in variants}) == 0
    assert files_in(state) == {digest(file) for file in variants}
