"""The clients that Debian has for MQTT, against a daemon: what they are told to do, and what they print.

Nothing of `edge` is used here: an answer that comes is one that any program gets.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from brokers import Mosquitto
from programs import program
from waiting import wait_until

DEVICE = "reminisce/dev1"
LONGEST_S = 60  # on a slow and busy board


@dataclass(frozen=True, slots=True)
class Message:
    """One line of mosquitto_sub."""

    topic: str
    payload: Any
    is_retained: bool

    @property
    def name(self) -> str:
        """The topic below the device."""
        return self.topic.removeprefix(f"{DEVICE}/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A user of the broker with a client id.

    version:  of MQTT, "5" or "311"
    is_local: by the loopback port; otherwise by TLS
    is_plain: a question names the place for its answer inside; otherwise the properties of MQTT 5 do
    """

    broker: Mosquitto
    version: str
    user: str = "app"
    id: str = "app-1"
    is_local: bool = False
    is_plain: bool = False

    def publish(self, topic: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Send one message with QoS 1."""
        return _run(self._command("mosquitto_pub", "-q", "1", "-t", f"{DEVICE}/{topic}", *arguments))

    def offer(self, folder: Path, **fields: Any) -> None:
        """Send an item as JSON, which may be larger than a command line: from a file, in `folder`."""
        file = folder / "item.json"
        file.write_text(json.dumps(fields), encoding="utf-8")
        assert self.publish("ingest", "-f", file).returncode == 0

    def request(self, topic: str, *arguments: str, **fields: Any) -> dict[str, Any]:
        """Ask with mosquitto_rr; the first answer. Fails when there is none."""
        done = self.try_request(topic, *arguments, **fields)
        assert done.returncode == 0, done.stderr
        reply = json.loads(done.stdout)
        assert isinstance(reply, dict)
        return reply

    def try_request(self, topic: str, *arguments: str, **fields: Any) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        said = json.dumps({**({"reply_to": self.reply_topic} if self.is_plain else {}), **fields})
        where = ("-t", f"{DEVICE}/{topic}", "-e", self.reply_topic)
        waiting = () if "-W" in arguments else ("-W", str(LONGEST_S))
        return _run(self._command("mosquitto_rr", "-q", "1", *where, *waiting, *arguments, "-m", said))

    def listen(self, folder: Path, *topics: str) -> Listener:
        """Hear these topics of the device; to be entered."""
        names = [word for topic in (*topics, "status") for word in ("-t", f"{DEVICE}/{topic}")]
        return Listener(
            self._command("mosquitto_sub", "-q", "1", "-F", "%r %t %p", *names), folder / f"{self.id}.heard"
        )

    @property
    def reply_topic(self) -> str:
        return f"{DEVICE}/reply/{self.id}/1"

    def _command(self, name: str, *arguments: str | Path) -> list[str]:
        broker = self.broker
        way = ["-h", broker.host, "-p", str(broker.port)]
        if not self.is_local:
            assert broker.authority
            way = ["-h", "localhost", "-p", str(broker.tls_port), "--cafile", str(broker.authority.ca)]
        who = ["-V", self.version, "-i", self.id, "-u", self.user, "-P", broker.passwords[self.user]]
        return [program(name, "mosquitto-clients"), *way, *who, *map(str, arguments)]


@dataclass(slots=True)
class Listener:
    """A mosquitto_sub that runs inside a `with`, and all that it printed.

    Every user may read `status`, which is retained: once that came, nothing said from then on is missed.
    """

    command: list[str]
    file: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def heard(self) -> list[Message]:
        """What came so far, except for the status that came first."""
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [_message(line) for line in lines if line.endswith("\n")]

    def first(self, matches: Callable[[Message], bool]) -> Message:
        """Wait for a message. Raises AssertionError with all that came instead."""
        try:
            wait_until(lambda: any(map(matches, self.heard)), "a message", LONGEST_S)
        except AssertionError:
            raise AssertionError(f"only this came: {self.heard}") from None
        return next(filter(matches, self.heard))

    def event(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event with at least these fields."""
        wanted = {"type": type_, **fields}.items()
        event = self.first(lambda one: one.name == "event" and wanted <= one.payload.items()).payload
        assert isinstance(event, dict)
        return event

    def __enter__(self) -> Listener:
        with self.file.open("wb") as out:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            self.first(lambda message: message.name == "status")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()


def _message(line: str) -> Message:
    retained, topic, payload = line.rstrip("\n").split(" ", 2)
    return Message(topic, payload if topic.endswith("/status") else json.loads(payload), retained == "1")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * LONGEST_S)
