"""Acknowledgements by hand: each on the connection that its message came from, in order of arrival.

A number is free for another message on the next connection: acknowledged late, it would take one away that was never
seen. So an acknowledgement whose connection is gone is dropped; the broker sends that message again, and the same
bytes are the same item.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Receipt:
    """One message that is to be acknowledged."""

    number: int
    is_settled: bool = False


class Receipts:
    """The unacknowledged messages of one client."""

    def __init__(self, acknowledge: Callable[[int], None]) -> None:
        """`acknowledge` sends one, by its message's number."""
        self._acknowledge = acknowledge
        self._pending: deque[Receipt] = deque()
        self._lock = threading.Lock()

    def arrived(self, number: int) -> Receipt:
        """A message came."""
        receipt = Receipt(number)
        with self._lock:
            self._pending.append(receipt)
        return receipt

    def settle(self, receipt: Receipt) -> None:
        """What the message brought is durable, or was refused for good."""
        # The lock is held while sending: a connection that ends meanwhile is not replaced before that is done.
        with self._lock:
            receipt.is_settled = True
            while self._pending and self._pending[0].is_settled:
                self._acknowledge(self._pending.popleft().number)

    def disconnected(self) -> None:
        """What has not been acknowledged never will be."""
        with self._lock:
            self._pending.clear()

    @property
    def pending(self) -> int:
        """Messages that were not acknowledged so far."""
        return len(self._pending)
