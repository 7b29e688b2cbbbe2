"""Calls of idle time: behind all others, and none that begins when idle time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.runtime import Compute, Interpreters, NotIdleError, Pace, choose_runtime
from waiting import wait_until

Given = Mapping[str, Floats]


class Watched(Interpreters):
    """The real files; notes the first number of each call, and can be held in the middle of one."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.folder, choose_runtime("auto"), threads=1)
        self.order: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def invoke(self, model: Model, inputs: Given) -> Floats:
        self.order.append(int(inputs["x"].flat[0]))
        assert self.go_on.wait(10)
        return super().invoke(model, inputs)


@pytest.fixture
def files(bundle: Bundle) -> Watched:
    return Watched(bundle)


@pytest.fixture
def head(bundle: Bundle) -> Model:
    return bundle.manifest.tower("image").exits[0].head


@pytest.fixture
def compute(files: Watched, head: Model) -> Iterator[Compute]:
    with Compute(files, Pace({head: 4 << 20}), lambda: None, 60.0, lambda _: None) as running:  # one item a call
        yield running
        files.go_on.set()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as callers:
        yield callers


def given(bundle: Bundle, *numbers: int) -> dict[str, Floats]:
    tower = bundle.manifest.tower("image")
    shape = tower.segments[tower.exits[0].segment].output
    return {"x": np.stack([np.full(shape, number, dtype=np.float32) for number in numbers])}


def test_result_is_that_of_any_other_call(bundle: Bundle, compute: Compute, head: Model) -> None:
    inputs = given(bundle, 1, 2, 3)
    found = compute.idle(lambda: True, head, inputs)
    np.testing.assert_array_equal(found, compute.urgent(head, inputs))


def test_questions_and_remembering_go_before_it(
    bundle: Bundle, compute: Compute, files: Watched, head: Model, callers: ThreadPoolExecutor
) -> None:
    files.go_on.clear()
    callers.submit(compute.background, head, given(bundle, 1))
    wait_until(lambda: files.order == [1])
    idle = partial(compute.idle, lambda: True)
    runs: list[Callable[[Model, Given], Floats]]
    runs = [idle, compute.background, compute.urgent, idle, compute.background]
    for number, run in enumerate(runs, 2):
        callers.submit(run, head, given(bundle, number))
        wait_until(lambda number=number: compute._calls.qsize() == number - 1)  # type: ignore[misc]
    files.go_on.set()
    wait_until(lambda: len(files.order) == 6)
    assert files.order == [1, 4, 3, 6, 2, 5]


def test_no_call_begins_when_idle_time_is_over(bundle: Bundle, compute: Compute, files: Watched, head: Model) -> None:
    with pytest.raises(NotIdleError):
        compute.idle(lambda: False, head, given(bundle, 1))
    assert files.order == []
    assert len(compute.urgent(head, given(bundle, 2))) == 1  # the thread goes on


def test_end_of_idle_time_lets_the_call_at_hand_end_and_no_other_part_begin(
    bundle: Bundle, compute: Compute, files: Watched, head: Model, callers: ThreadPoolExecutor
) -> None:
    compute.idle(lambda: True, head, given(bundle, 0))  # how many go into a call is known from here on
    is_idle = threading.Event()
    is_idle.set()
    files.go_on.clear()
    result = callers.submit(compute.idle, is_idle.is_set, head, given(bundle, 1, 2, 3, 4))
    wait_until(lambda: files.order == [0, 1] and compute._calls.qsize() == 3)
    is_idle.clear()
    question = callers.submit(compute.urgent, head, given(bundle, 9))
    wait_until(lambda: compute._calls.qsize() == 4)
    files.go_on.set()
    assert len(question.result(10)) == 1
    with pytest.raises(NotIdleError):
        result.result(10)
    assert files.order == [0, 1, 9]
