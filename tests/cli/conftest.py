"""A device for the commands to talk to: a daemon on a broker, both processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import plain_mosquitto
from commands import run
from daemons import Daemon, reach

HELD = 12


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory, pictures: list[Path]) -> Iterator[Daemon]:
    """One that holds a dozen pictures, for tests that change nothing of it."""
    with (
        plain_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker,
        Daemon(folder=tmp_path_factory.mktemp("daemon"), mqtt=reach(broker)) as daemon,
    ):
        done = run("add", "--config", daemon.config_file, *pictures[:HELD])
        assert (done.code, done.out) == (0, f"{HELD} accepted\n")
        yield daemon


@pytest.fixture(scope="session")
def held(pictures: list[Path]) -> list[Path]:
    """What the device holds."""
    return pictures[:HELD]
