"""What `ask`, `add` and `status` say when there is nobody to talk to: what is wrong, where, and what to do."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority import make_authority
from brokers import Mosquitto, free_port
from commands import Finished, finish, start, write_config
from daemons import reach
from edge.config import MqttConfig
from onlooker import Onlooker

IMPATIENT = """
import sys
import edge.adding.uploader, edge.cli.ask, edge.cli.status, edge.mqtt.requester
edge.adding.uploader.ONLINE_S = edge.cli.ask.ONLINE_S = edge.cli.status.WAIT_S = edge.mqtt.requester.CONNECT_S = 1.5
sys.exit(edge.cli.main(sys.argv[1:]))
"""
COMMANDS = ("ask", "add", "status")
REFUSED = "cannot be used: the broker refuses the connection: Not authorized"
HINT = "is it running, and is `mqtt` in the config right?"


@pytest.fixture
def photo(pictures: list[Path]) -> Path:
    return pictures[0]


def each_of_them(file: Path, photo: Path, *commands: str) -> dict[str, Finished]:
    """All at once, with less patience than a user has."""
    words = {"ask": ["a dog"], "add": [str(photo)], "status": []}
    started = {
        name: start(name, "--config", file, *words[name], program=("-c", IMPATIENT)) for name in commands or COMMANDS
    }
    done = {name: finish(process) for name, process in started.items()}
    assert all(one.out == "" for one in done.values())
    return done


def see_that_all_fail(done: dict[str, Finished], said: str) -> None:
    """Exit code 1 and one line."""
    for name, one in done.items():
        assert one.code == 1, name
        assert one.err.startswith(f"reminisce: {said}"), name
        assert one.err.count("\n") == 1, name


def test_broker_that_does_not_run_is_named_with_its_address(photo: Path, tmp_path: Path) -> None:
    port = free_port()
    done = each_of_them(write_config(tmp_path, MqttConfig(port=port)), photo)
    reason = "no connection to the broker: [Errno 111] Connection refused"
    see_that_all_fail(done, f"the broker at localhost:{port} cannot be used: {reason}; {HINT}\n")


def test_socket_that_is_not_there_is_named(photo: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "mqtt.sock")
    done = each_of_them(write_config(tmp_path, MqttConfig(socket=path)), photo, "status")
    see_that_all_fail(done, f"the broker at {path} cannot be used: no connection to the broker: [Errno 2] No such file")


def test_host_that_does_not_exist_is_named(photo: Path, tmp_path: Path) -> None:
    done = each_of_them(write_config(tmp_path, MqttConfig(host="no-such-host.invalid")), photo, "status")
    see_that_all_fail(done, "the broker at no-such-host.invalid:1883 cannot be used: no connection to the broker: ")


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a program that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_broker_that_does_not_answer_may_know_only_an_older_protocol(mute: int, photo: Path, tmp_path: Path) -> None:
    done = each_of_them(write_config(tmp_path, MqttConfig(host="127.0.0.1", port=mute)), photo)
    reason = "it does not answer (one that knows only MQTT 3.1.1 needs `mqtt.protocol: 3.1.1`)"
    see_that_all_fail(done, f"the broker at 127.0.0.1:{mute} cannot be used: {reason}; {HINT}\n")


def test_wrong_password_is_told_as_not_authorized(secure_broker: Mosquitto, photo: Path, tmp_path: Path) -> None:
    mqtt = reach(secure_broker, "app")
    (tmp_path / "password").touch(mode=0o600)
    (tmp_path / "password").write_text(secrets.token_urlsafe())
    file = write_config(tmp_path, dataclasses.replace(mqtt, password_file=str(tmp_path / "password")))
    see_that_all_fail(each_of_them(file, photo), f"the broker at 127.0.0.1:{secure_broker.port} {REFUSED}")


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_missing_password_is_told_as_not_authorized(
    protocol: int | str, secure_broker: Mosquitto, photo: Path, tmp_path: Path
) -> None:
    file = write_config(tmp_path, reach(secure_broker, protocol=protocol))
    see_that_all_fail(each_of_them(file, photo, "status"), f"the broker at 127.0.0.1:{secure_broker.port} {REFUSED}")


def test_certificate_of_a_stranger_is_refused(secure_broker: Mosquitto, photo: Path, tmp_path: Path) -> None:
    stranger = make_authority(tmp_path / "stranger").ca
    assert secure_broker.tls_port
    file = write_config(tmp_path, reach(secure_broker, "app", port=secure_broker.tls_port, tls_ca=str(stranger)))
    done = each_of_them(file, photo, "status")
    see_that_all_fail(done, f"the broker at 127.0.0.1:{secure_broker.tls_port} cannot be used: no connection ")
    assert "CERTIFICATE_VERIFY_FAILED" in done["status"].err


def test_device_that_was_never_heard_of_is_named(mosquitto: Mosquitto, photo: Path, tmp_path: Path) -> None:
    done = each_of_them(write_config(tmp_path, reach(mosquitto), device="nobody"), photo)
    see_that_all_fail(done, "the device 'nobody' has never been heard of at this broker: is `reminisce run` up, ")


def test_device_that_is_offline_is_named(mosquitto: Mosquitto, photo: Path, tmp_path: Path) -> None:
    file = write_config(tmp_path, reach(mosquitto))
    with Onlooker(mosquitto.port) as before:
        before.say("reminisce/dev1/status", b"offline", is_retained=True)
    done = each_of_them(file, photo, "ask", "add")
    see_that_all_fail(done, "the device 'dev1' is offline at this broker: is `reminisce run` up, ")
