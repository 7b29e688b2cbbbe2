"""The config that a command works with, and the daemon's door that it names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from edge.config import Config, load_config
from edge.mqtt import Requester, Topics, read_password

USERS_OWN = Path(".config/reminisce/config.yaml")  # below HOME: who this user is to the broker
INSTALLED = Path("/etc/reminisce/config.yaml")  # the daemon's


def config_file(chosen: Path | None) -> Path | None:
    """The file that was named, else the user's own, else the installed one, else none: the defaults."""
    places = (Path(os.environ.get("HOME", "/")) / USERS_OWN, INSTALLED)
    return chosen or next((place for place in places if place.exists()), None)


def settings(chosen: Path | None) -> Config:
    """Raises ConfigError."""
    file = config_file(chosen)
    return load_config(file) if file else Config()


def requester(
    config: Config,
    listen: tuple[str, ...] = (),
    on_message: Callable[[str, bytes], None] = lambda _topic, _payload: None,
) -> Requester:
    """A client of the broker that the config names. Raises UsageError."""
    return Requester(
        config.mqtt, Topics(config.device), read_password(config.mqtt, None), listen=listen, on_message=on_message
    )
