"""Questions of `bench recall`: the same answers through a real broker and directly, of ours and of the baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge.bench.recall.anytime import Curve
from edge.bench.recall.asking import Ask, Asking, Directly, ThroughBroker, Told, open_asking, open_broker
from edge.bench.recall.baselines import RETRIEVERS, Way
from edge.bench.recall.device import HITS, POOL, Device, Job, Towers, open_device, open_towers
from edge.bench.recall.filling import fill
from edge.bench.recall.judging import Judge, Stored
from edge.bench.remember.recalls import embed_captions
from edge.bundle import Bundle
from edge.config import Config, MqttConfig, RememberConfig, RuntimeConfig
from edge.errors import BrokerError, RefusedError
from edge.pairs import Pair

CONFIG = Config(runtime=RuntimeConfig(threads=1), remember=RememberConfig(batch=8))
PHOTOS = 14
TEXTS = ("a dog", "mountains in the morning", "something sweet to eat")


@pytest.fixture(scope="module")
def towers(granular: Bundle) -> Iterator[Towers]:
    with open_towers(granular, CONFIG) as towers:
        yield towers


@pytest.fixture(scope="module")
def filled(
    granular: Bundle, towers: Towers, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Device, Stored]]:
    """A memory whose photos were dealt over three exits, and what it keeps of them."""
    folder = tmp_path_factory.mktemp("mixed")
    job = Job(
        kept="mixed", folder=folder, bundle=granular.folder, config=CONFIG, shares=(0.4, 0.3, 0.3, 0.0), photos=PHOTOS
    )
    with open_device(job, towers) as device:
        stored, _ = fill(device, towers.text, [Pair(path, (path.stem,)) for path in pictures[:PHOTOS]])
        yield device, stored


@pytest.fixture(scope="module")
def mqtt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttConfig]:
    """A broker that runs."""
    with open_broker(tmp_path_factory.mktemp("broker")) as (mqtt, said):
        assert mqtt
        assert said.startswith("every question goes over MQTT: through mosquitto")
        yield mqtt


@pytest.fixture
def through(mqtt: MqttConfig, towers: Towers, filled: tuple[Device, Stored]) -> Iterator[Asking]:  # noqa: ARG001 - open longer
    with open_asking(mqtt, towers.failures.append) as asking:
        yield asking


@pytest.mark.parametrize("way", RETRIEVERS)
@pytest.mark.parametrize("pool", [0, POOL])
def test_an_answer_through_the_broker_is_the_engine_s(
    way: Way, pool: int, through: Asking, filled: tuple[Device, Stored]
) -> None:
    device, _ = filled
    assert isinstance(through, ThroughBroker)
    for text in TEXTS:
        told = through.ask(device, Ask(text, pool, way))
        own = Directly().ask(device, Ask(text, pool, way))
        assert (told.items, told.refined) == (own.items, own.refined)
        assert len(told.items) == HITS
        assert told.refined == (PHOTOS if pool else 0)
        assert 0 < told.device_ms < told.total_ms


@pytest.mark.parametrize("way", RETRIEVERS)
def test_coarse_hits_of_every_search_are_those_that_its_recall_is_counted_from(
    way: Way, through: Asking, filled: tuple[Device, Stored], towers: Towers
) -> None:
    device, stored = filled
    judge = Judge(device.spec, embed_captions(towers.text, device.spec, TEXTS), np.arange(len(TEXTS)))
    pools = judge.pools(stored, way)
    for number, text in enumerate(TEXTS):
        told = through.ask(device, Ask(text, 0, way, collapse=False))
        assert [item - 1 for item in told.items] == judge.best_photos(stored, pools, 0, number, HITS)


def test_the_searches_differ_on_mixed_exits(filled: tuple[Device, Stored]) -> None:
    device, stored = filled
    assert len(np.unique(stored.depths)) == 3
    found = {way: [Directly().ask(device, Ask(text, 0, way)).items for text in TEXTS] for way in RETRIEVERS}
    assert found["naive"] != found["calibrated"] != found["single"] != found["naive"]


def test_a_deadline_counts_on_either_way(through: Asking, filled: tuple[Device, Stored]) -> None:
    device, _ = filled

    def refined(asking: Asking) -> int:
        asking.ask(device, Ask("warm", POOL))  # nobody knows before how long a batch takes
        try:
            return asking.ask(device, Ask(f"now, {type(asking).__name__}", POOL, deadline_ms=1)).refined
        except RefusedError as error:  # a busy machine: it passed on the way
            return 0 if error.code == "expired" else PHOTOS

    assert refined(through) < PHOTOS
    assert refined(Directly()) < PHOTOS


@dataclass
class Late:
    """Refuses every second question that has a deadline."""

    code: str
    asked: int = 0

    def ask(self, device: Device, what: Ask) -> Told:
        self.asked += what.deadline_ms is not None
        if self.asked % 2 and what.deadline_ms is not None:
            raise RefusedError(self.code, "it is too late")
        return Directly().ask(device, what)


def test_questions_that_came_too_late_for_any_answer_are_left_out_of_the_curve(
    filled: tuple[Device, Stored], towers: Towers
) -> None:
    device, stored = filled
    judge = Judge(device.spec, embed_captions(towers.text, device.spec, TEXTS), np.arange(len(TEXTS)))
    late = Late("expired")
    points = Curve(late, device, judge, stored, TEXTS).points([0, 1, 2] * 8)
    assert late.asked == 18
    assert 1 <= len(points) <= 9
    assert all(one.p50_ms > 0 for one in points)
    with pytest.raises(RefusedError, match="it is too late"):
        Curve(Late("internal"), device, judge, stored, TEXTS).points([0, 1, 2] * 8)


def test_a_second_round_of_questions_finds_the_broker_as_the_first_did(
    mqtt: MqttConfig, towers: Towers, filled: tuple[Device, Stored]
) -> None:
    device, _ = filled
    for _ in range(2):
        with open_asking(mqtt, towers.failures.append) as asking:
            assert asking.ask(device, Ask("a dog", 0)).items
    assert not towers.failures


def test_without_a_broker_questions_are_put_directly_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, towers: Towers
) -> None:
    def nothing(_folder: Path) -> None:
        raise BrokerError("there is no MQTT broker: run `sudo apt install mosquitto`")

    monkeypatch.setattr("edge.bench.recall.asking.tour_broker", nothing)
    with open_broker(tmp_path) as (mqtt, said), open_asking(mqtt, towers.failures.append) as asking:
        assert isinstance(asking, Directly)
        assert said == "MQTT is left out: there is no MQTT broker: run `sudo apt install mosquitto`"
