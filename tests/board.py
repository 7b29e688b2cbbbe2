"""A Raspberry Pi of a test's own: a folder in which the commands of a document are run as they stand there.

Replaced are paths (`/etc/mosquitto` is below the folder), ports, and what only systemd, apt and PyPI could do.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from brokers import Mosquitto, free_port
from daemons import ServiceManager
from programs import program
from waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
LONGEST_S = 60  # of one command, on a slow and busy board
APT, PIP = "sudo apt install ", "python3 -m venv "  # what a test cannot do here
DEBIANS = ("etc/mosquitto/conf.d", "etc/mosquitto/certs", "etc/systemd/system", "usr/local/bin", "var/lib/mosquitto")
# Debian's own, with the log where a test reads it.
MOSQUITTO_CONF = """\
user root
persistence true
persistence_location /var/lib/mosquitto/
log_dest stderr
log_type all
include_dir /etc/mosquitto/conf.d
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a transcript, and what is shown to come of it."""

    text: str
    shown: str


def read_transcript(text: str) -> Iterator[Command]:
    """The commands behind each `$ `; one that the shell would not take for complete goes on in the next line."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        count = next(count for count in range(1, len(lines) + 1) if _is_complete("\n".join(lines[:count])))
        yield Command("\n".join(lines[:count]), "\n".join(lines[count:]))


def _is_complete(text: str) -> bool:
    return not text.endswith("\\") and subprocess.run(["bash", "-nc", text], capture_output=True).returncode == 0  # noqa: PLW1510, S607


def may_be(user: str) -> bool:
    """Whether we may give files to this user."""
    return os.geteuid() == 0 and user in {entry.pw_name for entry in pwd.getpwall()}


@dataclass(slots=True)
class Board:
    """See `new_board`. manager: systemd, as far as the daemon can tell."""

    root: Path
    broker: Mosquitto
    manager: ServiceManager
    _stack: ExitStack
    _daemon: subprocess.Popen[bytes] | None = None
    _background: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.root / "home" / "me"

    def place(self, text: str) -> str:
        """The same with every path below our folder."""
        return re.sub(r"(?<![\w.~/-])/(?=(?:etc|opt|usr/local|home|var|run|srv)/)", f"{self.root}/", text)

    def path(self, text: str) -> Path:
        """Where a path of the document lies."""
        return Path(self.place(text.replace("~", "/home/me")))

    def write(self, name: str, text: str) -> None:
        """A config of the document, with our port."""
        assert "mqtt: {" in text
        self.path(name).write_text(self.place(text).replace("mqtt: {", f"mqtt: {{port: {self.broker.port}, "), "utf-8")

    def obey(self, command: str) -> str:
        """What a command prints; a background one's words come with the command that made them come."""
        if command.startswith(APT):
            return ""
        if command.startswith(PIP):
            self._install_package()
        elif command == "sudo systemctl restart mosquitto":
            self._start_broker()
        elif command == "sudo systemctl daemon-reload && sudo systemctl enable --now reminisce":
            self._start_daemon()
        elif command == "systemctl status reminisce":
            return f'...\n     Status: "{self.manager.heard[-1].partition("STATUS=")[2]}"\n...'
        elif command.endswith(" &"):
            self._start(command.removesuffix(" &"))
        else:
            return self.run(command) or self._said_meanwhile()
        return ""

    def run(self, command: str, here: Path = CHECKOUT, **environ: str) -> str:
        """What the command prints, errors included; it must not fail."""
        words = ["bash", "-c", self._ours(command)]
        done = subprocess.run(
            words,
            cwd=here,
            env={**self._environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def reload(self) -> None:
        """What `systemctl reload` does: returns when the daemon is ready again."""
        assert self._daemon
        self._daemon.send_signal(signal.SIGHUP)
        self.manager.await_word("RELOADING=1")
        self.manager.await_word("READY=1")

    def stop_daemon(self, daemon: subprocess.Popen[bytes]) -> None:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(LONGEST_S) == 0, (self.root / "run" / "daemon.log").read_text()

    @property
    def _environ(self) -> dict[str, str]:
        path = f"{self.root}/usr/local/bin:{os.environ['PATH']}"
        return {**os.environ, "HOME": str(self.home), "USER": pwd.getpwuid(os.geteuid()).pw_name, "PATH": path}

    def _ours(self, command: str) -> str:
        command = self.place(re.sub(r"\bsudo ", "", command))
        if not may_be("mosquitto"):
            command = re.sub(r" -[og] mosquitto\b", "", command)
        return command.replace("-h raspberrypi.local --cafile", f"-h localhost -p {self.broker.tls_port} --cafile")

    def _install_package(self) -> None:
        """What is at the same place then: a command that runs the package of this checkout."""
        file = self.path("/opt/reminisce/bin/reminisce")
        file.parent.mkdir()
        file.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m edge "$@"\n', encoding="utf-8")
        file.chmod(0o755)

    def _start_broker(self) -> None:
        file = self.path("/etc/mosquitto/conf.d/reminisce.conf")
        text = self.place(file.read_text(encoding="utf-8"))
        for shipped, ours in (("1883 127.0.0.1", self.broker.port), ("8883", self.broker.tls_port)):
            assert f"\nlistener {shipped}\n" in text
            text = text.replace(f"\nlistener {shipped}\n", f"\nlistener {ours} 127.0.0.1\n")
        file.write_text(text, encoding="utf-8")
        self._stack.enter_context(self.broker)

    def _start_daemon(self) -> None:
        """As the installed unit says: what it starts, with which state folder and which password."""
        unit = self.place(self.path("/etc/systemd/system/reminisce.service").read_text(encoding="utf-8"))
        settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
        name, _, password = settings["LoadCredential"].partition(":")
        credentials, state = self.root / "run" / "credentials", self.root / "var" / "lib" / settings["StateDirectory"]
        credentials.mkdir()
        state.mkdir()
        (credentials / name).write_bytes(Path(password).read_bytes())
        environ = {
            "HOME": "/",
            "STATE_DIRECTORY": str(state),
            "CREDENTIALS_DIRECTORY": str(credentials),
            "NOTIFY_SOCKET": str(self.manager.path),
        }
        words = [program("setpriv", "util-linux"), "--pdeathsig", "KILL", *shlex.split(settings["ExecStart"])]
        with (self.root / "run" / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(words, env={**self._environ, **environ}, stdout=log, stderr=log)
        self._daemon = daemon
        self._stack.callback(daemon.kill)
        self._stack.callback(self.stop_daemon, daemon)
        self.manager.await_word("READY=1")

    def _start(self, command: str) -> None:
        before = self.broker.log.read_bytes().count(b"Sending SUBACK")
        self._background.append(
            subprocess.Popen(
                ["bash", "-c", self._ours(command)],  # noqa: S607
                cwd=CHECKOUT,
                env=self._environ,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        wait_until(
            lambda: self.broker.log.read_bytes().count(b"Sending SUBACK") > before,
            f"a subscription: {command}",
            LONGEST_S,
        )

    def _said_meanwhile(self) -> str:
        said = [process.communicate(timeout=LONGEST_S)[0] for process in self._background]
        self._background.clear()
        return "".join(said).rstrip("\n")


@contextmanager
def new_board() -> Iterator[Board]:
    """A board on which Debian and mosquitto are installed; what was started on it ends with the block."""
    with TemporaryDirectory(prefix="board-") as name, ExitStack() as stack:
        root = Path(name)
        root.chmod(0o755)  # for mosquitto's user
        for folder in (*DEBIANS, "home/me", "opt", "run"):
            (root / folder).mkdir(parents=True)
        manager = stack.enter_context(ServiceManager(root / "run" / "notify"))
        etc = root / "etc" / "mosquitto"
        broker = Mosquitto(folder=etc, config="", port=free_port(), tls_port=free_port(), socket=etc / "none")
        board = Board(root, broker, manager, stack)
        broker.config = board.place(MOSQUITTO_CONF)
        yield board
