"""A batch in several calls: what a question waits for meanwhile, that nothing changes, and where the time goes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from edge.bundle import Bundle, Model
from edge.items import Floats
from edge.runtime import (
    Activation,
    Compute,
    ComputeTime,
    Interpreters,
    Pace,
    TowerRunner,
    Weights,
    choose_runtime,
    item_bytes,
)
from edge.runtime.pace import CALL_MS
from waiting import wait_until

LONGEST_WAIT_MS = 100  # of a question for the call that runs


class FakeWeights:
    """Takes as long as it is told, on a clock of its own; gives each row back, doubled."""

    def __init__(self, item_ms: float) -> None:
        self.item_ms = item_ms
        self.sizes: list[int] = []
        self.invoke_s = self.waiting_s = 0.0
        self.wrong_from = 1_000

    def invoke(self, _: Model, inputs: Mapping[str, Floats]) -> Floats:
        x = inputs["x"]
        self.sizes.append(len(x))
        if len(self.sizes) > self.wrong_from:
            raise RuntimeError("no memory")
        self.invoke_s += len(x) * self.item_ms / 1e3
        return cast("Floats", x * 2 + inputs.get("extra", np.zeros_like(x)))


class Slow(Interpreters):
    """The real files, noting what each call took."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle.folder, choose_runtime("auto"), threads=1)
        self.calls: list[tuple[int, float]] = []

    def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
        began = time.perf_counter()
        result = super().invoke(model, inputs)
        self.calls.append((len(inputs["x"]), (time.perf_counter() - began) * 1e3))
        return result


@contextmanager
def computing(weights: Weights, pace: Pace) -> Iterator[Compute]:
    failures: list[BaseException] = []
    with Compute(weights, pace, lambda: None, 60.0, failures.append) as compute:
        yield compute
    assert failures == []


@pytest.fixture
def head(bundle: Bundle) -> Model:
    """Some file; the fake weights do not read it."""
    return bundle.manifest.tower("image").exits[0].head


def rows(items: int) -> Floats:
    return np.arange(items * 3, dtype=np.float32).reshape(items, 3)


@pytest.mark.parametrize(
    ("item_ms", "sizes"), [(1.0, [1, 31]), (CALL_MS / 10.5, [1, 8, 8, 8, 7]), (2 * CALL_MS, [1] * 32)]
)
def test_first_call_of_one_item_tells_how_many_the_others_take(item_ms: float, sizes: list[int], head: Model) -> None:
    weights = FakeWeights(item_ms)
    with computing(weights, Pace({})) as compute:
        np.testing.assert_array_equal(compute.background(head, {"x": rows(32)}), 2 * rows(32))
        assert weights.sizes == sizes


def test_every_input_is_split_alike(head: Model) -> None:
    with computing(FakeWeights(CALL_MS / 5), Pace({})) as compute:
        found = compute.urgent(head, {"x": rows(12), "extra": rows(12)})
    np.testing.assert_array_equal(found, 3 * rows(12))


def test_one_call_of_a_batch_that_fails_fails_the_batch(head: Model) -> None:
    weights = FakeWeights(CALL_MS / 5)
    weights.wrong_from = 3
    with computing(weights, Pace({})) as compute:
        with pytest.raises(RuntimeError, match="no memory"):
            compute.background(head, {"x": rows(16)})
        weights.wrong_from = 1_000
        assert len(compute.background(head, {"x": rows(16)})) == 16


def test_question_goes_between_two_calls_of_a_batch(head: Model) -> None:
    order: list[int] = []
    held, go_on = threading.Event(), threading.Event()

    class Held(FakeWeights):
        def invoke(self, model: Model, inputs: Mapping[str, Floats]) -> Floats:
            order.append(int(inputs["x"][0, 0]))
            if len(order) == 2:  # in the first of the equal parts
                held.set()
                assert go_on.wait(10)
            return super().invoke(model, inputs)

    with computing(Held(CALL_MS / 4), Pace({})) as compute, ThreadPoolExecutor(2) as callers:
        riding = callers.submit(compute.background, head, {"x": rows(13)})
        assert held.wait(10)
        asking = callers.submit(compute.urgent, head, {"x": np.full((1, 3), 99, np.float32)})
        wait_until(lambda: compute._calls.qsize() == 3)
        go_on.set()
        asking.result(10)
        riding.result(10)
    assert order == [0, 3, 99, 15, 27]


def test_tower_in_parts_gives_what_it_gives_at_once(bundle: Bundle, image: TowerRunner, pictures: list[Path]) -> None:
    start = image.start_images([path.read_bytes() for path in pictures[:7]])
    sizes = {model: size * 3 for model, size in item_bytes(bundle.manifest).items()}
    files = Slow(bundle)
    with computing(files, Pace(sizes)) as compute:
        tower = TowerRunner(bundle.folder, image.spec, compute.background)
        whole = TowerRunner(bundle.folder, image.spec, Interpreters(bundle.folder, choose_runtime("auto"), 1).invoke)
        for place in image.spec.exits:
            for _ in range(2):
                one, other = (runner.embed(runner.advance(start, place.segment), place) for runner in (tower, whole))
                np.testing.assert_allclose(one, other, atol=1e-5)
    assert {size for size, _ in files.calls} >= {1, 7}
    assert len({size for size, _ in files.calls}) > 2


def test_question_waits_for_one_call_at_most_while_a_batch_of_32_rides(
    bundle: Bundle, image: TowerRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    files, waits = Slow(bundle), list[float]()
    start = np.random.default_rng(0).random((32, *image.spec.segments[0].input), np.float32)
    question = {"x": np.zeros((1, *image.spec.segments[-1].output), np.float32)}
    with computing(files, Pace(item_bytes(bundle.manifest))) as compute, ThreadPoolExecutor(1) as rider:
        tower = TowerRunner(bundle.folder, image.spec, compute.background)
        tower.advance(Activation(start[:2], 0, {}), len(image.spec.segments) - 1)  # files are open, and known
        compute.urgent(image.spec.exits[-1].head, question)
        files.calls.clear()
        riding = rider.submit(tower.advance, Activation(start, 0, {}), len(image.spec.segments) - 1)
        while not riding.done():
            began = time.perf_counter()
            compute.urgent(image.spec.exits[-1].head, question)
            waits.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.01)
        riding.result()
    longest = max(took for _, took in files.calls)
    with capsys.disabled():
        sys.stdout.write(f"\n{len(waits)} questions waited {max(waits):.0f} ms at most, a call took {longest:.0f} ms\n")
    assert len(waits) > 5
    assert max(size for size, _ in files.calls) < 32
    # Three in four and the slack: for a machine that others use.
    assert sorted(waits)[3 * len(waits) // 4] < longest + LONGEST_WAIT_MS


def test_time_says_how_much_of_its_work_was_computing(bundle: Bundle, image: TowerRunner) -> None:
    start = np.zeros((8, *image.spec.segments[0].input), np.float32)
    with computing(
        Interpreters(bundle.folder, choose_runtime("auto"), 1), Pace(item_bytes(bundle.manifest))
    ) as compute:
        assert compute.time == ComputeTime(calls=0, busy_s=0.0, invoke_s=0.0, waiting_s=0.0)
        tower = TowerRunner(bundle.folder, image.spec, compute.background)
        began = time.perf_counter()
        tower.advance(Activation(start, 0, {}), 2)
        tower.advance(Activation(start, 0, {}), 2)
        wall_s, first = time.perf_counter() - began, compute.time
        assert 0 < first.invoke_s < first.busy_s < wall_s
        assert first.calls >= 2 * 3 * 2
        time.sleep(0.1)
        assert compute.time == first  # while there is nothing to do it is not busy


def test_call_that_fails_counts_as_work(head: Model) -> None:
    weights = FakeWeights(1.0)
    weights.wrong_from = 0
    with computing(weights, Pace({})) as compute:
        with pytest.raises(RuntimeError, match="no memory"):
            compute.background(head, {"x": rows(1)})
        assert (compute.time.calls, compute.time.invoke_s) == (1, 0.0)
        assert compute.time.busy_s > 0
