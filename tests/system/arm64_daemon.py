"""The daemon in another Python, here an emulated ARM one: it remembers pictures and answers over a real broker.

python tests/system/arm64_daemon.py PYTHON
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from edge.adding import Uploader
from edge.demo import DEMO_PICTURES
from edge.demo.broker import tour_broker
from edge.mqtt import Requester, Topics, read_reply

ROOT = Path(__file__).parents[2]
PICTURES = ("canyon-wren", "back-yard", "black-canyon", "cameraman")
QUESTION, EXPECTED = "a bird", "canyon-wren"
PATIENCE_S = 120  # the emulation is some twenty times slower


def main(python: str) -> int:
    """Print what was measured; returns 1 when something was lost, or another picture found."""
    pictures = [DEMO_PICTURES / f"{name}.jpg" for name in PICTURES]
    uploader, topics = Uploader(), Topics("arm64")
    with tempfile.TemporaryDirectory(prefix="reminisce-arm64-") as name, tour_broker(Path(name)) as (mqtt, _):
        config = {"device": topics.device, "state": f"{name}/state", "mqtt": {"socket": mqtt.socket, "port": mqtt.port}}
        file = Path(name) / "config.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        start = time.monotonic()
        daemon = subprocess.Popen([python, "-m", "edge", "run", "--config", str(file)], cwd=ROOT)
        with Requester(mqtt, topics, None, listen=(topics.event, topics.state), on_message=uploader.heard) as client:
            client.wait_until_online(PATIENCE_S)
            ready_s = time.monotonic() - start
            states = [sent.state for sent in uploader.add(client, pictures)]
            late = [one for one in uploader.follow(client, PATIENCE_S) if one]
            reply = read_reply(client.request(topics.query, {"text": QUESTION}, PATIENCE_S))
        daemon.terminate()
        code = daemon.wait(PATIENCE_S)
    best = Path(reply.results[0].source).stem
    print(
        f"daemon on {python}: online after {ready_s:.1f} s, {len(states)} pictures, “{QUESTION}”: {best}"
        f" in {reply.took_ms:.0f} ms, exit code {code}"
    )
    kept = states == ["accepted"] * len(PICTURES) and not late and reply.searched == len(PICTURES)
    return 0 if kept and best == EXPECTED and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
