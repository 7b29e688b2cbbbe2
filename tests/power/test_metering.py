"""What the daemon counts, and the figures that come of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config import PowerConfig
from edge.errors import RefusedError
from edge.items import Answer, Item, Outcome, Question
from edge.power import AHEAD, RECALL, REMEMBER, Energy, Metering
from sensors import Counted, Ina219
from waiting import wait_until

ITEM = Item(id=1, digest=b"d", modality="image", source="", bytes=1, added_at=0.0, taken_at=None)
ANSWER = Answer(question="q", hits=(), searched=0, refined=0, cut=False, query_ms=1, filter_ms=1, correct_ms=1)


@pytest.fixture
def chip(root: Path) -> Ina219:
    Counted(root)
    chip = Ina219(root)
    chip.play(5.0, 1.0)
    return chip


@pytest.fixture
def metering(root: Path, chip: Ina219) -> Iterator[Metering]:
    assert chip.root == root
    with Metering(PowerConfig(interval_ms=20, idle_w=3.0), root=root) as metering:
        wait_until(lambda: metering.energy().power_w is not None, "the first interval")  # what comes before it is lost
        yield metering


def test_items_that_can_be_found_are_counted_and_told(metering: Metering) -> None:
    told: list[Outcome] = []
    tell = metering.outcomes(told.append)
    sent = [Outcome(item=ITEM, state="indexed", depth=3), Outcome(item=ITEM, state="rejected", reason="damaged")]
    for outcome in sent:
        tell(outcome)
    assert told == sent
    wait_until(lambda: metering.energy().items_metered == 1, "the count")


def test_answers_are_counted_and_told_and_refusals_only_told(metering: Metering) -> None:
    told: list[Answer | RefusedError] = []
    better = dataclasses.replace(ANSWER, sequence=0, is_final=False)  # one of a stream: the question is not over
    replies = iter((better, ANSWER, RefusedError("expired", "late")))
    ask = metering.questions(lambda _question, reply: reply(next(replies)) or True)  # type: ignore[func-returns-value]
    question = Question(text="q", limit=1)
    for _ in range(3):
        assert ask(question, told.append)
    assert [type(one) for one in told] == [Answer, Answer, RefusedError]
    wait_until(lambda: metering.energy().queries_metered == 1, "the count")


def test_question_for_which_there_is_no_room_is_said_to_be_refused(metering: Metering) -> None:
    ask = metering.questions(lambda _question, _reply: False)
    assert not ask(Question(text="q", limit=1), lambda _: None)


def test_figures_are_means_over_what_was_done(metering: Metering) -> None:
    began = time.monotonic()
    with metering.ledger.during(REMEMBER):
        time.sleep(0.4)
    between = time.monotonic()
    with metering.ledger.during(RECALL):
        time.sleep(0.2)
    ended = time.monotonic()
    seconds = ended - began
    metering.ledger.count(REMEMBER, 4)
    metering.ledger.count(RECALL)
    wait_until(lambda: metering.energy().queries_metered, "the counts")
    energy = metering.energy()
    assert (energy.energy_kind, energy.power_w, energy.idle_w) == ("measured_board", 5.0, 3.0)
    assert energy.power_source == "ina219 at hwmon2, shunt 0.1 Ω"
    assert (energy.items_metered, energy.queries_metered) == (4, 1)
    assert energy.j_per_item == pytest.approx(2.0 * (between - began) / 4, rel=0.25)
    assert energy.j_per_query == pytest.approx(2.0 * (ended - between), rel=0.35)
    assert energy.j_per_item_gross == pytest.approx(2.5 * (energy.j_per_item or 0), rel=0.15)
    assert 4 * (energy.j_per_item or 0) + (energy.j_per_query or 0) <= 2.0 * seconds + 0.2


def test_energy_of_idle_time_is_its_own_and_not_that_of_items_or_questions(metering: Metering) -> None:
    metering.ledger.count(REMEMBER)
    metering.ledger.count(RECALL)
    with metering.ledger.during(AHEAD):
        time.sleep(0.3)
    metering.refined(2)
    wait_until(lambda: metering.energy().ahead_metered == 2, "the count")
    energy = metering.energy()
    assert (energy.j_per_item, energy.j_per_query) == (0.0, 0.0)
    assert energy.j_per_ahead == pytest.approx(2.0 * 0.3 / 2, rel=0.35)
    assert (energy.j_per_ahead_gross or 0) > (energy.j_per_ahead or 0)


def test_figures_of_another_kind_start_anew(chip: Ina219, metering: Metering) -> None:
    metering.ledger.count(REMEMBER, 7)
    wait_until(lambda: metering.energy().items_metered == 7, "the count")
    chip.vanish()
    wait_until(lambda: metering.energy().energy_kind == "estimated", "the other kind")
    assert metering.energy().items_metered == 0
    assert metering.energy().j_per_item is None


def test_without_a_meter_there_is_nothing_but_the_kind(root: Path) -> None:
    with Metering(PowerConfig(meter="none"), root=root) as metering:
        assert metering.energy() == Energy()
    told = {name: value for name, value in dataclasses.asdict(Energy()).items() if value is not None}
    assert told == {"energy_kind": "none"}
