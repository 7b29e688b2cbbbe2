"""Passwords, and TLS: with the broker of systemd/, and with what is wrong said in the log."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from authority import make_authority
from brokers import Mosquitto
from edge.config import MqttConfig
from edge.errors import UsageError
from edge.mqtt.link import Outgoing
from links import LinkUnderTest, mqtt_config
from programs import program
from waiting import wait_until

both = pytest.mark.parametrize("protocol", [5, "3.1.1"])
# paho leaves a socket whose certificate was refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")
TOPIC = "reminisce/dev1/reply/x"
REFUSED = "the broker refuses the connection: Not authorized"


def secure_config(broker: Mosquitto, protocol: Any = 5, **more: Any) -> MqttConfig:
    """The device's, over TLS."""
    assert broker.authority
    config = mqtt_config(broker, protocol, username="dev1", tls_ca=str(broker.authority.ca))
    assert broker.tls_port
    return dataclasses.replace(config, port=broker.tls_port, **more)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says, without the client's name."""
    return [record.getMessage().partition(": ")[2] for record in caplog.records]


@both
def test_device_with_its_password_is_let_in_over_tls(secure_broker: Mosquitto, protocol: Any) -> None:
    password = secure_broker.passwords["dev1"]
    with LinkUnderTest(secure_config(secure_broker, protocol), TOPIC, password=password) as client:
        client.link.publish(Outgoing(TOPIC, bytes(100_000)))
        assert client.wait_for(1) == [bytes(100_000)]


@both
def test_certificate_is_also_checked_by_name(secure_broker: Mosquitto, protocol: Any) -> None:
    config = secure_config(secure_broker, protocol, host="localhost")
    with LinkUnderTest(config, password=secure_broker.passwords["dev1"]) as client:
        assert client.link.is_up
    config = dataclasses.replace(config, host="127.1")
    with LinkUnderTest(config, password=secure_broker.passwords["dev1"], waits=False) as client:
        wait_until(lambda: client.downs, "it is refused")
    assert "certificate is not valid for '127.1'" in client.downs[0]


@both
def test_broker_that_another_authority_signed_is_refused_with_the_reason_in_the_log(
    secure_broker: Mosquitto, protocol: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_authority(tmp_path / "other")
    config = secure_config(secure_broker, protocol, tls_ca=str(other.ca))
    with LinkUnderTest(config, password=secure_broker.passwords["dev1"], waits=False) as client:
        wait_until(lambda: len(client.downs) >= 3, "three tries")
        assert client.ups == 0
    (warning,) = warnings(caplog)
    assert warning.startswith("no connection to the broker: [SSL: CERTIFICATE_VERIFY_FAILED]")


def test_broker_without_tls_is_refused_when_tls_is_wanted(secure_broker: Mosquitto) -> None:
    config = secure_config(secure_broker)
    config = dataclasses.replace(config, port=secure_broker.port)
    with LinkUnderTest(config, password=secure_broker.passwords["dev1"], waits=False) as client:
        wait_until(lambda: client.downs, "it fails", 40)
        assert client.ups == 0
    assert client.downs[0].startswith("no connection to the broker: ")


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_certificate_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=rf"^mqtt\.tls_ca: {file} cannot be used: ."):
        LinkUnderTest(MqttConfig(tls_ca=str(file)))


@both
@pytest.mark.parametrize("password", ["wrong", "", None])
def test_wrong_password_is_said_in_the_log_once(
    secure_broker: Mosquitto, protocol: Any, password: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    config = mqtt_config(secure_broker, protocol, username="dev1")
    with LinkUnderTest(config, password=password, waits=False) as client:
        wait_until(lambda: secure_broker.log.read_text().count("not authorised") >= 3, "three tries")
        assert client.ups == 0
        assert not client.link.is_up
    assert warnings(caplog) == [REFUSED]


def test_password_that_is_right_again_is_let_in_and_a_new_mistake_is_said_anew(
    secure_broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    config, right = mqtt_config(secure_broker, username="dev1"), secure_broker.passwords["dev1"]
    with LinkUnderTest(config, password=right) as client:
        for count in (1, 2):
            set_password(secure_broker, "another")
            wait_until(lambda: warnings(caplog).count(REFUSED) == count, f"refused {count} times")  # noqa: B023
            set_password(secure_broker, right)
            client.wait_up(1 + count)


def set_password(broker: Mosquitto, password: str) -> None:
    """Of the user dev1, for those who connect from now on."""
    command = [program("mosquitto_passwd", "mosquitto"), "-b", "reminisce.passwd", "dev1", password]
    subprocess.run(command, cwd=broker.folder, check=True, capture_output=True)
    broker.restart()


def test_connection_without_a_name_is_refused_where_names_are_asked_for(secure_broker: Mosquitto) -> None:
    with LinkUnderTest(mqtt_config(secure_broker), waits=False) as client:
        wait_until(lambda: client.downs, "it is refused")
    assert client.downs[0] == REFUSED
