"""A broker for the tour alone: mosquitto where it is installed, else the one inside the extra `broker`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.config import MqttConfig
from edge.demo.children import running
from edge.errors import BrokerError

_LONGEST_SOCKET = 100  # bytes of a Unix socket's path; the system takes 107


@contextmanager
def tour_broker(folder: Path) -> Iterator[tuple[MqttConfig, str]]:
    """Runs in between, with its files in `folder`; yields how to connect and what it is called.

    Raises BrokerError when there is none, ReminisceError when it does not start.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # where Debian has daemons
    if mosquitto := shutil.which("mosquitto", path=path):
        config = _address(folder)
        (folder / "broker.conf").write_text(_mosquitto_config(config), encoding="utf-8")
        command, name = [mosquitto, "-c", "broker.conf"], "mosquitto"
    elif importlib.util.find_spec("amqtt"):
        config = MqttConfig(host="127.0.0.1", port=_free_port(), protocol="3.1.1")
        command, name = [sys.executable, "-m", "edge.demo.broker", str(config.port)], "the embedded broker (MQTT 3.1.1)"
    else:
        raise BrokerError(
            "there is no MQTT broker: run `sudo apt install mosquitto`, or `pip install 'reminisce-edge[broker]'`"
        )
    with running("broker", command, folder) as child:
        child.wait_until(lambda: _accepts(config))
        yield config, name


def _address(folder: Path) -> MqttConfig:
    """A Unix socket, which no other user of the machine can open; a port where its path would be too long."""
    path = folder / "broker.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return MqttConfig(socket=str(path))
    return MqttConfig(host="127.0.0.1", port=_free_port())


def _mosquitto_config(config: MqttConfig) -> str:
    # A path of its own ends at a space; that of a child in its folder has none.
    listener = f"0 {Path(config.socket).name}" if config.socket else f"{config.port} 127.0.0.1"
    # Started by root, it would become a user that cannot write into our folder; started by others it stays who it is.
    return f"user root\nlistener {listener}\nallow_anonymous true\nset_tcp_nodelay true\n"


def _accepts(config: MqttConfig) -> bool:
    family, address = (socket.AF_UNIX, config.socket) if config.socket else (socket.AF_INET, (config.host, config.port))
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


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
