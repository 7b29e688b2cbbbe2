"""One connection to the broker, kept up: MQTT 5 or 3.1.1 over TCP, TLS or a Unix socket.

The traps that this file is about were measured with mosquitto 2.0.11 and paho 2.2: see PROTOCOL.md, "Brokers".
"""

from __future__ import annotations

import logging
import socket
import ssl
import sys
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

PACKET_BYTES = PAYLOAD_BYTES + (256 << 10)  # a payload with its topic and properties
_AROUND_BYTES = 4 << 10  # what topic and properties of our own messages take at most
_WILL_DELAY_S = 10  # a restart within it does not show as offline
_SLOWEST_RETRY_S = 30
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

    on_up: subscribed; on_down: the connection ended, or none could be made, and why (empty: we left)
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
        self.is_up = False
        self.largest_payload = PAYLOAD_BYTES
        self._last_down = ""
        self._is_leaving = False
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
        """Send one last message, if there is a connection, and end it."""
        if last is not None and self.is_up:
            self._send(last).wait_for_publish(timeout_s)
        self._is_leaving = True
        self._client.disconnect()
        self._client.loop_stop()

    def suspend(self) -> None:
        """End the connection from within a handler; `resume` makes it anew."""
        self._is_leaving = True
        self._client.disconnect()

    def resume(self) -> None:
        """Connect again after `suspend`; not from within a handler."""
        self._client.loop_stop()
        self._is_leaving = False
        self.start()

    def publish(self, message: Outgoing) -> None:
        """Send a message, or keep it until there is a connection (QoS 1). Raises RefusedError when it is too large.

        The size is checked here, because the client does not, and a broker that refuses a packet is sent the same one
        for ever.
        """
        if len(message.payload) > self.largest_payload:
            size = f"{len(message.payload)} bytes, the broker takes {self.largest_payload}"
            raise RefusedError("too_large", f"the message has {size}")
        if self._send(message).rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            _log.warning("a message to %s was dropped: the broker has been away for too long", message.topic)

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
        return self._client.publish(message.topic, message.payload, message.qos, message.is_retained, properties)

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
        client.on_subscribe = lambda *_: self._handlers.on_up()
        client.on_disconnect = self._disconnected
        client.on_message = self._came
        client.on_socket_open = _no_delay

    def _connect_properties(self) -> Properties:
        properties = _properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = PACKET_BYTES  # the broker drops what is larger instead of sending it to us
        if self._session.keeps:
            properties.SessionExpiryInterval = self._config.session_s
        if self._session.receive_maximum is not None:
            properties.ReceiveMaximum = self._session.receive_maximum
        return properties

    def _connected(
        self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._down(f"the broker refuses the connection: {code}")
            return
        limit = getattr(properties, "MaximumPacketSize", None)  # the client ignores it
        if limit is not None:
            self.largest_payload = max(0, min(PAYLOAD_BYTES, limit - _AROUND_BYTES))
        self.is_up = True
        self._last_down = ""
        _log.info("%s: connected to the broker", self._session.client_id)
        if self._session.subscriptions:
            client.subscribe([(topic, 1) for topic in self._session.subscriptions])
        else:
            self._handlers.on_up()

    def _not_connected(self, _client: paho.Client, _data: Any) -> None:
        self._down(f"no connection to the broker: {sys.exc_info()[1]}")

    def _disconnected(self, _client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        was_up, self.is_up = self.is_up, False
        if was_up and not self._is_leaving:
            self._down(f"the connection to the broker ended: {code}")
        else:
            self._handlers.on_down("")

    def _down(self, reason: str) -> None:
        if reason != self._last_down:  # said once, not at every try
            self._last_down = reason
            _log.warning("%s: %s", self._session.client_id, reason)
        self._handlers.on_down(reason)

    def _came(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            self._handlers.on_message(_incoming(message, message.properties if self.is_v5 else None))
        except Exception:  # noqa: BLE001 - one message must not end the service; it is a mistake of ours all the same
            _log.exception("a message could not be handled")


def _properties(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return properties


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


def _no_delay(_client: paho.Client, _data: Any, opened: Any) -> None:
    # With Nagle's algorithm on either side a small QoS 1 request takes 44 ms instead of half a millisecond.
    if opened.family in {socket.AF_INET, socket.AF_INET6}:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
