"""Every error that a user can meet, in one tree. The message says what is wrong, where, and what to do now.

    ReminisceError                 exit code 1: the work could not be done
    ├── UsageError                 exit code 2: the command line cannot be carried out as typed
    ├── ConfigError                exit code 2: a config or recipe file; carries every problem found in it
    ├── BundleError                a bundle that must not be run
    ├── RuntimeMissingError        no TFLite runtime is installed that can run a file
    ├── UnreadableItemError        an item whose content cannot be decoded
    ├── BrokerError                the broker cannot be reached, or refuses us
    ├── RefusedError               the daemon answered with an error; carries its code
    ├── MeterError                 a sensor of power that is gone, may not be read, or says what cannot be
    └── StoreError                 the memory on disk
        └── DiskFullError          no room; what was reported as accepted is safe

Libraries raise; only the two `cli` packages print and exit.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class ReminisceError(Exception):
    """Base of all errors of this project; `exit_code` is what the console command returns."""

    exit_code: ClassVar[int] = 1


class UsageError(ReminisceError, ValueError):
    """The command line names something that does not exist or cannot be combined."""

    exit_code = 2


class ConfigError(ReminisceError, ValueError):
    """A config or recipe file with one or more problems, all of them listed."""

    exit_code = 2

    def __init__(self, file: Path, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
        self.file = file
        self.problems = problems


class BundleError(ReminisceError, ValueError):
    """A bundle whose schema, size, checksum or paths are off; names the file."""


class RuntimeMissingError(ReminisceError, ImportError):
    """No installed TFLite runtime may run the file; names the package to install."""


class UnreadableItemError(ReminisceError, ValueError):
    """An item's content is damaged, of an unknown kind, or too large to decode."""


class BrokerError(ReminisceError, ConnectionError):
    """No connection to the broker, or none that is allowed to do what was asked; or nobody answers behind it."""


class RefusedError(ReminisceError, RuntimeError):
    """The daemon said no. code: one of the error codes of edge/mqtt/PROTOCOL.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message


class MeterError(ReminisceError, OSError):
    """A sensor of power is gone, may not be read, or says what cannot be; the daemon goes on with the next best."""


class StoreError(ReminisceError, OSError):
    """The state folder cannot be used as it is."""


class DiskFullError(StoreError):
    """The disk has no room for the next item; everything reported before is on disk."""
