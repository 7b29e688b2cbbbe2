"""A real mosquitto for a test that asks for one: in a folder of its own, on free ports, and gone when the test is."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pytest

from authority import Authority, make_authority
from programs import program

SHIPPED = Path(__file__).resolve().parents[1] / "systemd"
USERS = ("dev1", "app", "owner")
# Below the ports that the kernel gives to clients: one that tries again while its broker is down could be given the
# broker's own port, and be connected to itself.
PORTS = range(10_000, 32_000)
LONGEST_START_S = 20


@dataclass(kw_only=True, slots=True)
class Mosquitto:
    """A broker between `start` and `stop`, or inside a `with`. Its ports, its queue and its log outlast a restart.

    To be started by the main thread: the kernel kills it with the thread that started it, so that it never outlives us.

    folder:    where everything of it lies
    config:    the text of its configuration file
    host:      of both ports
    port:      plain TCP
    tls_port:  TLS, None without
    socket:    a Unix socket
    authority: who signed the certificate of the TLS port, None without
    passwords: of each user; empty where everybody may connect
    """

    folder: Path
    config: str
    host: str = "127.0.0.1"
    port: int
    tls_port: int | None = None
    socket: Path
    authority: Authority | None = None
    passwords: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What it wrote since its first start."""
        return self.folder / "mosquitto.log"

    def start(self) -> None:
        """Return when it accepts connections. Raises RuntimeError with its last words if it does not get there."""
        assert self._process is None, "already started"
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config, encoding="utf-8")
        tied_to_us = [program("setpriv", "util-linux"), "--pdeathsig", "KILL"]
        command = [*tied_to_us, program("mosquitto", "mosquitto"), "-c", str(file)]
        with self.log.open("ab") as log:
            before = log.tell()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._await_running(self._process, before)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as systemd does; it writes its queue out. Stopping what does not run is nothing."""
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(20)
            finally:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start it again on the same ports, after stopping it if it runs."""
        self.stop()
        self.start()

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _await_running(self, process: subprocess.Popen[bytes], before: int) -> None:
        """It says so when its listeners are open. A connection would not tell: another program may have the port."""
        deadline = time.monotonic() + LONGEST_START_S
        while b" running\n" not in self.log.read_bytes()[before:]:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto does not run: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.01)


def free_port() -> int:
    """A port of this machine that nobody has at the moment."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def frame(folder: Path) -> str:
    """What Debian's mosquitto.conf says, for this folder. A mosquitto that root starts would become another user."""
    return f"user root\npersistence true\npersistence_location {folder}/\nlog_dest stderr\n"


def plain_mosquitto(folder: Path) -> Mosquitto:
    """A broker without users and without TLS, that keeps its queue; not yet started."""
    port, path = free_port(), folder / "mqtt.sock"
    config = (
        f"{frame(folder)}listener {port} 127.0.0.1\nlistener 0 {path}\nallow_anonymous true\nset_tcp_nodelay true\n"
        "autosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\n"
    )
    return Mosquitto(folder=folder, config=config, port=port, socket=path)


def secure_mosquitto(folder: Path) -> Mosquitto:
    """The broker of systemd/, all three listeners on, with a user each for device, app and owner; not yet started."""
    port, tls_port = free_port(), free_port()
    changes = {
        "\nlistener 1883 127.0.0.1\n": f"\nlistener {port} 127.0.0.1\n",
        "\nlistener 8883\n": f"\nlistener {tls_port} 127.0.0.1\n",
        "\n#listener 0 /run/reminisce-broker/": f"\nlistener 0 {folder}/",
        " /etc/mosquitto/": f" {folder}/",
    }
    text = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8")
    for shipped, ours in changes.items():
        assert shipped in text, f"systemd/mosquitto.conf no longer says {shipped!r}"
        text = text.replace(shipped, ours)
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "reminisce.conf").write_text(text, encoding="utf-8")
    shutil.copy(SHIPPED / "mosquitto.acl", folder / "reminisce.acl")
    return Mosquitto(
        folder=folder,
        config=f"{frame(folder)}include_dir {folder}/conf.d\n",
        port=port,
        tls_port=tls_port,
        socket=folder / "mqtt.sock",
        authority=make_authority(folder / "certs"),
        passwords=make_passwords(folder / "reminisce.passwd"),
    )


def make_passwords(file: Path) -> dict[str, str]:
    passwords = {user: secrets.token_urlsafe() for user in USERS}
    file.touch(mode=0o600)
    for user, password in passwords.items():
        command = [program("mosquitto_passwd", "mosquitto"), "-b", str(file), user, password]
        subprocess.run(command, check=True, capture_output=True)
    return passwords


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A running broker where everybody may connect, by TCP or by its Unix socket."""
    with plain_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture
def secure_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """The running broker of systemd/, with passwords, ACL and TLS."""
    with secure_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker
