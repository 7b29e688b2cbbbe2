"""What exits cost, measured: in order, in both formats, and not by how busy the machine is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

from converter.probe import Costs, Run, exported, timed
from converter.towers.tower import ItemTower
from tiny_vit import open_vit, write_vit

pytestmark = pytest.mark.convert
EXITS = (1, 2, 4)
BUSY = "print(flush=True)\nwhile True: pass"


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> ItemTower:
    folder = tmp_path_factory.mktemp("vit")
    write_vit(folder)
    return open_vit(folder)


@pytest.fixture(scope="module")
def runs(tower: ItemTower) -> Iterator[tuple[list[Run], list[Run]]]:
    """The segments as they ship, and in float32."""
    with exported(tower, "dynamic-int8", EXITS, 1) as ships, exported(tower, "float32", EXITS, 1) as plain:
        yield ships, plain


def measure(runs: tuple[list[Run], list[Run]]) -> Costs:
    return timed(*runs, lambda _: None)


def test_deeper_exits_cost_more_and_the_last_all(runs: tuple[list[Run], list[Run]]) -> None:
    costs = measure(runs)
    for found in (costs.ms, costs.float32_ms, costs.shares):
        assert len(found) == len(EXITS)
        assert list(found) == sorted(set(found))
    assert costs.ms[0] > 0
    assert costs.shares[-1] == 1
    assert costs.shares[0] == pytest.approx(costs.ms[0] / costs.ms[-1])


def test_busy_cores_change_the_shares_little(runs: tuple[list[Run], list[Run]]) -> None:
    quiet = measure(runs)
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE))
            stack.callback(busy.kill)
            assert busy.stdout
            busy.stdout.readline()
        loaded = measure(runs)
    assert loaded.shares == pytest.approx(quiet.shares, abs=0.1)
