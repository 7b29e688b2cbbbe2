"""`reminisce add`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from edge.adding import Sent, Uploader, find_pictures, printable
from edge.cli.settings import requester, settings
from edge.mqtt import Requester

PATIENCE_S = 15  # without news of an embedding: it is paused, or the board is very slow
_WAITS = {
    "full": "the device has to embed what it holds before it takes more (`reminisce status`)",
    "disk_full": "the disk of the device is full: make room there",
}


def add(options: argparse.Namespace) -> int:
    """Send pictures and notes, say what became of each; returns 1 when some were rejected."""
    config = settings(options.config)
    files, others = find_pictures(options.paths)
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        print(f"files of other kinds are left out ({kinds})", file=sys.stderr)
    teller = _Teller(as_json=options.json)
    uploader = Uploader(teller.wait, dict(options.meta))
    topics = requester(config).topics
    with requester(config, (topics.event, topics.state), uploader.heard) as client:
        _send(uploader, client, files, teller)
        _follow(uploader, client, teller)
    teller.sum_up(len(uploader.embedding))
    return 1 if teller.counted["rejected"] else 0


class _Teller:
    """Prints what became of files, and counts it."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._names: dict[str, Path] = {}
        self._waited: set[str] = set()
        self.counted: Counter[str] = Counter(accepted=0, duplicate=0, rejected=0)

    def tell(self, sent: Sent) -> None:
        """One file; it may come again, when it turns out to be unreadable after it was accepted."""
        file = sent.file
        if sent.item is not None:
            first = self._names.setdefault(sent.item, file)
            file = first if sent.is_late else file
        self.counted[sent.state] += 1
        self.counted["accepted"] -= sent.is_late
        if self._as_json:
            reason = {"reason": sent.reason} if sent.reason else {}
            shrunk = {"shrunk_from": sent.shrunk_from} if sent.shrunk_from else {}
            name = os.fsencode(file).decode(errors="backslashreplace")
            told = {"file": name, "state": sent.state, "item": sent.item, **reason, **shrunk}
            print(json.dumps(told), flush=True)
        elif sent.state == "rejected":
            _say(f"{printable(file)}: {sent.reason}")
        elif sent.shrunk_from and sent.state == "accepted":
            _say(f"{printable(file)}: sent smaller, {sent.shrunk_from / 1e6:.1f} MB are too many for one message")

    def wait(self, reason: str) -> None:
        """Nothing new is taken for now; said once."""
        if reason and reason not in self._waited:
            self._waited.add(reason)
            _say(f"waiting: {_WAITS.get(reason, reason)}; what was accepted is safe")

    def sum_up(self, embedding: int) -> None:
        """The last line."""
        if self._as_json:
            print(json.dumps({**self.counted, "embedding": embedding}))
            return
        kinds = {"accepted": "accepted", "duplicate": "there already", "rejected": "rejected"}
        said = ", ".join(f"{self.counted[state]} {word}" for state, word in kinds.items() if self.counted[state])
        more = f"; {embedding} of them will be found once they are embedded (`reminisce status`)" if embedding else ""
        print(f"{said or 'nothing'}{more}")


def _send(uploader: Uploader, client: Requester, files: list[Path], teller: _Teller) -> None:
    with tqdm(total=len(files), desc="adding", unit=" files", leave=False, disable=None) as bar:
        for sent in uploader.add(client, files):
            teller.tell(sent)
            bar.update(not sent.is_late)


def _follow(uploader: Uploader, client: Requester, teller: _Teller) -> None:
    count = len(uploader.embedding)
    with tqdm(total=count, desc="embedding", unit=" files", leave=False, disable=None) as bar:
        for one in uploader.follow(client, PATIENCE_S):
            bar.update()
            if one is not None:
                teller.tell(one)


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)  # above the bar
