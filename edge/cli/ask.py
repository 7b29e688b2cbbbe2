"""`reminisce ask`."""

from __future__ import annotations

import argparse
import json
import time

from edge.cli.settings import requester, settings
from edge.decode import DecodeError
from edge.errors import BrokerError
from edge.mqtt import Reply, read_reply

ONLINE_S = 5  # what is retained comes at once
ANSWER_S = 60  # a slow board, behind other questions


def ask(options: argparse.Namespace) -> int:
    """Print the answers."""
    config = settings(options.config)
    names = ("sort", "limit", "offset", "since", "until", "source", "modality", "min_relevance")
    fields = {"text": " ".join(options.text), **{name: getattr(options, name) for name in names}}
    is_all = not any(fields[name] for name in names[2:])
    with requester(config) as client:
        client.wait_until_online(ONLINE_S)
        reply = client.request(client.topics.query, fields, ANSWER_S)
    try:
        found = read_reply(reply)
    except DecodeError as error:
        raise BrokerError(f"the reply cannot be read ({error}): is the daemon of another version?") from None
    nothing = "nothing is remembered so far" if is_all else "nothing found"
    print(json.dumps(reply) if options.json else _text(found, options.offset + 1, nothing))
    return 0


def _text(reply: Reply, first: int, nothing: str) -> str:
    lines = [
        f"{rank}. {hit.source or hit.item[:12]}  score {hit.score:.2f}, {_day(hit.ts)}"
        for rank, hit in enumerate(reply.results, first)
    ]
    spent = f"{reply.took_ms:.0f} ms, {reply.searched} searched, {reply.refined} refined"
    return "\n".join([*(lines or [nothing]), spent])


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
