"""`reminisce run` as a user starts it: how it says that it is ready, how it ends, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brokers import Mosquitto, free_port
from commands import SECONDS, finish, run, start, write_config
from daemons import Daemon, reach
from edge.config import MqttConfig
from waiting import wait_until


def ready(running: subprocess.Popen[bytes]) -> str:
    """Its log up to the line that says so."""
    assert running.stderr
    said = ""
    while "INFO ready as " not in said:
        line = running.stderr.readline().decode()
        assert line, said
        said += line
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_daemon_says_that_it_is_ready_and_ends_with_0(
    number: signal.Signals, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    file = write_config(tmp_path, reach(mosquitto), state=str(tmp_path / "state"))
    running = start("run", "--config", file)
    assert "INFO ready as dev1: model demo-" in ready(running)
    running.send_signal(number)
    done = finish(running)
    assert (done.code, done.out) == (0, "")


def test_daemon_without_its_broker_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    port = free_port()
    file = write_config(tmp_path, MqttConfig(port=port), state=str(tmp_path / "state"))
    running = start("run", "--config", file)
    said = ready(running)
    running.send_signal(signal.SIGTERM)
    done = finish(running)
    assert done.code == 0
    assert "WARNING reminisce-dev1: no connection to the broker: [Errno 111] Connection refused\n" in said + done.err


@pytest.mark.parametrize("after_s", [0.15, 0.25, 0.35, 0.45, 0.6])
def test_signal_while_it_starts_is_not_lost(after_s: float, mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto), state=str(tmp_path / "state"))
    running = start("run", "--config", file)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(after_s)
    running.send_signal(signal.SIGTERM)
    assert running.wait(SECONDS) in {0, 130, -signal.SIGTERM}
    finish(running)


def test_memory_of_another_daemon_is_refused(daemon: Daemon) -> None:
    done = run("run", "--config", daemon.config_file)
    assert (done.code, done.out) == (1, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"reminisce: {daemon.state}")


def test_state_that_is_no_folder_is_refused(mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file", encoding="utf-8")
    done = run("run", "--config", write_config(tmp_path, reach(mosquitto), state=str(tmp_path / "state")))
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(f"reminisce: {tmp_path / 'state'}")


@pytest.mark.parametrize(("wanted", "threads"), [(None, 1), ("2", 2)])
def test_numpy_starts_no_thread_that_nobody_asked_for(wanted: str | None, threads: int) -> None:
    if (os.cpu_count() or 1) < threads:
        pytest.skip("numpy starts no more threads than there are cores, and here is one")
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if wanted:
        environment["OPENBLAS_NUM_THREADS"] = wanted
    program = "import os, edge.cli, edge.daemon; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == f"{threads}\n"


def test_sighup_reads_the_config_again(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto), state=str(tmp_path / "state"))
    running = start("run", "--config", file)
    ready(running)
    write_config(tmp_path, reach(mosquitto), device="dev2", state=str(tmp_path / "state"))
    running.send_signal(signal.SIGHUP)
    assert "INFO ready as dev2: " in ready(running)
    wait_until(lambda: run("status", "--config", file).out.startswith("dev2 is online\n"), "dev2 online")
    running.send_signal(signal.SIGTERM)
    assert finish(running).code == 0
