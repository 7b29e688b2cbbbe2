"""The pulse of a daemon under test: pings through the broker, and WATCHDOG=1 on the socket of a service manager.

It is felt in a process of its own, which does little else: what keeps the test busy must not look like a silent daemon.

    with Pulse(tmp_path / "notify.sock") as pulse:
        with Daemon(..., environ=pulse.environ) as daemon:
            pulse.start(daemon)
            ...
            print(pulse.feel())
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType

from daemons import ROOT, Daemon
from edge.config import MqttConfig
from edge.errors import BrokerError, RefusedError
from edge.mqtt import Outgoing, Requester, Topics

WATCHDOG_MS = 400
PING_S = 0.02  # between an answer and the next ping
LONGEST_SILENCE_S = 60
ECHO = "echo/pulse"


@dataclass(frozen=True, slots=True)
class Beat:
    """What was felt between two looks.

    pings:       that were answered, with whatever reply; lost: those that never were
    ping_ms:     the longest time from one answer to the next, the pause before a ping included
    broker_ms:   the same for a message to itself, which has to do with the broker alone
    watchdogs:   WATCHDOG=1 that came; watchdog_ms: the longest time between two
    """

    pings: int
    lost: int
    ping_ms: float
    broker_ms: float
    watchdogs: int
    watchdog_ms: float

    def __str__(self) -> str:
        return (
            f"ping {self.ping_ms:.0f} ms ({self.pings} answered, {self.lost} lost), broker {self.broker_ms:.0f} ms, "
            f"watchdog {self.watchdog_ms:.0f} ms ({self.watchdogs})"
        )


class Pulse:
    """A context manager: the process that feels runs in between. `environ` is for the daemon."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(WATCHDOG_MS * 1000)}
        self._command = [sys.executable, __file__, str(path)]

    @property
    def pid(self) -> int:
        """Of the process that feels."""
        return self._process.pid

    def __enter__(self) -> Pulse:
        ours = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(__file__).parent)))}
        self._process = subprocess.Popen(
            self._command, env=ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._read() == "listening"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate(timeout=LONGEST_SILENCE_S)

    def start(self, daemon: Daemon) -> None:
        """Return after the first answer."""
        self._tell(json.dumps({"mqtt": asdict(daemon.mqtt), "device": daemon.device}))
        assert self._read() == "answered"

    def feel(self) -> Beat:
        """Since the last call, or since `start`."""
        self._tell("")
        return Beat(**json.loads(self._read()))

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")


class _Series:
    """Moments that come again and again, and the longest time between two."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count, self._longest_s, self._last = 0, 0.0, time.monotonic()

    def came(self) -> None:
        with self._lock:
            now = time.monotonic()
            self._count += 1
            self._longest_s, self._last = max(self._longest_s, now - self._last), now

    def look(self) -> tuple[int, float]:
        """Count and longest time in ms, since the last look; the silence that lasts is counted as well."""
        with self._lock:
            seen = self._count, 1e3 * max(self._longest_s, time.monotonic() - self._last)
            self._count, self._longest_s = 0, 0.0
        return seen


class _Feeler:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._answers, self._echoes, self._watchdogs = _Series(), _Series(), _Series()
        self.echo_came = threading.Event()
        self._lost = 0
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        while True:
            if b"WATCHDOG=1" in self._socket.recv(4096):
                self._watchdogs.came()

    def ping(self, client: Requester) -> None:
        try:
            client.request(client.topics.control, {"op": "ping"}, LONGEST_SILENCE_S)
            self._answers.came()
        except RefusedError:  # an answer, too
            self._answers.came()
        except BrokerError:
            self._lost += 1

    def echo(self, client: Requester) -> None:
        self.echo_came.clear()
        client.send(Outgoing(ECHO, b""))
        if self.echo_came.wait(LONGEST_SILENCE_S):
            self._echoes.came()

    def go_on(self, what: Callable[[Requester], None], client: Requester) -> None:
        while True:
            what(client)
            time.sleep(PING_S)

    def look(self) -> Beat:
        (pings, ping_ms), (_, broker_ms) = self._answers.look(), self._echoes.look()
        (watchdogs, watchdog_ms), lost, self._lost = self._watchdogs.look(), self._lost, 0
        return Beat(pings, lost, ping_ms, broker_ms, watchdogs, watchdog_ms)


def _main(path: str) -> None:
    with suppress(PermissionError):
        os.nice(-10)
    feeler = _Feeler(path)
    _say("listening")
    about = json.loads(sys.stdin.readline() or "null")
    if about is None:
        return
    mqtt = MqttConfig(**{field.name: about["mqtt"][field.name] for field in fields(MqttConfig)})
    topics = Topics(about["device"])
    echoes = Requester(mqtt, topics, None, listen=(ECHO,), on_message=lambda *_: feeler.echo_came.set())
    with Requester(mqtt, topics, None) as client, echoes:
        for what, by in ((feeler.ping, client), (feeler.echo, echoes)):
            what(by)
            threading.Thread(target=feeler.go_on, args=(what, by), daemon=True).start()
        feeler.look()
        _say("answered")
        for _ in sys.stdin:
            _say(json.dumps(asdict(feeler.look())))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1])
