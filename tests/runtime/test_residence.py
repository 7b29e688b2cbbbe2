"""Resident or streamed: what the config says, what fits in the limit, and what is refused in which words."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import Bundle
from edge.config import Config, MemoryConfig
from edge.engine import Engine
from edge.errors import UsageError
from edge.runtime import Footprint, Interpreters, Streamed, choose_residence, choose_runtime, open_weights
from edge.runtime.residence import UNFILLED_BYTES

ROOT = Path(__file__).resolve().parents[2]
NEEDS = Footprint(resident=400_000_000, streamed=150_000_000)
RESIDENT_REFUSED = (
    "memory.weights is resident, which takes some 400 MB of memory, and {}: set memory.weights to auto or streamed"
    " (some 150 MB), or raise the limit"
)


@pytest.fixture
def data_limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the process have a limit of its data; a real one would be the other tests', too."""

    def limit(size: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", {resource.RLIMIT_DATA: (size, size)}.__getitem__)

    limit(resource.RLIM_INFINITY)
    return limit


@pytest.mark.parametrize(
    ("limit_mb", "weights", "chosen"),
    [
        (None, "auto", "resident"),
        (None, "resident", "resident"),
        (None, "streamed", "streamed"),
        (400, "auto", "resident"),
        (399, "auto", "streamed"),
        (150, "auto", "streamed"),
        (400, "resident", "resident"),
        (1000, "streamed", "streamed"),
    ],
)
@pytest.mark.usefixtures("data_limit")
def test_weights_are_what_the_config_says_or_what_fits(limit_mb: int | None, weights: str, chosen: str) -> None:
    config = MemoryConfig(limit_mb=limit_mb, weights=weights)  # type: ignore[arg-type]
    assert choose_residence(config, NEEDS) == chosen


@pytest.mark.usefixtures("data_limit")
def test_resident_weights_that_do_not_fit_are_refused_with_what_to_change() -> None:
    with pytest.raises(UsageError) as caught:
        choose_residence(MemoryConfig(limit_mb=399, weights="resident"), NEEDS)
    assert str(caught.value) == RESIDENT_REFUSED.format("memory.limit_mb is 399")


@pytest.mark.parametrize("weights", ["auto", "streamed"])
@pytest.mark.usefixtures("data_limit")
def test_limit_that_no_way_fits_in_is_refused_with_what_is_needed(weights: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_residence(MemoryConfig(limit_mb=149, weights=weights), NEEDS)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "memory.limit_mb is 149, and the model takes some 150 MB of memory even with streamed weights: raise it, or"
        " choose a smaller bundle"
    )


def test_limit_of_the_process_counts_as_well(data_limit: Callable[[int], None]) -> None:
    data_limit(NEEDS.resident + UNFILLED_BYTES)
    assert choose_residence(MemoryConfig(), NEEDS) == "resident"
    data_limit(NEEDS.resident)  # numpy alone sets more aside than it fills
    assert choose_residence(MemoryConfig(), NEEDS) == "streamed"
    with pytest.raises(UsageError) as caught:
        choose_residence(MemoryConfig(weights="resident"), NEEDS)
    assert str(caught.value) == RESIDENT_REFUSED.format("this process may have 400 MB of data (ulimit -d)")


def test_lower_of_two_limits_is_the_one_that_is_named(data_limit: Callable[[int], None]) -> None:
    data_limit(380_000_000)
    with pytest.raises(UsageError, match="and this process may have 380 MB of data"):
        choose_residence(MemoryConfig(limit_mb=390, weights="resident"), NEEDS)
    with pytest.raises(UsageError, match=r"and memory\.limit_mb is 200:"):
        choose_residence(MemoryConfig(limit_mb=200, weights="resident"), NEEDS)


def test_weights_are_opened_as_chosen(bundle: Bundle) -> None:
    runtime, failures = choose_runtime("auto"), list[BaseException]()
    with open_weights(bundle, runtime, Config(), failures.append) as weights:
        assert isinstance(weights, Interpreters)
    with open_weights(bundle, runtime, Config(memory=MemoryConfig(limit_mb=140)), failures.append) as weights:
        assert isinstance(weights, Streamed)
    assert failures == []


def test_engine_refuses_before_anything_is_made(state: Path) -> None:
    with pytest.raises(UsageError, match=r"memory\.limit_mb is 20, and the model takes some \d+ MB"):
        Engine(Config(memory=MemoryConfig(limit_mb=20)), state)
    with pytest.raises(UsageError, match=r"memory\.weights is resident, which takes some \d+ MB"):
        Engine(Config(memory=MemoryConfig(limit_mb=20, weights="resident")), state)


def test_command_ends_with_2_and_one_line(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"state: {tmp_path}/state\nmemory: {{limit_mb: 50, weights: resident}}\n", encoding="utf-8")
    command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("reminisce: memory.weights is resident, which takes some ")
