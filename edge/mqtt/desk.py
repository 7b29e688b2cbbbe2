"""The front desk, the first client and one for orders alone: says what the daemon is and does, takes questions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from edge.config import MqttConfig
from edge.errors import RefusedError
from edge.items import Answer, Instruction, Question
from edge.mqtt import replies
from edge.mqtt.link import Handlers, Incoming, Link, Outgoing, Session
from edge.mqtt.messages import UnanswerableError, parse_query, question, reply_to
from edge.mqtt.orders import instruction, parse_control
from edge.mqtt.topics import Topics
from edge.seldom import Seldom

Ask: TypeAlias = Callable[[Question, Callable[["Answer | RefusedError"], None]], bool]
Order: TypeAlias = Callable[[Instruction, Callable[["dict[str, Any] | RefusedError"], None]], bool]
_log = logging.getLogger(__name__)
_BUSY = RefusedError("busy", "too many are waiting: ask again later")


@dataclass(frozen=True, slots=True)
class _Sender:
    """Whom a reply goes to, and by which client."""

    link: Link
    topic: str
    qos: int
    correlation: bytes | None


class Desk:
    """Status, info, state and events out; queries and control in, each answered to its end exactly once.

    Orders have a connection of their own: on one with the questions they would wait behind a flood of them.

    ask, order: queue a question or an order; False when there is no room. Set by `start`.
    """

    def __init__(
        self,
        config: MqttConfig,
        topics: Topics,
        password: str | None,
        limit: int,
        on_online: Callable[[], None] = lambda: None,
    ) -> None:
        """`limit` is for questions that do not say how many answers they want.

        on_online: called when `online` was said, in a thread of a client
        """
        self._topics, self._limit, self._on_online = topics, limit, on_online
        self._info = self._state = b""
        self._takes_items = self._is_said = False
        self._saying = threading.Lock()
        self._unanswered = Seldom(_log)
        self._ask: Ask = lambda _question, _reply: False
        self._order: Order = lambda _what, _reply: False
        session = Session(
            client_id=f"reminisce-{topics.device}",
            subscriptions=(topics.query,),
            will=Outgoing(topics.status, replies.OFFLINE, is_retained=True),
        )
        orders = Session(client_id=f"reminisce-{topics.device}-control", subscriptions=(topics.control,))
        handlers = Handlers(on_message=self._question_came, on_up=self._introduce, on_down=self._lost)
        self._link = Link(config, password, session, handlers)
        self._orders = Link(config, password, orders, Handlers(on_message=self._order_came, on_up=self._say_online))

    def start(self, info: bytes, ask: Ask, order: Order) -> None:
        """Connect, introduce the device with `info` on each connection; returns at once."""
        self._info, self._ask, self._order = info, ask, order
        self._link.start()
        self._orders.start()

    def stop(self) -> None:
        """Say `offline` and leave: what is asked until the next start would be for nobody."""
        self._orders.stop()
        self._link.stop(Outgoing(self._topics.status, replies.OFFLINE, is_retained=True))

    def tell_event(self, payload: bytes, then: Callable[[], None] | None = None) -> None:
        """Publish an event; kept while the broker is away, up to a bound. `then` is called once the broker has it."""
        refusal = self._publish(Outgoing(self._topics.event, payload), then)
        if refusal is not None and then is not None:  # it never will
            then()

    def tell_state(self, payload: bytes) -> None:
        """Publish the state; the last one is told again on each connection."""
        self._state = payload
        self._publish(Outgoing(self._topics.state, payload, qos=0, is_retained=True))

    def announce(self) -> None:
        """The other client takes items now: say `online`. Before, they would be lost on their way."""
        self._takes_items = True
        self._say_online()

    def _introduce(self) -> None:
        self._publish(Outgoing(self._topics.info, self._info, is_retained=True))
        if self._state:
            self.tell_state(self._state)
        self._say_online()

    @property
    def trouble(self) -> str:
        """Why there is no connection, if that is known."""
        return self._link.trouble

    @property
    def is_online(self) -> bool:
        """Whether items, questions and orders reach us."""
        return self._takes_items and self._link.is_up and self._orders.is_up

    def _say_online(self) -> None:
        """Once a connection, as soon as all is true that it says."""
        with self._saying:
            if self._is_said or not self.is_online:
                return
            self._is_said = True
        self._publish(Outgoing(self._topics.status, replies.ONLINE, is_retained=True))
        self._on_online()

    def _lost(self, _reason: str) -> None:
        with self._saying:
            self._is_said = False

    def _question_came(self, message: Incoming) -> None:
        self._came(message, self._link, self._take_query)

    def _order_came(self, message: Incoming) -> None:
        self._came(message, self._orders, self._take_control)

    def _came(self, message: Incoming, link: Link, take: Callable[[bytes, _Sender], None]) -> None:
        if message.is_retained:  # nobody waits for its answer any more
            return
        topic = message.reply_topic or reply_to(message.payload)
        if topic is None or not self._topics.is_reply(topic):
            self._unanswered.say(logging.INFO, "a message to %s has no valid reply topic: not answered", message.topic)
            return
        sender = _Sender(link, topic, message.qos, message.correlation)
        try:
            take(message.payload, sender)
        except UnanswerableError as error:
            self._reply(sender, replies.error(error, error.id), error.id)

    def _take_query(self, payload: bytes, sender: _Sender) -> None:
        parsed = parse_query(payload)

        def reply(found: Answer | RefusedError) -> None:
            if isinstance(found, RefusedError):
                self._reply(sender, replies.error(found, parsed.id), parsed.id)
                return
            payload = replies.answer(found, parsed.id, parsed.warning)
            if found.is_final:
                self._reply(sender, payload, parsed.id)
            elif sender.link.is_up:  # it is out of date by the time that the broker is back
                _send(sender.link, _to(sender, payload))

        client = self._topics.asker(sender.topic)
        if not self._ask(question(parsed.body, self._limit, client), reply):
            self._reply(sender, replies.error(_BUSY, parsed.id), parsed.id)

    def _take_control(self, payload: bytes, sender: _Sender) -> None:
        parsed = parse_control(payload)

        def reply(done: dict[str, Any] | RefusedError) -> None:
            if isinstance(done, RefusedError):
                self._reply(sender, replies.error(done, parsed.id), parsed.id)
            else:
                self._reply(sender, replies.done(done, parsed.id, parsed.warning), parsed.id)

        if not self._order(instruction(parsed.body), reply):
            self._reply(sender, replies.error(_BUSY, parsed.id), parsed.id)

    def _reply(self, sender: _Sender, payload: bytes, id_: str | None) -> None:
        refusal = _send(sender.link, _to(sender, payload))
        if refusal is not None:
            _send(sender.link, _to(sender, replies.error(refusal, id_)))

    def _publish(self, message: Outgoing, then: Callable[[], None] | None = None) -> RefusedError | None:
        return _send(self._link, message, then)


def _to(sender: _Sender, payload: bytes) -> Outgoing:
    return Outgoing(sender.topic, payload, qos=sender.qos, correlation=sender.correlation)


def _send(link: Link, message: Outgoing, then: Callable[[], None] | None = None) -> RefusedError | None:
    """Returns why the broker would not take it."""
    try:
        link.publish(message, then)
    except RefusedError as error:
        _log.error("a message to %s cannot be sent: %s", message.topic, error.message)
        return error
    return None
