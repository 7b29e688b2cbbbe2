"""What a reload of the real daemon keeps, and what it leaves behind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Mosquitto
from daemons import Daemon, ServiceManager, reach
from onlooker import Onlooker
from waiting import wait_until


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify.sock") as manager:
        yield manager


@pytest.fixture
def service(mosquitto: Mosquitto, tmp_path: Path, manager: ServiceManager) -> Iterator[Daemon]:
    """A running daemon with a manager."""
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), manager=manager) as service:
        manager.await_word("READY=1")
        yield service


def reload(daemon: Daemon, manager: ServiceManager) -> None:
    """Return when it is ready again."""
    daemon.signal(signal.SIGHUP)
    manager.await_word("RELOADING=1")
    manager.await_word("READY=1")


def test_pause_outlasts_a_reload(service: Daemon, manager: ServiceManager) -> None:
    states: list[bytes] = []
    with service.requester() as client:
        assert client.request(service.topics.control, {"op": "pause"}, 20)["paused"] is True
        reload(service, manager)
        assert client.request(service.topics.control, {"op": "ping"}, 20)["paused"] is True
    with service.requester((service.topics.state,), lambda _topic, payload: states.append(payload)) as client:
        wait_until(lambda: states and json.loads(states[-1])["paused"] is True, "a state that says paused")
        assert client.request(service.topics.control, {"op": "resume"}, 20)["paused"] is False
        reload(service, manager)
        assert client.request(service.topics.control, {"op": "ping"}, 20)["paused"] is False


def test_device_that_is_renamed_by_a_reload_leaves_its_old_name_offline(
    service: Daemon, manager: ServiceManager
) -> None:
    before = service.topics.status
    service.device = "dev2"
    service.config_file.write_text(json.dumps(service._fields()), encoding="utf-8")
    reload(service, manager)
    with Onlooker(service.mqtt.port, topics="reminisce/+/status") as onlooker:
        found = onlooker.wait_on(before)[0], onlooker.wait_on(service.topics.status)[0]
    assert [(one.payload, one.is_retained) for one in found] == [(b"offline", True), (b"online", True)]
