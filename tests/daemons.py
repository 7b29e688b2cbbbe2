"""A real daemon for a test that asks for one: `reminisce run` in a process of its own, its memory in a folder of ours.

    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto), config={"remember": {"inbox_items": 5}}) as daemon:
        with daemon.requester() as client:
            client.request(daemon.topics.query, {"text": "a dog"}, 20)
        daemon.kill()
        daemon.start()

The fixture `daemon` is one on the broker of the fixture `mosquitto`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from brokers import Mosquitto
from edge.config import MqttConfig, load_config
from edge.mqtt import Requester, Topics, read_password
from edge.mqtt.link import Handlers, Incoming, Link, Session
from programs import program

ROOT = Path(__file__).resolve().parents[1]
LONGEST_START_S = 60  # on a slow and busy board
LONGEST_STOP_S = 20
_OF_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"}
_SANE: Mapping[str, Any] = {
    "runtime": {"threads": 1},
    "remember": {"min_free_mb": 1},  # a busy disk of somebody's must not fail a test
}


class ServiceManager:
    """What systemd is to a service: a socket that hears READY=1 and the like. A context manager."""

    def __init__(self, path: Path) -> None:
        """`path` of the socket, at most 107 characters."""
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def await_word(self, word: str, timeout_s: float = LONGEST_START_S) -> str:
        """The next message with `word` in it; the ones before it are in `heard`, too. Raises TimeoutError."""
        end = time.monotonic() + timeout_s
        while True:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            self.heard.append(self._socket.recv(4096).decode())
            if word in self.heard[-1]:
                return self.heard[-1]

    def __enter__(self) -> ServiceManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


@dataclass(kw_only=True, slots=True)
class Daemon:
    """A daemon between `start` and `stop`, or inside a `with`. Its memory and its log outlast a restart.

    To be started by the main thread: the kernel kills it with the thread that started it, so that it never outlives us.

    folder:  where config.yaml, state/ and daemon.log lie; made if it is not there
    mqtt:    how it reaches the broker, see `reach`
    device:  its name in the topics; the shipped broker settings know dev1 alone
    config:  further sections, each merged over what a test wants; written anew at each start
    state:   the folder of the memory, when it is not to lie in `folder`
    manager: who hears what it tells systemd
    environ: further variables
    within:  words before its command line, as of a program that limits it
    """

    folder: Path
    mqtt: MqttConfig
    device: str = "dev1"
    config: Mapping[str, Any] = field(default_factory=dict)
    state: Path = field(default=Path())
    manager: ServiceManager | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.state == Path():
            self.state = self.folder / "state"

    @property
    def topics(self) -> Topics:
        return Topics(self.device)

    @property
    def config_file(self) -> Path:
        """For `--config`, of the command line as well."""
        return self.folder / "config.yaml"

    @property
    def log(self) -> Path:
        """What it wrote since its first start."""
        return self.folder / "daemon.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return when it is `online` and takes items. Raises RuntimeError with its last words if it does not get there.

        The `online` that a life before left behind does not count: it stays for 10 s after a kill.
        """
        with self._watching() as is_online:
            self.launch()
            self._await(is_online, LONGEST_START_S)

    def launch(self) -> None:
        """Start it and return at once."""
        assert not self.is_running, "already started"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(json.dumps(self._fields()), encoding="utf-8")
        load_config(self.config_file)  # a mistake in a test is to be told in the test
        tied_to_us = [program("setpriv", "util-linux"), "--pdeathsig", "KILL"]
        command = [*tied_to_us, *self.within, sys.executable, "-m", "edge", "run", "--config", str(self.config_file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, timeout_s: float = LONGEST_STOP_S) -> None:
        """End it as systemd does, and see that it ends well. Stopping what does not run is nothing."""
        if self._process is not None:
            self.signal(signal.SIGTERM)
            code = self.wait(timeout_s)
            assert code == 0, f"the daemon ended with {code}: {self.last_words()}"

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def wait(self, timeout_s: float = LONGEST_STOP_S) -> int:
        """The exit code of one that ends by itself. Kills it, and raises TimeoutExpired, when it does not."""
        assert self._process is not None, "not started"
        try:
            return self._process.wait(timeout_s)
        finally:
            self.kill()

    def await_log(self, words: str, timeout_s: float = LONGEST_START_S, *, since: int = 0) -> None:
        """Return when `words` stand in the log, behind its first `since` bytes. Raises RuntimeError."""
        self._await(lambda: words.encode() in self.log.read_bytes()[since:], timeout_s)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(it said nothing)"

    def requester(
        self,
        listen: tuple[str, ...] = (),
        on_message: Callable[[str, bytes], None] = lambda _topic, _payload: None,
        *,
        mqtt: MqttConfig | None = None,
    ) -> Requester:
        """A client of its broker, to be entered; as the daemon's own user, or as `mqtt` says."""
        mqtt = mqtt or self.mqtt
        return Requester(mqtt, self.topics, read_password(mqtt, None), listen=listen, on_message=on_message)

    def __enter__(self) -> Daemon:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self.stop()
        finally:
            self.kill()

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"device": self.device, "state": str(self.state), "mqtt": asdict(self.mqtt)}
        for section in (_SANE, self.config):
            for name, value in section.items():
                fields[name] = {**fields.get(name, {}), **value} if isinstance(value, Mapping) else value
        return fields

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if name not in _OF_SYSTEMD}
        notified = {"NOTIFY_SOCKET": str(self.manager.path)} if self.manager is not None else {}
        return {**ours, "PYTHONPATH": str(ROOT), **notified, **self.environ}

    def _await(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while not is_so():
            if not self.is_running or time.monotonic() > end:
                raise RuntimeError(f"the daemon did not get there: {self.last_words()}")
            time.sleep(0.02)

    @contextmanager
    def _watching(self) -> Iterator[Callable[[], bool]]:
        """Whether it has said `online` since then: what is not retained was said just now."""
        said, subscribed = threading.Event(), threading.Event()

        def came(message: Incoming) -> None:
            if message.payload == b"online" and not message.is_retained:
                said.set()

        session = Session(client_id=f"test-{os.urandom(8).hex()}", subscriptions=(self.topics.status,))
        handlers = Handlers(on_message=came, on_up=subscribed.set)
        link = Link(self.mqtt, read_password(self.mqtt, None), session, handlers)
        link.start()
        try:
            assert subscribed.wait(LONGEST_STOP_S), "the broker cannot be reached: is it started?"
            yield said.is_set
        finally:
            link.stop()


def reach(broker: Mosquitto, user: str | None = None, **changes: Any) -> MqttConfig:
    """How a client reaches the broker by plain TCP, as `user` where it has any.

    changes: fields of MqttConfig, as `socket=str(broker.socket)`, or `port=broker.tls_port, tls_ca=...`
    """
    fields: dict[str, Any] = {"host": broker.host, "port": broker.port, "username": user}
    if user is not None:
        file = broker.folder / f"{user}.password"
        file.touch(mode=0o600)
        file.write_text(broker.passwords[user], encoding="utf-8")
        fields["password_file"] = str(file)
    return MqttConfig(**{**fields, **changes})


@pytest.fixture
def daemon(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon on the broker of the fixture `mosquitto`."""
    with Daemon(folder=tmp_path / "daemon", mqtt=reach(mosquitto)) as running:
        yield running
