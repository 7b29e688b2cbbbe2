"""sd_notify: READY, RELOADING, STOPPING, and a watchdog that is fed by progress, not by a timer."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from edge.service.systemd import Systemd

_SHARE = 4  # of the watchdog's interval: how often it is fed at most, and how long an idle thread may wait
_IDLE_S = 1.0
_PATIENCE_S = 5  # with a manager that is slow to read what it is told once
_START_S = 600  # for a million items on a slow card; a start that hangs is noticed as late as that


class Notifier:
    """Talks to the service manager; says nothing when there is none. Any thread may call."""

    def __init__(self, systemd: Systemd) -> None:
        self._socket: socket.socket | None = None
        self._watchdog_s = systemd.watchdog_s
        self._fed_at = float("-inf")
        if systemd.notify_socket is not None:
            address = systemd.notify_socket
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _PATIENCE_S, 0))
            with contextlib.suppress(OSError):
                self._socket.connect("\0" + address[1:] if address.startswith("@") else address)

    @property
    def tick_s(self) -> float:
        """How often whoever calls `progress` must do so at least."""
        return min(self._watchdog_s / _SHARE, _IDLE_S) if self._watchdog_s else _IDLE_S

    def progress(self) -> None:
        """The work goes on: feeds the watchdog, often enough and not more."""
        now = time.monotonic()
        if self._watchdog_s is not None and now - self._fed_at >= self._watchdog_s / _SHARE / 2:
            self._fed_at = now
            self._send("WATCHDOG=1", socket.MSG_DONTWAIT)  # a manager that does not read must not stop this thread

    def starting(self) -> None:
        """A large memory takes longer to open than systemd waits by itself."""
        self._send(f"STATUS=opening the memory\nEXTEND_TIMEOUT_USEC={_START_S * 1_000_000}")

    def ready(self, status: str) -> None:
        """Up, or up again after `reloading`."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Until the next `ready`; with the time, which Type=notify-reload insists on."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """On the way down."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Nothing is said after it."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, text: str, how: int = 0) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the manager is restarting, or hangs
                self._socket.send(text.encode(), how)
