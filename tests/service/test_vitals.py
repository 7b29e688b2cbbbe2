"""What the process takes of its board: plausible, and measured rather than made up."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.service import Vitals

MB = 1_000_000
Sensor = namedtuple("Sensor", "label current high critical")  # noqa: PYI024 - as psutil's own


@pytest.fixture
def vitals(tmp_path: Path) -> Vitals:
    return Vitals(tmp_path)


def anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / MB


def test_memory_is_what_the_kernel_says_and_its_anonymous_part_is_no_more(vitals: Vitals) -> None:
    sample = vitals.sample()
    assert 0 < sample.anonymous_mb <= sample.rss_mb
    assert sample.rss_mb == pytest.approx(psutil.Process().memory_info().rss / MB, rel=0.1)
    assert sample.anonymous_mb == pytest.approx(anonymous_mb(), rel=0.1)


def test_memory_of_ours_counts_as_anonymous_and_a_mapped_file_does_not(vitals: Vitals, tmp_path: Path) -> None:
    before = vitals.sample()
    # A bytearray may get what an earlier test gave back and the process kept.
    ours = mmap.mmap(-1, 64 * MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(64):
        ours.write(os.urandom(MB))
    with_ours = vitals.sample()
    assert with_ours.anonymous_mb - before.anonymous_mb == pytest.approx(len(ours) / MB, rel=0.3)
    file = tmp_path / "mapped"
    file.write_bytes(ours[:])
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(0, len(mapped), 4096)) >= 0
        with_both = vitals.sample()
    assert with_both.rss_mb - with_ours.rss_mb == pytest.approx(len(ours) / MB, rel=0.3)
    assert with_both.anonymous_mb - with_ours.anonymous_mb < 10


def test_processor_is_counted_from_look_to_look(vitals: Vitals) -> None:
    vitals.sample()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    busy = vitals.sample().cpu_percent
    time.sleep(0.3)
    assert 10 < busy < 450
    assert vitals.sample().cpu_percent < busy


def test_free_disk_is_that_of_the_state_folder(vitals: Vitals, tmp_path: Path) -> None:
    assert vitals.sample().disk_free_mb == pytest.approx(shutil.disk_usage(tmp_path).free / MB, rel=0.05)


def test_hottest_sensor_is_told(vitals: Vitals, monkeypatch: pytest.MonkeyPatch) -> None:
    sensors: dict[str, list[Any]] = {
        "cpu_thermal": [Sensor("", 48.3, None, None)],
        "nvme": [Sensor("a", 51.5, 80, 90), Sensor("b", None, None, None)],
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: sensors)
    assert vitals.sample().temperature_c == 51.5


def test_board_without_sensors_has_no_temperature(vitals: Vitals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_temperatures", dict)
    assert vitals.sample().temperature_c is None
    monkeypatch.delattr(psutil, "sensors_temperatures")  # as on systems where psutil knows none
    assert vitals.sample().temperature_c is None
