"""Faults in a real daemon, in a place that the product knows nothing of: Python's own sitecustomize.

faults = Faults(tmp_path / "faults", HANGING_INFERENCE)
with Daemon(..., environ=faults.environ):
    faults.strike()
"""

from __future__ import annotations

import os
from pathlib import Path

from daemons import ROOT

# Each is code that runs before the daemon's first line. `struck()` is true from the moment that the test says so.
_PROLOGUE = """
import os
import time

def struck():
    return os.path.exists({trigger!r})

def before(owner, name, fault):
    "Let `fault` happen before each call of a method."
    whole = getattr(owner, name)
    def faulty(*arguments, **options):
        fault()
        return whole(*arguments, **options)
    setattr(owner, name, faulty)

def die(kind=RuntimeError):
    if struck():
        raise kind("injected")
"""
HANGING_INFERENCE = """
from edge.runtime.weights import Interpreters

def hang():
    while struck():
        time.sleep(0.01)

before(Interpreters, "run", hang)
"""
# A method that a thread calls outside of everything that answers for its failure.
DYING_THREADS = {
    "compute": "from edge.service import Notifier\nbefore(Notifier, 'progress', die)",
    "remember": "from edge.remember import Elevator\nbefore(Elevator, 'ride', die)",
    "inbox": "from edge.remember import Inbox\nbefore(Inbox, '_arrive', die)",
    "memory-writer": "from edge.memory import Memory\nbefore(Memory, '_accept', die)",
    "main": "from edge.service import Commands\nbefore(Commands, 'next', die)",
    "a client of MQTT": "import paho.mqtt.client as paho\nbefore(paho.Client, '_handle_publish', die)",
}
FAILING_STORE = """
from edge.errors import StoreError
from edge.remember import Inbox
before(Inbox, "_arrive", lambda: die(StoreError))
"""


class Faults:
    """One fault, that strikes when it is told to."""

    def __init__(self, folder: Path, code: str) -> None:
        folder.mkdir()
        self._trigger = folder / "struck"
        (folder / "sitecustomize.py").write_text(_PROLOGUE.format(trigger=str(self._trigger)) + code, encoding="utf-8")
        self.environ = {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}

    def strike(self) -> None:
        """From now on."""
        self._trigger.touch()

    def relent(self) -> None:
        """No longer."""
        self._trigger.unlink()
