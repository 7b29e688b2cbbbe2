"""The second client, for ingest alone: a full inbox holds its acknowledgements and never blocks a question."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from edge.config import MqttConfig
from edge.errors import RefusedError
from edge.items import Offer, Verdict
from edge.mqtt import replies
from edge.mqtt.link import Handlers, Incoming, Link, Session
from edge.mqtt.messages import Parsed, UnanswerableError, parse_ingest, parse_raw
from edge.mqtt.receipts import Receipt, Receipts
from edge.mqtt.topics import Topics

Offered: TypeAlias = Callable[[Offer, Callable[[Verdict], None]], bool]
_RECEIVE_MAXIMUM = 16
_BUSY = RefusedError("busy", "there is no room for it now: send it again later, or with QoS 1")


class Ingest:
    """Takes items from `ingest` and `ingest/raw/<modality>`; acknowledges each once its fate is on disk.

    More than the inbox queues in memory is left with the broker: the connection is closed until there is room again,
    because a broker does not stop sending when acknowledgements are held (mosquitto 2.0.11 lets its window grow).

    is_open: what is sent now comes here, if only later; before, the broker knows nobody whom it is for
    """

    def __init__(
        self,
        config: MqttConfig,
        topics: Topics,
        password: str | None,
        tell: Callable[[bytes], None],
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        """`tell` publishes an event; `on_open` is called each time that `is_open` becomes true."""
        self._topics, self._tell, self._on_open = topics, tell, on_open
        self.is_open = False
        self._offer: Offered = lambda _offer, _settle: False
        session = Session(
            client_id=f"reminisce-{topics.device}-ingest",
            subscriptions=(topics.ingest, topics.raw("+")),
            keeps=True,
            receive_maximum=_RECEIVE_MAXIMUM,
            by_hand=True,
        )
        handlers = Handlers(on_message=self._came, on_up=self._up, on_down=self._down)
        self._link = Link(config, password, session, handlers)
        self._receipts = Receipts(self._link.acknowledge)
        self._is_suspended = False

    def start(self, offer: Offered) -> None:
        """Connect; returns at once. `offer` is the inbox's."""
        self._offer = offer
        self._link.start()

    def stop(self) -> None:
        """Take no more. What was not acknowledged comes again."""
        self._link.stop()

    def resume(self) -> None:
        """The inbox has room again."""
        if self._is_suspended:
            self._is_suspended = False
            self._link.resume()

    def _up(self) -> None:
        self.is_open = True
        self._on_open()

    def _down(self, _reason: str) -> None:
        self.is_open = self._is_suspended
        self._receipts.disconnected()

    def _came(self, message: Incoming) -> None:
        receipt = self._receipts.arrived(message.number) if message.qos else None
        try:
            parsed = self._parse(message)
        except UnanswerableError as error:
            self._tell(replies.rejected_event(error, error.id))
            self._acknowledge(receipt)
            return
        if self._offer(parsed.body, lambda verdict: self._settled(parsed, verdict, receipt)):
            return
        if receipt is None:
            self._tell(replies.rejected_event(_BUSY, parsed.id))
        else:
            self._is_suspended = True
            self._link.suspend()

    def _parse(self, message: Incoming) -> Parsed[Offer]:
        modality = self._topics.modality(message.topic)
        if modality is None:
            return parse_ingest(message.payload)
        return parse_raw(modality, message.payload, message.user)

    def _settled(self, parsed: Parsed[Offer], verdict: Verdict, receipt: Receipt | None) -> None:
        self._tell(replies.verdict_event(verdict, parsed.id, parsed.warning))
        self._acknowledge(receipt)

    def _acknowledge(self, receipt: Receipt | None) -> None:
        if receipt is not None:
            self._receipts.settle(receipt)
