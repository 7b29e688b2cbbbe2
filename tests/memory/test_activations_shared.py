"""The cache in use: one thread puts while another gets, a kill comes while it writes, 100,000 items are opened."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge.items import Floats
from edge.memory.cache.activations import Activations
from edge.memory.cache.catalogue import FOLDERS, Kept
from edge.memory.cache.worth import Seen, Worth

ROOT = Path(__file__).parents[2]
HASHES = tuple(bytes([number]) * 16 for number in range(1, 5))
ITEMS = 20
FILE = 2_344

WRITE = """
import sys
from pathlib import Path
import numpy as np
from edge.memory.cache.activations import Activations
from edge.memory.cache.worth import Worth

cache = Activations(Path(sys.argv[1]), 40 * 2344)
for turn in range(10**9):
    item = turn % 60
    tensor = np.full((20, 192), item, dtype=np.float32)
    cache.put(item, turn % 3, bytes([turn % 3 + 1]) * 16, tensor, 4, Worth(recompute_ms=40, seen_at=1.7e9 + turn))
    if turn == 100:
        print("writing", flush=True)
"""


def of(item: int) -> Floats:
    """An activation that says whose it is."""
    return np.full((20, 192), item, dtype=np.float32)


def test_what_one_thread_gets_while_another_puts_and_removes_is_right_or_a_miss(tmp_path: Path) -> None:
    cache = Activations(tmp_path, 15 * FILE)
    stop = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        turn = 0
        while not stop.is_set():
            item = turn % ITEMS
            turn += 1
            found = cache.get(item, HASHES)
            if found and not np.array_equal(found[1], of(item)):
                wrong.append((item, found))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(1500):
        item = turn * 7 % ITEMS
        cache.put(item, turn % 3, HASHES[turn % 3], of(item), 4, Worth(recompute_ms=40, seen_at=1e9 + turn))
        if turn % 11 == 0:
            cache.remove([(item + 1) % ITEMS])
        if turn % 13 == 0:
            cache.revalue([Seen(item, 2, 1e9 + turn)])
    stop.set()
    reader.join()
    assert wrong == []
    assert cache.hits > 100
    on_disk = [path.stat().st_size for path in tmp_path.rglob("*.int4")]
    assert (cache.count, cache.size_bytes) == (len(on_disk), sum(on_disk))
    assert list(tmp_path.rglob("*.tmp")) == []


@pytest.mark.parametrize("after_s", [0.0, 0.013, 0.05])
def test_killed_while_it_writes_the_cache_opens_with_whole_files_alone(tmp_path: Path, after_s: float) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(after_s)
        writer.kill()
    cache = Activations(tmp_path, 40 * FILE)
    on_disk = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert (cache.count, cache.size_bytes) == (len(on_disk), sum(on_disk))
    found = {item: cache.get(item, HASHES) for item in range(60)}
    right = [item for item, one in found.items() if one and np.array_equal(one[1], of(item))]
    assert right == [item for item, one in found.items() if one]
    assert len(right) >= 38  # of 40 that there is room for; a hundredth went at once, and one was being written


@pytest.mark.slow
def test_hundred_thousand_items_are_opened_in_little_more_than_reading_their_names_and_found(tmp_path: Path) -> None:
    for number in range(FOLDERS):
        (tmp_path / f"{number:02x}").mkdir()
    for item in range(100_000):
        kept = Kept.of(item, 1, HASHES[1], 22_500, Worth(recompute_ms=40 + item % 9, seen_at=1.7e9 + 60 * item))
        (tmp_path / kept.folder / kept.name).touch()
    taken_s, reading_s = [], []
    for _ in range(3):
        began = time.process_time()
        for place in tmp_path.iterdir():
            assert all(Kept.named(place.name, name) for name in os.listdir(place))  # noqa: PTH208 - as the cache does
        reading_s.append(time.process_time() - began)
        began = time.process_time()
        cache = Activations(tmp_path, 10**10)
        taken_s.append(time.process_time() - began)
    assert (cache.count, cache.size_bytes) == (100_000, 2_250_000_000)
    assert min(taken_s) < 2 * min(reading_s)  # to ask for the size of each file, too, takes three times as long
    assert cache.put(100_000, 1, HASHES[1], of(1), 4, Worth(recompute_ms=40, seen_at=1.8e9))
    assert cache.get(100_000, HASHES)
    assert cache.get(50_000, HASHES) is None  # an empty file
