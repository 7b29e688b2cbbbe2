"""Fixtures that several folders share: the shipped bundle, and where published data sets lie."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from brokers import mosquitto, secure_broker
from daemons import daemon
from disks import disk
from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE, DEMO_PICTURES
from edge.pairs import read_flickr8k

__all__ = ["daemon", "disk", "mosquitto", "secure_broker"]  # fixtures, defined beside what they start

# A shell in the background ignores SIGINT, nohup SIGHUP; then so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# What `DATA` falls back to: a folder beside the checkout, which a clone alone does not have.
DATA = Path(os.environ.get("DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The bundle that ships."""
    return Bundle.open(DEMO_BUNDLE)


@pytest.fixture(scope="session")
def pictures() -> list[Path]:
    """The pictures that ship, sorted by name."""
    return sorted(DEMO_PICTURES.glob("*.jpg"))


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The Flickr8k folder in its official layout, or a skip that says where it was looked for."""
    folder = DATA / "flickr8k"
    if not folder.is_dir():
        pytest.skip(f"DATA SKIPPED: no Flickr8k at {folder}; set DATA to the folder that holds flickr8k/")
    read_flickr8k(folder, "dev")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests on published data ran: a run without the data must not look like one with it."""
    ran, skipped = (
        len(
            [
                report
                for report in terminalreporter.getreports(outcome)
                if report.when == phase and "data" in report.keywords
            ]
        )
        for outcome, phase in (("passed", "call"), ("skipped", "setup"))
    )
    terminalreporter.write_line(f"data tests: {ran} ran, {skipped} SKIPPED (DATA={DATA})")
