"""Stopping, suspending and resuming a link, also at the worst moment."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from brokers import Mosquitto
from edge.mqtt.link import Incoming, Outgoing
from links import WAYS, LinkUnderTest, mqtt_config
from onlooker import Onlooker
from waiting import wait_until

every_way = pytest.mark.parametrize(("protocol", "transport"), WAYS)
LAST = Outgoing("last", b"bye", is_retained=True)


@every_way
def test_last_message_is_out_when_stopping_is_done(mosquitto: Mosquitto, protocol: Any, transport: str) -> None:
    with LinkUnderTest(mqtt_config(mosquitto, protocol, transport)) as client:
        client.link.stop(LAST)
        assert not client.link.is_up
        with Onlooker(mosquitto.port) as onlooker:
            assert [one.payload for one in onlooker.wait_on("last")] == [b"bye"]
    assert client.downs == [""]


def test_stopping_without_a_connection_sends_nothing_and_takes_no_time(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    with LinkUnderTest(mqtt_config(mosquitto), waits=False) as client:
        wait_until(lambda: client.downs, "the first try fails")
        start = time.monotonic()
        client.link.stop(LAST, timeout_s=60)
        assert time.monotonic() - start < 30


def test_link_that_was_never_started_can_be_stopped(mosquitto: Mosquitto) -> None:
    client = LinkUnderTest(mqtt_config(mosquitto))
    client.link.stop(LAST)
    client.link.stop(LAST)
    assert (client.ups, client.downs) == (0, [])


def test_stopping_survives_that_the_connection_ends_in_that_moment(mosquitto: Mosquitto) -> None:
    with LinkUnderTest(mqtt_config(mosquitto)) as client:
        mosquitto.kill()
        client.wait_down()
        client.link.is_up = True  # as it was a moment ago
        client.link.stop(LAST)


def test_stopping_does_not_wait_for_a_broker_that_hangs(mosquitto: Mosquitto) -> None:
    with LinkUnderTest(mqtt_config(mosquitto)) as client:
        assert mosquitto._process
        mosquitto._process.send_signal(signal.SIGSTOP)
        start = time.monotonic()
        client.link.stop(LAST, timeout_s=0.5)
        assert 0.4 < time.monotonic() - start < 5
    mosquitto.kill()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A broker that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def test_stopping_does_not_wait_for_a_broker_that_says_nothing(silent: socket.socket, mosquitto: Mosquitto) -> None:
    mosquitto.port = silent.getsockname()[1]
    with LinkUnderTest(mqtt_config(mosquitto), waits=False) as client:
        client.link.publish(Outgoing("t", b"waits for a connection"))
        connection, _ = silent.accept()
        with connection:
            start = time.monotonic()
            client.link.stop(LAST, timeout_s=60)
            assert time.monotonic() - start < 30
            assert_closed(connection)


def test_connection_that_was_being_made_while_stopping_does_not_stay_open(
    silent: socket.socket, mosquitto: Mosquitto
) -> None:
    mosquitto.port = silent.getsockname()[1]
    begun, go_on = threading.Event(), threading.Event()
    client = LinkUnderTest(mqtt_config(mosquitto), waits=False)
    make = client.link._client._create_socket

    def make_slowly() -> Any:
        begun.set()
        go_on.wait(20)
        return make()

    client.link._client._create_socket = make_slowly  # type: ignore[method-assign]
    with client:
        assert begun.wait(20)
        stopping = threading.Thread(target=client.link.stop)
        stopping.start()
        wait_until(lambda: client.link._client._thread_terminate, "the client is told to end")
        go_on.set()
        stopping.join(20)
        with silent.accept()[0] as connection:
            assert_closed(connection)


def assert_closed(connection: socket.socket) -> None:
    connection.settimeout(5)
    while connection.recv(4096):
        pass


@every_way
def test_link_suspended_by_a_handler_is_silent_until_it_is_resumed(
    mosquitto: Mosquitto, protocol: Any, transport: str
) -> None:
    config = mqtt_config(mosquitto, protocol, transport)
    with Onlooker(mosquitto.port) as onlooker, LinkUnderTest(config, "t", keeps=True) as client:
        take = client.on_message

        def take_and_leave(message: Incoming) -> None:
            take(message)
            client.link.suspend()

        client.on_message = take_and_leave
        onlooker.say("t", b"1")
        wait_until(lambda: client.downs == [""], "it leaves")
        onlooker.say("t", b"2")
        time.sleep(0.5)
        assert [one.payload for one in client.came] == [b"1"]
        client.on_message = take
        client.link.resume()
        assert client.wait_for(3) == [b"1", b"1", b"2"]  # the first was not acknowledged


def test_link_can_be_resumed_while_it_is_connected(mosquitto: Mosquitto) -> None:
    with Onlooker(mosquitto.port) as onlooker, LinkUnderTest(mqtt_config(mosquitto), "t", keeps=True) as client:
        client.link.resume()
        client.wait_up(2)
        onlooker.say("t", b"1")
        assert client.wait_for(1) == [b"1"]
    assert client.downs == ["", ""]


def test_link_that_was_stopped_is_not_resumed(mosquitto: Mosquitto) -> None:
    with LinkUnderTest(mqtt_config(mosquitto)) as client:
        client.link.suspend()
        client.link.stop()
        client.link.resume()
        time.sleep(0.3)
        assert client.ups == 1
        assert client.link._client.socket() is None


@pytest.mark.parametrize("_try", range(5))
def test_link_stays_away_whichever_of_stopping_and_resuming_comes_first(mosquitto: Mosquitto, _try: int) -> None:
    with LinkUnderTest(mqtt_config(mosquitto)) as client:
        client.link.suspend()
        threads = [threading.Thread(target=call) for call in (client.link.resume, client.link.stop)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.link._client.socket() is None


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_messages_that_came_while_it_was_suspended_are_kept_and_those_for_another_session_are_not(
    mosquitto: Mosquitto, protocol: Any
) -> None:
    config = mqtt_config(mosquitto, protocol)
    with (
        Onlooker(mosquitto.port) as onlooker,
        LinkUnderTest(config, "t", keeps=True) as keeping,
        LinkUnderTest(config, "t") as forgetting,
    ):
        for client in (keeping, forgetting):
            client.link.suspend()
            client.wait_down()
        onlooker.say("t", b"1")
        for client in (keeping, forgetting):
            client.link.resume()
            client.wait_up(2)
        onlooker.say("t", b"2")
        assert keeping.wait_for(2) == [b"1", b"2"]
        assert forgetting.wait_for(1) == [b"2"]
