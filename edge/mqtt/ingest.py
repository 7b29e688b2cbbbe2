"""A client for ingest alone: a full inbox holds its acknowledgements and never blocks a question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from edge.config import MqttConfig
from edge.errors import RefusedError
from edge.items import Modality, Offer, Verdict
from edge.mqtt import replies
from edge.mqtt.link import Handlers, Incoming, Link, Session
from edge.mqtt.messages import MODALITIES, Parsed, UnanswerableError, parse_ingest, parse_raw
from edge.mqtt.receipts import Receipt, Receipts
from edge.mqtt.topics import Topics

Offered: TypeAlias = Callable[[Offer, Callable[[Verdict], None]], bool]
_RECEIVE_MAXIMUM = 16
_PATIENCE_S = 2.0  # a commit on a slow card; for longer the client must not be silent: the shortest keepalive is 5 s
_INTERNAL = RefusedError("internal", "the device made a mistake: its log says which")
_NO_PLACE = "the bundle in use takes no notes, its text tower is not calibrated for them: convert it again"
_BUSY = RefusedError("busy", "there is no room for it now: send it again later, or with QoS 1")


class Tell(Protocol):
    """Publishes an event; calls `then` once the broker has it."""

    def __call__(self, payload: bytes, then: Callable[[], None] | None = None) -> None: ...


class Ingest:
    """Takes items from `ingest` and `ingest/raw/<modality>`; acknowledges each once its fate is on disk, and told.

    Told means that the broker has the event: a kill in between would leave a sender waiting for it in vain.

    More than the inbox queues in memory is left with the broker: for a moment by not reading on, which costs nothing;
    where that is too short, by closing the connection until there is room again, after which all that was not settled
    comes a second time. To hold acknowledgements is not enough (mosquitto 2.0.11 lets its window grow).
    """

    def __init__(
        self,
        config: MqttConfig,
        topics: Topics,
        password: str | None,
        *,
        tell: Tell,
        on_up: Callable[[], None],
    ) -> None:
        """`on_up` is called when items can come."""
        self._topics, self._tell = topics, tell
        self._offer: Offered = lambda _offer, _settle: False
        self._modalities: Sequence[Modality] = MODALITIES
        session = Session(
            client_id=f"reminisce-{topics.device}-ingest",
            subscriptions=(topics.ingest, topics.raw("+")),
            keeps=True,
            receive_maximum=_RECEIVE_MAXIMUM,
            by_hand=True,
        )
        handlers = Handlers(on_message=self._came, on_up=on_up, on_down=lambda _: self._receipts.disconnected())
        self._link = Link(config, password, session, handlers)
        self._receipts = Receipts(self._link.acknowledge)
        self._suspending = threading.Lock()
        self._is_suspended = self._is_stopped = False
        self._has_room = threading.Event()

    def start(self, offer: Offered, modalities: Sequence[Modality] = MODALITIES) -> None:
        """Connect; returns at once. `offer` is the inbox's; what is of other `modalities` is refused."""
        self._offer, self._modalities = offer, modalities
        self._link.start()

    def stop(self) -> None:
        """Take no more. What was not acknowledged comes again."""
        self._is_stopped = True
        self._has_room.set()
        self._link.stop()

    def resume(self) -> None:
        """The inbox has room again."""
        with self._suspending:
            self._has_room.set()
            if not self._is_suspended:
                return
            self._is_suspended = False
        self._link.resume()  # waits for the client's thread, which may wait for the lock

    def _came(self, message: Incoming) -> None:
        receipt = self._receipts.arrived(message.number) if message.qos else None
        try:
            parsed = self._parse(message)
        except UnanswerableError as error:
            self._tell(replies.rejected_event(error, error.id), lambda: self._acknowledge(receipt))
            return
        except Exception:  # unsettled, it would hold up all behind it, and come again on each connection
            self._tell(replies.rejected_event(_INTERNAL, None), lambda: self._acknowledge(receipt))
            raise
        self._has_room.clear()
        while not self._offer(parsed.body, lambda verdict: self._settled(parsed, verdict, receipt)):
            if receipt is None:
                self._tell(replies.rejected_event(_BUSY, parsed.id))
                return
            if not self._wait_for_room():
                return
            self._has_room.clear()

    def _wait_for_room(self) -> bool:
        """False when the message comes again on another connection."""
        if self._is_suspended:  # this one is being ended already
            return False
        self._has_room.wait(_PATIENCE_S)
        # Under the lock: the inbox may have room again, and say so, before we have left.
        with self._suspending:
            if not self._has_room.is_set():
                self._is_suspended = True
                self._link.suspend()
            return not (self._is_suspended or self._is_stopped)

    def _parse(self, message: Incoming) -> Parsed[Offer]:
        modality = self._topics.modality(message.topic)
        if modality is None:
            parsed = parse_ingest(message.payload)
        else:
            parsed = parse_raw(modality, message.payload, message.user)
        if parsed.body.modality not in self._modalities:
            raise UnanswerableError("not_supported", _NO_PLACE, parsed.id)
        return parsed

    def _settled(self, parsed: Parsed[Offer], verdict: Verdict, receipt: Receipt | None) -> None:
        event = replies.verdict_event(verdict, parsed.id, parsed.warning)
        self._tell(event, lambda: self._acknowledge(receipt))

    def _acknowledge(self, receipt: Receipt | None) -> None:
        if receipt is not None:
            self._receipts.settle(receipt)
