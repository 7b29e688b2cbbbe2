"""The one thread that invokes: whose turn it is, whose error it is, and what its progress says."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import edge.runtime.compute
from edge.bundle import RUNTIMES, Bundle, Model
from edge.errors import RuntimeMissingError
from edge.items import Floats
from edge.runtime import Compute, Interpreters, Pace, TowerRunner, choose_runtime
from waiting import wait_until

LONG_S = 60.0  # a tick that does not come during a test


class Watched(Interpreters):
    """The real files. Notes the first number of each call and its thread; can be held in the middle of a call."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.folder, choose_runtime("auto"), threads=1)
        self.order: list[int] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        self.order.append(int(inputs["x"].flat[0]))
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(10)
        return super().invoke(model, inputs)


class Running:
    """A compute thread, what it said, and callers of their own threads."""

    def __init__(self, bundle: Bundle) -> None:
        tower = bundle.manifest.tower("image")
        self.head, self.shape = tower.exits[0].head, tower.segments[tower.exits[0].segment].output
        self.files = Watched(bundle)
        self.progressed: list[str] = []
        self.failures: list[BaseException] = []
        self.stack = ExitStack()
        self.callers = ThreadPoolExecutor(16)

    def start(self, tick_s: float) -> Compute:
        compute = Compute(self.files, Pace({}), self.progress, tick_s, self.failures.append)
        self.stack.enter_context(compute)
        return compute

    def progress(self) -> None:
        self.progressed.append(threading.current_thread().name)

    def inputs(self, number: int) -> dict[str, Floats]:
        return {"x": np.full((1, *self.shape), number, dtype=np.float32)}

    def call(self, run: Callable[[Model, Mapping[str, Floats]], Floats], number: int) -> Future[Floats]:
        return self.callers.submit(run, self.head, self.inputs(number))

    def hold(self, compute: Compute, number: int) -> Future[Floats]:
        """A call that does not return before `files.go_on` is set."""
        self.files.go_on.clear()
        held = self.call(compute.background, number)
        wait_until(lambda: number in self.files.order)
        return held


@pytest.fixture
def running(bundle: Bundle) -> Iterator[Running]:
    running = Running(bundle)
    with running.callers, running.stack:
        yield running
        running.files.go_on.set()


def test_every_file_runs_in_the_thread_called_compute_with_the_result_of_a_direct_call(
    running: Running, bundle: Bundle
) -> None:
    direct = Interpreters(bundle.folder, choose_runtime("auto"), threads=1)
    compute = running.start(LONG_S)
    for number in range(3):
        expected = direct.invoke(running.head, running.inputs(number))
        for run in (compute.urgent, compute.background):
            np.testing.assert_array_equal(run(running.head, running.inputs(number)), expected)
    assert running.files.threads == {"compute"}


def test_tower_runs_through_it_as_without_it(
    running: Running, bundle: Bundle, image: TowerRunner, pictures: list[Path]
) -> None:
    compute = running.start(LONG_S)
    tower = TowerRunner(bundle.folder, image.spec, compute.background)
    start = image.start_images([pictures[0].read_bytes()])
    place = image.spec.exits[0]
    np.testing.assert_allclose(
        tower.embed(tower.advance(start, place.segment), place),
        image.embed(image.advance(start, place.segment), place),
        atol=1e-4,
    )
    assert running.files.threads == {"compute"}


def test_question_goes_before_remembering_and_equals_in_order_of_arrival(running: Running) -> None:
    compute = running.start(LONG_S)
    running.hold(compute, 1)
    arriving = [compute.background, compute.background, compute.urgent, compute.background, compute.urgent]
    for number, run in enumerate(arriving, 2):
        running.call(run, number)
        wait_until(lambda number=number: compute._calls.qsize() == number - 1)  # type: ignore[misc]
    running.files.go_on.set()
    wait_until(lambda: len(running.files.order) == 6)
    assert running.files.order == [1, 4, 6, 2, 3, 5]


def test_many_callers_each_get_their_own_result(running: Running, bundle: Bundle) -> None:
    direct = Interpreters(bundle.folder, choose_runtime("auto"), threads=1)
    compute = running.start(LONG_S)
    calls = [running.call(compute.urgent if number % 3 else compute.background, number) for number in range(100)]
    for number, call in enumerate(calls):
        np.testing.assert_array_equal(call.result(10), direct.invoke(running.head, running.inputs(number)))


def test_error_of_a_call_is_its_callers_and_the_thread_goes_on(running: Running) -> None:
    compute = running.start(LONG_S)
    wrong = {"x": np.zeros((1, 2, 3), dtype=np.float32)}
    (other,) = (name for name in RUNTIMES if name != choose_runtime("auto"))
    of_another_runtime = dataclasses.replace(running.head.variants[0], runtimes=(other,))
    for run in (compute.urgent, compute.background):
        with pytest.raises(RuntimeError, match="input x has shape"):
            run(running.head, wrong)
        with pytest.raises(RuntimeMissingError, match="is not right on"):
            run(Model(variants=(of_another_runtime,)), wrong)
        assert len(run(running.head, running.inputs(0))) == 1
    assert running.failures == []


def test_progress_follows_each_call_in_the_same_thread(running: Running) -> None:
    compute = running.start(LONG_S)
    for number in range(1, 4):
        compute.background(running.head, running.inputs(number))
        wait_until(lambda number=number: len(running.progressed) == number)  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="input x has shape"):
        compute.urgent(running.head, {"x": np.zeros((1, 2, 3), dtype=np.float32)})
    wait_until(lambda: len(running.progressed) == 4)
    assert set(running.progressed) == {"compute"}


def test_progress_goes_on_while_there_is_nothing_to_do(running: Running) -> None:
    running.start(tick_s=0.01)
    wait_until(lambda: len(running.progressed) >= 5)


def test_free_memory_goes_back_to_the_system_once_nothing_is_to_be_done_and_not_between_calls(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[int] = []  # how many calls had been made by then
    monkeypatch.setattr(edge.runtime.compute, "return_free_blocks", lambda: after.append(len(running.files.order)))
    compute = running.start(tick_s=0.2)
    wait_until(lambda: after == [0])  # what opening the bundle took
    for number in range(20):
        compute.background(running.head, running.inputs(number))
    wait_until(lambda: after == [0, 20])
    passed = len(running.progressed)
    wait_until(lambda: len(running.progressed) >= passed + 2)
    assert after == [0, 20]


def test_call_that_hangs_stops_the_progress_until_it_returns(running: Running) -> None:
    compute = running.start(tick_s=0.01)
    held = running.hold(compute, 1)
    before = len(running.progressed)
    waiting = running.call(compute.urgent, 2)
    time.sleep(0.3)
    assert len(running.progressed) == before
    assert [held.done(), waiting.done()] == [False, False]
    running.files.go_on.set()
    assert len(waiting.result(10)) == 1
    wait_until(lambda: len(running.progressed) >= before + 5)


def test_stopping_runs_what_was_called_before_and_ends_the_thread(running: Running) -> None:
    compute = running.start(LONG_S)
    calls = [running.hold(compute, 1), running.call(compute.background, 2), running.call(compute.urgent, 3)]
    wait_until(lambda: compute._calls.qsize() == 2)
    leaving = running.callers.submit(running.stack.close)
    wait_until(lambda: compute._calls.qsize() == 3)
    assert not leaving.done()
    running.files.go_on.set()
    leaving.result(10)
    assert [len(call.result(10)) for call in calls] == [1, 1, 1]
    assert "compute" not in {thread.name for thread in threading.enumerate()}
    assert running.failures == []


def test_call_after_the_end_is_an_error_and_does_not_wait_for_ever(running: Running) -> None:
    compute = running.start(LONG_S)
    running.stack.close()
    for run in (compute.urgent, compute.background):
        with pytest.raises(RuntimeError, match="the compute thread has ended"):
            running.call(run, 1).result(10)


def test_thread_that_fails_says_so_and_leaves_no_caller_waiting(running: Running) -> None:
    class BrokenError(Exception):
        pass

    def broken() -> None:
        raise BrokenError

    running.progress = broken  # type: ignore[method-assign]
    compute = running.start(LONG_S)
    first = running.hold(compute, 1)
    waiting = [running.call(compute.urgent, 2), running.call(compute.background, 3)]
    wait_until(lambda: compute._calls.qsize() == 2)
    running.files.go_on.set()
    assert len(first.result(10)) == 1
    for call in waiting:
        with pytest.raises(RuntimeError, match="the compute thread has ended"):
            call.result(10)
    assert [type(error) for error in running.failures] == [BrokenError]
