"""The brokers that tests run against: they come up, come back with their queue, and are gone when they should be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from brokers import Mosquitto, plain_mosquitto, secure_mosquitto
from programs import program

CHILD = """
import sys, time
from pathlib import Path
from brokers import plain_mosquitto
with plain_mosquitto(Path(sys.argv[1])) as broker:
    print(broker.port, flush=True)
    time.sleep(60)
"""


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_broker_accepts_connections_on_its_port_and_its_socket(mosquitto: Mosquitto) -> None:
    for way in (["-h", mosquitto.host, "-p", str(mosquitto.port)], ["--unix", str(mosquitto.socket)]):
        command = [program("mosquitto_pub", "mosquitto-clients"), *way, "-q", "1", "-t", "topic", "-m", "hello"]
        assert subprocess.run(command, check=False, timeout=30).returncode == 0


@pytest.mark.parametrize("make", [plain_mosquitto, secure_mosquitto])
def test_broker_is_gone_after_its_block(tmp_path: Path, make: Callable[[Path], Mosquitto]) -> None:
    with make(tmp_path) as broker:
        assert accepts(broker.port)
    assert not accepts(broker.port)


def test_broker_is_gone_after_an_error_in_its_block(tmp_path: Path) -> None:
    broker = plain_mosquitto(tmp_path)
    with pytest.raises(ZeroDivisionError), broker:
        raise ZeroDivisionError
    assert not accepts(broker.port)


def test_broker_does_not_outlive_tests_that_are_killed(tmp_path: Path) -> None:
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, env=path, stdout=subprocess.PIPE) as tests:
        assert tests.stdout
        port = int(tests.stdout.readline())
        assert accepts(port)
        tests.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while accepts(port):
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.01)


@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill])
def test_restarted_broker_has_its_addresses_and_its_log(mosquitto: Mosquitto, end: Callable[[Mosquitto], None]) -> None:
    end(mosquitto)
    assert not accepts(mosquitto.port)
    mosquitto.restart()
    assert accepts(mosquitto.port)
    assert mosquitto.log.read_text().count(" running\n") == 2


def test_broker_that_runs_is_restarted(mosquitto: Mosquitto) -> None:
    mosquitto.restart()
    assert accepts(mosquitto.port)


def test_stopping_what_does_not_run_is_nothing(tmp_path: Path) -> None:
    broker = plain_mosquitto(tmp_path)
    broker.stop()
    with broker:
        broker.kill()
        broker.stop()


def test_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = plain_mosquitto(tmp_path)
    broker.config += "nonsense 1\n"
    with pytest.raises(RuntimeError, match=r'(?s)mosquitto does not run: .*Unknown configuration variable "nonsense"'):
        broker.start()


def test_broker_whose_port_is_taken_does_not_pass_for_running(tmp_path: Path) -> None:
    broker = plain_mosquitto(tmp_path)
    with socket.socket() as other:
        other.bind((broker.host, broker.port))
        other.listen()
        with pytest.raises(RuntimeError, match="Address already in use"):
            broker.start()


def test_missing_program_is_a_skip_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no nothing on PATH: sudo apt install something"):
        program("nothing", "something")


def test_missing_program_is_a_failure_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no nothing on PATH: sudo apt install something"):
        program("nothing", "something")
