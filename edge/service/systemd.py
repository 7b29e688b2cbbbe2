"""What systemd hands to a service in its environment, read once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Systemd:
    """All None when nothing but a shell started us.

    state:         StateDirectory=, where the memory lies
    credentials:   LoadCredential=, where the password lies
    notify_socket: where READY=1 and the like go
    watchdog_s:    the longest silence before we are killed and started anew
    """

    state: Path | None
    credentials: Path | None
    notify_socket: str | None
    watchdog_s: float | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Systemd:
        """Of `os.environ`."""
        # WATCHDOG_PID is another's when a service started us in turn.
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environ.get("WATCHDOG_USEC", "")
        return cls(
            state=_first_path(environ.get("STATE_DIRECTORY")),
            credentials=_first_path(environ.get("CREDENTIALS_DIRECTORY")),
            notify_socket=environ.get("NOTIFY_SOCKET") or None,
            watchdog_s=int(interval) / 1e6 if ours and re.fullmatch("0*[1-9][0-9]{0,17}", interval) else None,
        )


def _first_path(value: str | None) -> Path | None:
    return Path(value.split(":")[0]) if value else None
