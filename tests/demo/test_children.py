"""The tour's children: up before they are used, gone with their block, and never without an owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.demo import children
from edge.demo.children import running
from edge.errors import ReminisceError
from processes import processes_of
from waiting import wait_until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_child_that_ends_is_named_with_its_last_line(tmp_path: Path) -> None:
    code = "import sys; print('first'); sys.stderr.write('no such disk\\n\\n'); sys.exit(3)"
    with (
        pytest.raises(ReminisceError, match=r"^the daemon ended: no such disk$"),
        running("daemon", python(code), tmp_path) as child,
    ):
        child.wait_until(lambda: False)


def test_child_that_ends_without_a_word_is_named_too(tmp_path: Path) -> None:
    with (
        pytest.raises(ReminisceError, match=r"^the broker ended: it said nothing$"),
        running("broker", python(""), tmp_path) as child,
    ):
        child.wait_until(lambda: False)


def test_child_that_does_not_come_up_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_START_S", 0)
    with (
        pytest.raises(ReminisceError, match=r"^the daemon did not come up within 0 s: it said nothing$"),
        running("daemon", python("import time; time.sleep(60)"), tmp_path) as child,
    ):
        child.wait_until(lambda: False)
    assert child.process.returncode == -signal.SIGTERM


def test_child_that_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_STOP_S", 0.2)
    with running("daemon", python(STUBBORN), tmp_path) as child:
        wait_until(lambda: "up" in child.log.read_text(), "that the child is up")
    assert child.process.returncode == -signal.SIGKILL
    assert processes_of(tmp_path) == []


def test_child_imports_what_we_do_and_not_what_lies_in_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "ours").mkdir()
    (tmp_path / "user" / "queue.py").write_text("raise SystemExit('the folder of the user')")
    monkeypatch.chdir(tmp_path / "user")
    with running(
        "daemon", [sys.executable, "-c", "import edge, queue; print(edge.__file__)"], tmp_path / "ours"
    ) as child:
        assert child.process.wait(60) == 0
    assert Path(child.log.read_text().strip()) == Path(sys.modules["edge"].__file__ or "")


def test_signal_to_our_group_does_not_reach_the_child(tmp_path: Path) -> None:
    with running("daemon", python("import time; time.sleep(60)"), tmp_path) as child:
        assert os.getpgid(child.process.pid) != os.getpgid(0)
        assert os.getsid(child.process.pid) != os.getsid(0)  # nor the end of the terminal


def test_signal_while_a_child_is_started_ends_it_with_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)  # before anybody could have noted the child

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), running("daemon", python("import time; time.sleep(60)"), tmp_path):
        pytest.fail("the block was entered")
    assert started[0].returncode == -signal.SIGTERM


def test_signal_while_a_child_is_ended_comes_after_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_STOP_S", 0.3)
    end = subprocess.Popen.terminate

    def terminate(child: subprocess.Popen[bytes]) -> None:
        end(child)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "terminate", terminate)
    block = running("daemon", python(STUBBORN), tmp_path)
    child = block.__enter__()
    wait_until(lambda: "up" in child.log.read_text(), "that the child is up")
    with pytest.raises(KeyboardInterrupt):
        block.__exit__(None, None, None)
    assert child.process.returncode == -signal.SIGKILL
