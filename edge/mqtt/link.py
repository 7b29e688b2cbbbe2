"""One connection to the broker, kept up: MQTT 5 or 3.1.1 over TCP, TLS or a Unix socket.

The traps that this file is about were measured with mosquitto 2.0.11 and paho 2.2: see PROTOCOL.md, "Brokers".
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config import PAYLOAD_BYTES, MqttConfig
from edge.errors import RefusedError, UsageError
from edge.mqtt.deliveries import Deliveries

PACKET_BYTES = PAYLOAD_BYTES + (256 << 10)  # a payload with its topic and properties
_AROUND_BYTES = 4 << 10  # what topic and properties of our own messages take at most
_WILL_DELAY_S = 10  # a restart within it does not show as offline
_SLOWEST_RETRY_S = 30
_SHORT_S, _OFTEN = 5.0, 3  # connections that last no longer, so many in a row, are suspicious
_QUEUED = 10_000  # messages that wait for a connection; more would eat the memory while the broker is away
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that came. reply_topic, correlation and user are of MQTT 5 alone. number: to acknowledge it by."""

    topic: str
    payload: bytes
    qos: int
    number: int
    is_retained: bool
    reply_topic: str | None
    correlation: bytes | None
    user: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send."""

    topic: str
    payload: bytes
    qos: int = 1
    is_retained: bool = False
    correlation: bytes | None = None
    reply_topic: str | None = None
    user: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What the broker is told about a client.

    keeps:           whether it keeps messages for us while we are away
    receive_maximum: unacknowledged messages that it may send at once; an initial brake only
    by_hand:         whether messages are acknowledged by `Link.acknowledge` alone
    will:            what it publishes when we are lost
    """

    client_id: str
    subscriptions: tuple[str, ...]
    keeps: bool = False
    receive_maximum: int | None = None
    by_hand: bool = False
    will: Outgoing | None = None


def _nothing(_: Any = None) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """Called in the client's thread: they may parse and enqueue, nothing that takes time.

    on_up: the broker has subscribed us; on_down: the connection ended, or none could be made, and why (empty: we left)
    """

    on_message: Callable[[Incoming], None]
    on_up: Callable[[], None] = _nothing
    on_down: Callable[[str], None] = _nothing


def read_password(config: MqttConfig, credentials: Path | None) -> str | None:
    """The password: from systemd's credentials, else from the file that the config names. Raises UsageError."""
    given = credentials / "mqtt.password" if credentials else None
    path = given if given and given.is_file() else Path(config.password_file) if config.password_file else None
    if path is None or config.username is None:
        return None
    try:
        if path != given and path.stat().st_mode & 0o077:
            raise UsageError(f"mqtt.password_file: {path} can be read by others: run `chmod 600 {path}`")
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"mqtt.password_file: {path} cannot be read: {error}") from None


class Link:
    """A client that connects in the background, subscribes on each connection, and comes back by itself."""

    def __init__(self, config: MqttConfig, password: str | None, session: Session, handlers: Handlers) -> None:
        """Raises UsageError when the certificate file cannot be used. Nothing is sent before `start`."""
        self._config, self._session, self._handlers = config, session, handlers
        self.is_v5 = config.protocol == 5
        self.is_up = self._is_connected = False
        self.largest_payload = PAYLOAD_BYTES
        self._largest_packet = PACKET_BYTES
        self._last_down = ""
        self._is_leaving = self._is_stopped = False
        self._turning = threading.Lock()  # of stop and resume; the client's thread, which both wait for, never takes it
        self._up_at, self._short = 0.0, 0
        self._deliveries = Deliveries()
        self._last_sent: paho.MQTTMessageInfo | None = None
        options: dict[str, Any] = {} if self.is_v5 else {"clean_session": not session.keeps}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=session.client_id,
            protocol=paho.MQTTv5 if self.is_v5 else paho.MQTTv311,
            transport="unix" if config.socket else "tcp",
            manual_ack=session.by_hand,
            **options,
        )
        self._set_up(password)

    def start(self) -> None:
        """Connect in a thread of the client; returns at once."""
        address = (self._config.socket or self._config.host, self._config.port)
        options: dict[str, Any] = {}
        if self.is_v5:
            # From the first connection on: a session that was once begun clean is not kept by the broker.
            options = {"clean_start": not self._session.keeps, "properties": self._connect_properties()}
        self._client.connect_async(*address, self._config.keepalive_s, **options)
        self._client.loop_start()

    def stop(self, last: Outgoing | None = None, timeout_s: float = 2.0) -> None:
        """Send what waits and one last message, if there is a connection, and end it."""
        if last is not None and self.is_up:
            self._send(last)
        if self._last_sent is not None and self.is_up:  # the broker takes them in order
            with contextlib.suppress(ValueError, RuntimeError):  # the connection has just ended, or the queue is full
                self._last_sent.wait_for_publish(timeout_s)
        with self._turning:
            self._is_stopped = True
            self._leave()

    def suspend(self) -> None:
        """End the connection from within a handler; `resume` makes it anew."""
        self._is_leaving = True
        self._client.disconnect()

    def resume(self) -> None:
        """Connect again after `suspend`, unless it was stopped meanwhile; not from within a handler."""
        with self._turning:
            if not self._is_stopped:
                self._leave()
                self._is_leaving = False
                self.start()

    def _leave(self) -> None:
        """The connection has ended on return, and `on_down` was called."""
        self._is_leaving = True
        self._client.disconnect()
        self._client.loop_stop()
        self._client.disconnect()  # of a connection that was being made: the client's thread left it open

    def publish(self, message: Outgoing, then: Callable[[], None] | None = None) -> None:
        """Send a message, or keep it until there is a connection (QoS 1).

        Raises RefusedError when it is too large, or too many are kept.

        then: called when the broker has it, in any thread
        The size is checked here, because the client does not, and a broker that refuses a packet is sent the same one
        for ever.
        """
        sizes = (len(message.payload), self.largest_payload), (_packet_bytes(message), self._largest_packet)
        for size, most in sizes:
            if size > most:
                raise RefusedError("too_large", f"the message has {size} bytes, the broker takes {most}")
        sent = self._send(message)
        if sent.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            raise RefusedError("busy", f"{_QUEUED} messages wait for the broker already")
        if then is not None:
            self._deliveries.expect(sent.mid, then)

    def acknowledge(self, number: int) -> None:
        """Tell the broker that a QoS 1 message need not be sent again."""
        self._client.ack(number, 1)

    def _send(self, message: Outgoing) -> paho.MQTTMessageInfo:
        properties = None
        if self.is_v5:
            properties = _properties(PacketTypes.PUBLISH)
            if message.correlation is not None:
                properties.CorrelationData = message.correlation
            if message.reply_topic is not None:
                properties.ResponseTopic = message.reply_topic
            if message.user:
                properties.UserProperty = list(message.user)
        sent = self._client.publish(message.topic, message.payload, message.qos, message.is_retained, properties)
        self._last_sent = sent
        return sent

    def _set_up(self, password: str | None) -> None:
        client, config, will = self._client, self._config, self._session.will
        client.reconnect_delay_set(1, _SLOWEST_RETRY_S)
        client.max_queued_messages_set(_QUEUED)
        if config.username is not None:
            client.username_pw_set(config.username, password)
        if config.tls_ca is not None:
            client.tls_set_context(_tls(config.tls_ca))
        if will is not None:
            properties = None
            if self.is_v5:
                properties = _properties(PacketTypes.WILLMESSAGE)
                properties.WillDelayInterval = _WILL_DELAY_S
            client.will_set(will.topic, will.payload, will.qos, will.is_retained, properties)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._came
        client.on_publish = lambda _client, _data, number, _code, _properties: self._deliveries.arrived(number)
        client.on_socket_open = self._opened

    def _connect_properties(self) -> Properties:
        properties = _properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = PACKET_BYTES  # the broker drops what is larger instead of sending it to us
        if self._session.keeps:
            properties.SessionExpiryInterval = self._config.session_s
        if self._session.receive_maximum is not None:
            properties.ReceiveMaximum = self._session.receive_maximum
        return properties

    def _connected(
        self, client: paho.Client, _data: Any, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._down(f"the broker refuses the connection: {code}")
            return
        self._largest_packet = getattr(properties, "MaximumPacketSize", PACKET_BYTES)  # the client ignores it
        self.largest_payload = max(0, min(PAYLOAD_BYTES, self._largest_packet - _AROUND_BYTES))
        self._is_connected, self._up_at = True, time.monotonic()
        self._last_down = ""
        _log.info("%s: connected to the broker", self._session.client_id)
        if self._session.subscriptions:
            client.subscribe([(topic, 1) for topic in self._session.subscriptions])
        # A session that the broker has kept is subscribed; what waited in it may come before the answer does.
        if flags.session_present or not self._session.subscriptions:
            self._up()

    def _subscribed(
        self, _client: paho.Client, _data: Any, _number: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        if refused := [str(code) for code in codes if code.is_failure]:
            _log.error("%s: the broker refuses a subscription: %s", self._session.client_id, ", ".join(refused))
        if not self.is_up:
            self._up()

    def _up(self) -> None:
        self.is_up = True
        self._hand_over("the connection", self._handlers.on_up)

    def _opened(self, _client: paho.Client, _data: Any, opened: Any) -> None:
        if self._is_leaving:  # the client would go on, and wait for an answer to what it has queued
            opened.close()
            raise ConnectionAbortedError
        # With Nagle's algorithm on either side a small QoS 1 request takes 44 ms instead of half a millisecond.
        if opened.family in {socket.AF_INET, socket.AF_INET6}:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _not_connected(self, _client: paho.Client, _data: Any) -> None:
        if not self._is_leaving:
            self._down(f"no connection to the broker: {sys.exc_info()[1]}")

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        was_connected, self._is_connected, self.is_up = self._is_connected, False, False
        if was_connected and not self._is_leaving:
            self._down(f"the connection to the broker ended: {code}{self._suspicion()}")
        else:
            self._hand_over("the end of the connection", lambda: self._handlers.on_down(""))

    def _suspicion(self) -> str:
        # Two clients of one name throw each other out for ever, and mosquitto tells neither of them.
        self._short = self._short + 1 if time.monotonic() - self._up_at < _SHORT_S else 0
        if self._short < _OFTEN:
            return ""
        return f"; {self._short} times within seconds: is there another client named {self._session.client_id}?"

    def _down(self, reason: str) -> None:
        if reason != self._last_down:  # said once, not at every try
            self._last_down = reason
            _log.warning("%s: %s", self._session.client_id, reason)
        self._hand_over("the end of the connection", lambda: self._handlers.on_down(reason))

    def _came(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties if self.is_v5 else None
        self._hand_over("a message", lambda: self._handlers.on_message(_incoming(message, properties)))

    def _hand_over(self, what: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - a mistake of ours; it would end the client's thread, and nobody would notice
            _log.exception("%s: %s could not be handled", self._session.client_id, what)


def _properties(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return properties


def _packet_bytes(message: Outgoing) -> int:
    """The size of a packet, or a little more."""
    texts = [message.topic, message.reply_topic or "", *(text for pair in message.user for text in pair)]
    return sum(len(text.encode()) + 3 for text in texts) + len(message.correlation or b"") + len(message.payload) + 32


def _incoming(message: paho.MQTTMessage, properties: Properties | None) -> Incoming:
    return Incoming(
        topic=message.topic,
        payload=bytes(message.payload),
        qos=message.qos,
        number=message.mid,
        is_retained=message.retain,
        reply_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
        user=tuple(getattr(properties, "UserProperty", ())),
    )


def _tls(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise UsageError(f"mqtt.tls_ca: {authority} cannot be used: {error}") from None
