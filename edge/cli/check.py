"""`reminisce check`."""

from __future__ import annotations

import argparse
import json
import os

from edge.cli.settings import config_file, settings
from edge.mqtt import Requester, Topics, read_password
from edge.service import Systemd


def check(options: argparse.Namespace) -> int:
    """Say what the daemon would run with. Raises what it would refuse to start with."""
    from edge.daemon import state_folder  # noqa: PLC0415 - takes as long as all the others together
    from edge.engine import open_bundle  # noqa: PLC0415
    from edge.runtime import choose_runtime  # noqa: PLC0415

    config = settings(options.config)
    systemd = Systemd.from_environ(os.environ)
    Requester(config.mqtt, Topics(config.device), read_password(config.mqtt, systemd.credentials))
    bundle = open_bundle(config)
    where = config.mqtt.socket or f"{config.mqtt.host}:{config.mqtt.port}"
    found = {
        "config": str(config_file(options.config) or "the defaults"),
        "device": config.device,
        "state": str(state_folder(config, systemd)),
        "bundle": str(bundle.folder),
        "model": bundle.manifest.model,
        "files": len(bundle.manifest.files),
        "runtime": choose_runtime(config.runtime.backend),
        "broker": f"{where}{' with TLS' if config.mqtt.tls_ca else ''}, MQTT {config.mqtt.protocol}",
    }
    width = max(map(len, found))
    lines = [f"{name:{width}}  {value}" for name, value in found.items()]
    print(json.dumps(found) if options.json else "\n".join([*lines, "all right"]))
    return 0
