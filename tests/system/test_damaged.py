"""Files of the index and of the cache that are not what was written: noticed, made good, and reported to the owner."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from commands import run
from daemons import Daemon, reach
from edge.bundle import Bundle
from edge.config import Config, RememberConfig
from edge.engine import Engine
from edge.items import Question, Verdict
from edge.power import Energy
from edge.report import device_state
from edge.service import Vitals
from large import populate

ITEMS = 8_000  # enough at the first exit for a sealed file


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def hits(daemon: Daemon) -> list[tuple[str, float]]:
    with daemon.requester() as client:
        answer = client.request(daemon.topics.query, {"text": "a dog", "limit": 20, "refine": False}, 60)
    assert answer["searched"] == ITEMS
    return [(hit["item"], hit["score"]) for hit in answer["results"]]


@pytest.mark.parametrize("name", ["codes", "ids", "seal"])
def test_daemon_rebuilds_a_damaged_index_and_says_so(
    name: str, mosquitto: Mosquitto, tmp_path: Path, bundle: Bundle, pictures: list[Path]
) -> None:
    daemon = Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto))
    populate(daemon.state, bundle, pictures, ITEMS)
    (sealed,) = (daemon.state / "index").iterdir()
    with daemon:
        before = hits(daemon)
        assert "damaged" not in run("status", "--config", daemon.config_file).out
    flip(sealed / name)
    with daemon:
        assert hits(daemon) == before
        assert f"the index of {sealed.name[:8]} is rebuilt from the memory: {sealed.name}" in daemon.last_words()
        assert "1 damaged files of index and cache made anew" in run("status", "--config", daemon.config_file).out
    (rebuilt,) = (daemon.state / "index").iterdir()
    assert rebuilt.name != sealed.name
    written = len(daemon.last_words())
    with daemon:
        assert hits(daemon) == before
        assert "rebuilt" not in daemon.last_words()[written:]


def test_question_goes_past_damaged_activations_and_they_are_counted(
    tmp_path: Path,
    pictures: list[Path],
    fill: Callable[[Engine, Sequence[Path]], list[Verdict]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    question = Question(text="a dog", limit=8)

    def state(engine: Engine) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(device_state(engine, Vitals(tmp_path).sample(), Energy()))
        return told

    with Engine(Config(remember=RememberConfig(exit_depth=8)), tmp_path / "state") as engine:
        fill(engine, pictures[:8])
        kept = sorted((tmp_path / "state" / "activations").rglob("*.int4"))
        assert len(kept) == 8
        before = {hit.item.id: hit.score for hit in engine.retriever.ask(question).hits}
        for path in kept[:3]:
            flip(path)
        answer = engine.retriever.ask(question)
        assert answer.refined == 8
        assert {hit.item.id: hit.score for hit in answer.hits} == pytest.approx(before, abs=0.03)
        assert [path.exists() for path in kept] == [False] * 3 + [True] * 5
        assert state(engine)["damaged_files"] == 3
    (told,) = (record.message for record in caplog.records)
    assert told.startswith("the cached activation of item ")
