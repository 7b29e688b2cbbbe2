"""What systemd hands over in the environment, and what is no more than a stray variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.service import Systemd

NOTHING = Systemd(state=None, credentials=None, notify_socket=None, watchdog_s=None)


def test_shell_hands_over_nothing() -> None:
    assert Systemd.from_environ({"PATH": "/bin", "HOME": "/root"}) == NOTHING


def test_unit_hands_over_everything() -> None:
    environ = {
        "STATE_DIRECTORY": "/var/lib/reminisce",
        "CREDENTIALS_DIRECTORY": "/run/credentials/reminisce.service",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    assert Systemd.from_environ(environ) == Systemd(
        state=Path("/var/lib/reminisce"),
        credentials=Path("/run/credentials/reminisce.service"),
        notify_socket="/run/systemd/notify",
        watchdog_s=60.0,
    )


def test_first_of_several_state_folders_is_taken() -> None:
    assert Systemd.from_environ({"STATE_DIRECTORY": "/var/lib/one:/var/lib/two"}).state == Path("/var/lib/one")


@pytest.mark.parametrize(("microseconds", "seconds"), [("400000", 0.4), ("1", 1e-6), ("60000000", 60.0)])
def test_watchdog_without_a_process_is_ours(microseconds: str, seconds: float) -> None:
    assert Systemd.from_environ({"WATCHDOG_USEC": microseconds}).watchdog_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    "pid", ["1", "", "0", "-1", "nonsense", pytest.param(f"{os.getpid()} ", id="ours and a space"), "²"]
)
def test_watchdog_of_another_process_is_not_ours(pid: str) -> None:
    assert Systemd.from_environ({"WATCHDOG_USEC": "400000", "WATCHDOG_PID": pid}).watchdog_s is None


@pytest.mark.parametrize(
    "interval", ["", "0", "-5", "1.5", "soon", "0x10", "1e6", " 5", "²", "٣", "9" * 5_000, "9" * 400]
)
def test_interval_that_is_no_number_of_microseconds_is_no_watchdog(interval: str) -> None:
    assert Systemd.from_environ({"WATCHDOG_USEC": interval}).watchdog_s is None


@pytest.mark.parametrize("name", ["STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"])
def test_empty_variable_is_none(name: str) -> None:
    assert Systemd.from_environ({name: ""}) == NOTHING
