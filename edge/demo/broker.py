"""A broker for the tour alone: mosquitto where it is installed, else the one inside the extra `broker`."""

from __future__ import annotations

import asyncio
import getpass
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.config import MqttConfig
from edge.errors import BrokerError

_LONGEST_SOCKET = 100  # characters of a Unix socket's path; the system takes 107
_STOP_S = 5.0


@contextmanager
def tour_broker(folder: Path) -> Iterator[tuple[MqttConfig, str]]:
    """Runs in between, with its files in `folder`; yields how to connect and what it is called. Raises BrokerError."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # where Debian has daemons
    if mosquitto := shutil.which("mosquitto", path=path):
        config = _address(folder)
        (folder / "broker.conf").write_text(_mosquitto_config(config), encoding="utf-8")
        command, name = [mosquitto, "-c", str(folder / "broker.conf")], "mosquitto"
    elif importlib.util.find_spec("amqtt"):
        config = MqttConfig(host="127.0.0.1", port=_free_port(), protocol="3.1.1")
        command, name = [sys.executable, "-m", "edge.demo.broker", str(config.port)], "the embedded broker (MQTT 3.1.1)"
    else:
        raise BrokerError(
            "there is no MQTT broker: run `sudo apt install mosquitto`, or `pip install 'reminisce-edge[broker]'`"
        )
    with running(command, folder / "broker.log"):
        yield config, name


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that ends with the block: told to, and killed if it does not. Ctrl-C reaches it only through us."""
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _address(folder: Path) -> MqttConfig:
    """A Unix socket, which no other user of the machine can open; a port where its path would be too long."""
    path = folder / "broker.sock"
    if len(str(path)) <= _LONGEST_SOCKET:
        return MqttConfig(socket=str(path))
    return MqttConfig(host="127.0.0.1", port=_free_port())


def _mosquitto_config(config: MqttConfig) -> str:
    listener = f"0 {config.socket}" if config.socket else f"{config.port} 127.0.0.1"
    # As root, it would become a user that cannot write into our folder.
    return f"user {getpass.getuser()}\nlistener {listener}\nallow_anonymous true\nset_tcp_nodelay true\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(port: int) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 - optional: the extra `broker`

    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}
    await Broker({"listeners": listeners, "plugins": anonymous}).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
