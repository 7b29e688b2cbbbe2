"""The socket of a service manager, for a test in the same process; `daemons.ServiceManager` is for a child's."""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType


class ServiceSocket:
    """Bound to `address`, as systemd writes it into NOTIFY_SOCKET. A context manager: closed on leaving."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0)

    def heard(self) -> list[str]:
        """What came since the last call."""
        messages = []
        with suppress(BlockingIOError):
            while True:
                messages.append(self._socket.recv(4096).decode())
        return messages

    def close(self) -> None:
        """As a manager that ends."""
        self._socket.close()

    def __enter__(self) -> ServiceSocket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
