"""Twenty times and more `kill -9` at random moments of a real process: what it reported is there, and once."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from PIL import Image

from edge.bundle import Bundle
from edge.memory import Memory
from memories import look_into

SEED = 20251125
VARIANTS = 8  # of each picture that ships: enough that the work outlasts all kills
CHILD = """
import hashlib, sys
from pathlib import Path
from edge.config import Config, RememberConfig
from edge.engine import Engine, Hooks
from edge.items import Arrival

def say(line):
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

def announced(commit):  # the real one; only said aloud, so that the test knows what a kill interrupted
    def commit_aloud(batch):
        say("committing")
        verdicts = commit(batch)
        say("committed")
        return verdicts
    return commit_aloud

def arrival(path):
    content = path.read_bytes()
    digest = hashlib.sha256(content).digest()
    return Arrival(content=content, digest=digest, modality="image", source=str(path), taken_at=None)

def tell(outcome):
    say(f"{outcome.state} {outcome.item.source}")

files = [Path(line) for line in Path(sys.argv[2]).read_text().splitlines()]
say("opening")
with Engine(Config(remember=RememberConfig(batch=1)), Path(sys.argv[1]), Hooks(on_outcome=tell)) as engine:
    engine.memory.accept, engine.memory.index = announced(engine.memory.accept), announced(engine.memory.index)
    for start in range(0, len(files), 32):
        group = files[start : start + 32]
        for path, verdict in zip(group, engine.memory.accept([arrival(path) for path in group])):
            say(f"{verdict.state} {path}")
        say("encoding")
        engine.intake.remember_group()
    while engine.intake.remember_group():
        pass
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
    + [Moment("committing", 2, 0.05)] * 4
)
# A commit takes milliseconds here and tens on a slow card: kills at once are added until enough fell inside one.
AT_ONCE = [Moment("committing", 1, 0.0), Moment("committing", 2, 0.0)]
WITHIN_COMMIT = 2
MOST_ADDED = 20


@dataclass(frozen=True)
class Landing:
    """Where one kill fell.

    accepted, indexed: reported by all children so far
    swept:             files that the next start had to delete
    """

    phase: str
    accepted: int
    indexed: int
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


def digests(files: Iterable[Path]) -> set[str]:
    return {digest(file) for file in files}


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


def reported_in(lines: list[str], *states: str) -> set[Path]:
    said = [line.partition(" ") for line in lines if " " in line]
    assert {state for state, _, _ in said} <= {"accepted", "duplicate", "indexed"}
    return {Path(name) for state, _, name in said if state in states}


def phase_after(lines: list[str]) -> str:
    """What the child was at when it said no more."""
    return next((line for line in reversed(lines) if " " not in line), "starting")


def files_in(state: Path) -> set[str]:
    return {path.name for path in (state / "content").rglob("*") if path.is_file()}


def check_after_kill(state: Path, fingerprint: str, accepted: set[str], indexed: set[str]) -> int:
    """Reopen: all that was reported is there, whole and once, and nothing else. How many files were swept."""
    before = files_in(state)
    with Memory(state, fingerprint) as memory:
        tally = memory.tally
    remains = look_into(state)
    remains.check_accepted(accepted)
    assert remains.content.keys() == remains.records.keys()
    assert {digest for digest in indexed if remains.records[digest].is_waiting} == set()
    assert tally.items == len(remains.records)
    assert tally.waiting == sum(record.is_waiting for record in remains.records.values())
    return len(before - remains.content.keys())


def kill_often(state: Path, listed: Path, variants: list[Path], fingerprint: str) -> tuple[list[Landing], set[Path]]:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    accepted: set[Path] = set()
    indexed: set[Path] = set()
    landings: list[Landing] = []
    for moment in [*chance.sample(MOMENTS, len(MOMENTS)), *AT_ONCE * (MOST_ADDED // len(AT_ONCE))]:
        if len(landings) >= len(MOMENTS) and within_commit(landings) >= WITHIN_COMMIT:
            break
        child = start(state, listed, chance.sample(variants, len(variants)))
        lines = lines_before_kill(child, moment, moment.longest_s * chance.random() ** 3)
        accepted |= reported_in(lines, "accepted", "duplicate", "indexed")
        indexed |= reported_in(lines, "indexed")
        swept = check_after_kill(state, fingerprint, digests(accepted), digests(indexed))
        landings.append(Landing(phase_after(lines), len(accepted), len(indexed), swept))
    return landings, accepted


def within_commit(landings: list[Landing]) -> int:
    return sum(landing.phase == "committing" for landing in landings)


def print_landings(config: pytest.Config, landings: list[Landing]) -> None:
    writer = config.get_terminal_writer()
    writer.line()
    for number, landing in enumerate(landings, 1):
        writer.line(
            f"kill {number:2}: while {landing.phase}, {landing.accepted} accepted and {landing.indexed} indexed so far,"
            f" {landing.swept} files swept"
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
    landings, accepted = kill_often(state, listed, variants, bundle.fingerprint)
    with capsys.disabled():
        print_landings(pytestconfig, landings)

    fell = Counter(landing.phase for landing in landings)
    assert fell["starting"] + fell["opening"] >= 2
    assert fell["encoding"] >= 3
    assert fell["committing"] >= WITHIN_COMMIT
    assert fell["done"] == 0
    for counts in ([landing.accepted for landing in landings], [landing.indexed for landing in landings]):
        assert counts == sorted(counts)
        assert 0 < counts[-1] < len(variants)

    with start(state, listed, variants) as last:
        said, _ = last.communicate()
    assert last.returncode == 0
    assert reported_in(said.splitlines(), "duplicate") >= accepted
    everything = digests(variants)
    assert check_after_kill(state, bundle.fingerprint, everything, everything) == 0
    look_into(state).check_indexed(everything)
