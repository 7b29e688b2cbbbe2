"""A model larger than the memory: the daemon remembers and answers within a limit that the kernel holds it to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from daemons import Daemon, reach
from edge.bundle import Bundle
from processes import anonymous_mb, status_of
from programs import program
from publishers import PATIENCE_S, Publisher, distinct
from waiting import wait_until

pytestmark = pytest.mark.slow
LIMIT_BYTES = 250_000_000  # the model's float32 segments of one layer each are as large by themselves
ITEMS = 24


def limited(tall: Bundle, mosquitto: Mosquitto, folder: Path, **memory: Any) -> Daemon:
    depth = tall.manifest.tower("image").layers
    return Daemon(
        folder=folder,
        mqtt=reach(mosquitto),
        config={"bundle": str(tall.folder), "memory": memory, "remember": {"exit_depth": depth, "batch": 8}},
        within=(program("prlimit", "util-linux"), f"--data={LIMIT_BYTES}"),
    )


@contextmanager
def watched(daemon: Daemon) -> Iterator[list[float]]:
    """The most anonymous memory that it held in between, in megabytes, as the one element of a list."""
    peak, done = [0.0], threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous_mb(daemon.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def test_model_that_does_not_fit_is_streamed_and_answers_meanwhile(
    tall: Bundle, mosquitto: Mosquitto, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = distinct(pictures)
    with (
        limited(tall, mosquitto, tmp_path / "daemon") as daemon,
        Publisher(reach(mosquitto), daemon.topics) as publisher,
        watched(daemon) as peak,
    ):
        first = [publisher.send(next(photos)) for _ in range(ITEMS)]
        publisher.await_told(first[:8], "indexed")
        asked = publisher.ask(daemon.topics.query, text="a dog", limit=3)
        wait_until(lambda: bool(publisher.replies(asked)), "an answer", PATIENCE_S)
        publisher.await_told(first, "indexed")
        data_mb = int(status_of(daemon.pid, "VmData")) * 1024 / 1e6
    (answer,) = publisher.replies(asked)
    assert len(answer["results"]) == 3
    with capsys.disabled():
        sys.stdout.write(f"\nat most {peak[0]:.0f} MB anonymous; {data_mb:.0f} MB of data at the end\n")
    assert peak[0] < LIMIT_BYTES / 1e6
    assert "Traceback" not in daemon.last_words()


def test_resident_weights_are_refused_at_the_start_with_the_setting_to_change(
    tall: Bundle, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    daemon = limited(tall, mosquitto, tmp_path / "daemon", weights="resident")
    daemon.launch()
    assert daemon.wait() == 2
    assert "memory.weights is resident, which takes some " in daemon.last_words()
    assert "and this process may have 250 MB of data (ulimit -d): set memory.weights to auto" in daemon.last_words()


def test_daemon_keeps_its_threads_small(daemon: Daemon) -> None:
    maps = Path(f"/proc/{daemon.pid}/maps").read_text(encoding="utf-8").splitlines()
    sizes = [int(end, 16) - int(start, 16) for start, end in (line.split()[0].split("-") for line in maps)]
    threads = int(status_of(daemon.pid, "Threads"))
    assert threads >= 6
    assert sizes.count(8 << 20) == 0  # the system's usual stack
    assert sum(1 << 20 <= size < 2 << 20 for size in sizes) >= threads - 1
