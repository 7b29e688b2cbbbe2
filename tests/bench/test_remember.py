"""`reminisce bench remember`: real processes, the demo bundle, and what happens when one of them dies."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from edge.bench.remember.crew import Crew, WorkerError
from edge.bench.remember.recalls import Judge
from edge.bench.remember.rows import FULL, ROWS
from edge.bench.remember.worker import Block, Histogram, Job, Result
from edge.bundle import Bundle
from edge.cli.main import main
from edge.config import Config, MemoryConfig, RuntimeConfig
from edge.power import Ledger
from edge.runtime import Interpreters, TowerRunner, choose_runtime

SIDE = 224


@pytest.fixture
def block(tmp_path: Path) -> Block:
    items = np.random.default_rng(0).standard_normal((3, SIDE, SIDE, 3), dtype=np.float32)
    path = tmp_path / "block.f32"
    path.write_bytes(items.tobytes())
    return Block(path, items.shape)


def jobs(bundle: Bundle, *names: str) -> list[Job]:
    last = len(bundle.manifest.tower("image").exits) - 1
    shares = (*tuple(1.0 for _ in range(last)), 0.0)
    return [
        Job(
            row=row,
            plan=last if row.way == "full" else Histogram(shares),
            config=Config(runtime=RuntimeConfig(threads=1), memory=MemoryConfig(weights=row.weights)),
            bundle=bundle.folder,
        )
        for row in ROWS
        if row.name in names
    ]


def test_every_row_takes_the_same_items_up_and_counts_what_it_took(bundle: Bundle, block: Block) -> None:
    names = [FULL, "full-streamed-alone", "reminisce"]
    with Crew(jobs(bundle, *names), ledger := Ledger(tuple(names))) as crew:
        crew.warm(Block(block.path, block.shape, is_kept=False))
        crew.run(block, 0)
        crew.run(block, 1)
        found = crew.results()
    layers = bundle.manifest.tower("image").layers
    for name in names:
        took, result = found[name]
        assert len(took) == 2
        assert all(0 < one.invoke_s <= one.busy_s <= one.wall_s for one in took)
        assert len(result.depths) == 6
        assert 10e6 < result.anonymous_bytes < result.resident_bytes
        assert np.linalg.norm(result.embeddings, axis=1) == pytest.approx(np.ones(6), abs=1e-3)
    full, streamed, ours = (found[name][1] for name in names)
    assert set(full.depths) == {layers}
    assert np.allclose(full.embeddings, streamed.embeddings, atol=1e-5)
    assert max(ours.depths) < layers
    assert ledger.spent("none").keys() >= set(names)


def test_a_process_that_is_killed_ends_the_benchmark_with_its_name(bundle: Bundle, block: Block) -> None:
    with Crew(jobs(bundle, FULL), Ledger((FULL,))) as crew:
        crew.run(block, 0)
        (member,) = crew._members.values()
        assert member.process.pid
        os.kill(member.process.pid, signal.SIGKILL)
        member.process.join()
        with pytest.raises(WorkerError, match=f"row {FULL} ended before its work"):
            crew.run(block, 1)


def test_recall_needs_the_pool_and_the_fine_embedding(bundle: Bundle) -> None:
    runtime = choose_runtime("auto")
    text = TowerRunner(bundle.folder, bundle.manifest.tower("text"), Interpreters(bundle.folder, runtime, 1).invoke)
    items = bundle.manifest.tower("image")
    captions = [["a dog"], ["a red car"], ["the sea at night"]]
    judge = Judge(text, items, captions)
    last = items.exits[-1].depth
    own = judge._queries[last]

    def stored(rows: list[int]) -> Result:
        return Result(
            depths=np.full(3, last), embeddings=own[rows], offsets=np.zeros(3, dtype=np.float32),
            anonymous_bytes=0, resident_bytes=0,
        )  # fmt: skip

    assert judge.recall(stored([0, 1, 2]), stored([0, 1, 2])).at_1 == 1
    assert judge.recall(stored([1, 2, 0]), stored([0, 1, 2])).at_1 == 1  # the pool holds all three
    assert judge.recall(stored([0, 1, 2]), stored([1, 2, 0])).at_1 == 0


@pytest.mark.slow
def test_overhead_alone_is_measured_without_photos(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exits = len(bundle.manifest.tower("image").exits)
    words = ["bench", "remember", "--bundle", str(bundle.folder), "--limit", "4", "--batch", "4"]
    written = ["--picture", str(tmp_path / "it.svg"), "--save", str(tmp_path / "it.json")]
    assert main([*words, "--exits", ",".join(["1"] * exits), *written]) == 0
    assert "| full depth, batched |" in capsys.readouterr().out
    read = json.loads((tmp_path / "it.json").read_text())
    assert read["overhead_only"] is True
    assert read["items"] == 4
    assert {row["name"] for row in read["rows"]} == {row.name for row in ROWS if row.way != "confidence"}
    assert all(row["recall"] is None and row["items_per_s"] > 0 for row in read["rows"])
    assert (tmp_path / "it.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exits", "1"], r"--exits has 1 shares, the bundle 4 exits \(depth 8, 11, 15, 16\)"),
        (["--data", "nowhere"], "nowhere/Flickr8k.token.txt cannot be read"),
        (["--data", ".", "--save", "nowhere/it.json"], "nowhere/it.json cannot be written: name a file in an existing"),
        (["--data", ".", "--picture", "."], r"\. cannot be written: name a file in an existing folder"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    bundle: Bundle, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "remember", "--bundle", str(bundle.folder), *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(said, err)
