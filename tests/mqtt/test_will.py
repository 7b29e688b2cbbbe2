"""What others are told of a device that is lost: `offline`, by the broker, and not while it only starts anew."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brokers import Mosquitto
from edge.mqtt import Topics
from edge.mqtt.link import _WILL_DELAY_S
from onlooker import Onlooker
from waiting import wait_until

ROOT = Path(__file__).parents[2]
STATUS = Topics("dev1").status
# The desk of a device in a process of its own, with a will that waits for so many seconds.
CHILD = """
import signal, sys, threading
from edge.config import MqttConfig
from edge.mqtt import Desk, Topics, link
port, protocol, link._WILL_DELAY_S = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
config = MqttConfig(host="127.0.0.1", port=port, protocol=5 if protocol == "5" else protocol)
desk = Desk(config, Topics("dev1"), None, 5)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
desk.start(b"{}", lambda *_: False, lambda *_: False)
desk.announce()
stop.wait()
desk.stop()
"""
both = pytest.mark.parametrize("protocol", [5, "3.1.1"])


@contextmanager
def device(broker: Mosquitto, protocol: Any, delay_s: int = _WILL_DELAY_S) -> Iterator[subprocess.Popen[bytes]]:
    """A device that was told to connect."""
    command = [sys.executable, "-c", CHILD, str(broker.port), str(protocol), str(delay_s)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def told(onlooker: Onlooker) -> list[bytes]:
    return [one.payload for one in onlooker.on(STATUS)]


def wait_told(onlooker: Onlooker, *payloads: bytes) -> None:
    wait_until(lambda: told(onlooker) == [*payloads], lambda: f"{payloads}, but {told(onlooker)}", 40)


def test_killed_device_is_offline_at_once_with_mqtt_3(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, device(mosquitto, "3.1.1") as process:
        wait_told(onlooker, b"online")
        process.kill()
        start = time.monotonic()
        wait_told(onlooker, b"online", b"offline")
        assert time.monotonic() - start < 5


def test_killed_device_is_offline_after_the_delay_with_mqtt_5(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, device(mosquitto, 5, delay_s=2) as process:
        wait_told(onlooker, b"online")
        process.kill()
        start = time.monotonic()
        wait_told(onlooker, b"online", b"offline")
        assert 1 < time.monotonic() - start < 10


@both
def test_will_is_retained_for_those_who_come_later(mosquitto: Mosquitto, protocol: Any) -> None:
    with Onlooker(mosquitto.port) as onlooker, device(mosquitto, protocol, delay_s=1) as process:
        wait_told(onlooker, b"online")
        process.kill()
        wait_told(onlooker, b"online", b"offline")
    with Onlooker(mosquitto.port) as later:
        (status,) = later.wait_on(STATUS)
    assert (status.payload, status.is_retained) == (b"offline", True)


def test_device_that_is_back_within_the_delay_was_never_offline(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker:
        with device(mosquitto, 5, delay_s=5) as process:
            wait_told(onlooker, b"online")
            process.kill()
        with device(mosquitto, 5, delay_s=5):
            wait_told(onlooker, b"online", b"online")
            time.sleep(7)
            assert told(onlooker) == [b"online", b"online"]


@both
def test_device_that_stops_says_offline_itself_and_once(mosquitto: Mosquitto, protocol: Any) -> None:
    with Onlooker(mosquitto.port) as onlooker:
        with device(mosquitto, protocol, delay_s=1) as process:
            wait_told(onlooker, b"online")
            process.terminate()
            assert process.wait(20) == 0
            wait_told(onlooker, b"online", b"offline")
        time.sleep(2)
        assert told(onlooker) == [b"online", b"offline"]
