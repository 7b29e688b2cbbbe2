"""`reminisce ask`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from edge.cli.example import read_example, replies
from edge.cli.settings import requester, settings
from edge.cli.sheet import write_html
from edge.decode import DecodeError
from edge.errors import BrokerError, UsageError
from edge.mqtt import Reply, Result, read_reply

ONLINE_S = 5  # what is retained comes at once
ANSWER_S = 60  # a slow board, behind other questions


def ask(options: argparse.Namespace) -> int:
    """Print the answers; those of a question that streams as they come, the last one last."""
    if not options.text and options.like is None:
        raise UsageError("ask: what? Say what to look for, or name an example with --like")
    example = None if options.like is None else read_example(options.like)
    config = settings(options.config)
    names = ("sort", "limit", "offset", "since", "until", "source", "modality", "min_relevance")
    asked = {name: getattr(options, name) for name in names} | {"meta": dict(options.meta) or None}
    fields = {
        "text": " ".join(options.text) or None,
        **asked,
        "stream": options.stream or None,
        "collapse": False if options.all else None,
    }
    nothing = (
        "nothing found"
        if any(asked[name] for name in asked.keys() - set(names[:2]))
        else "nothing is remembered so far"
    )
    with requester(config) as client:
        client.wait_until_online(ONLINE_S)
        for reply in replies(client, fields, example, ANSWER_S):
            found = _read(reply)
            print(json.dumps(reply) if options.json else _text(found, options.offset + 1, nothing), flush=True)
    if options.html is not None:
        write_html(options.html, fields["text"] or f"like {options.like}", found)
    return 0


def _read(reply: Mapping[str, Any]) -> Reply:
    try:
        return read_reply(reply)
    except DecodeError as error:
        raise BrokerError(f"the reply cannot be read ({error}): is the daemon of another version?") from None


def _text(reply: Reply, first: int, nothing: str) -> str:
    lines = [
        f"{rank}. {hit.source or hit.item[:12]}  {hit.figures}, {_day(hit.ts)}"
        f"{'' if hit.content else ', file not kept'}{hit.company}{_said(hit)}"
        for rank, hit in enumerate(reply.results, first)
    ]
    spent = f"{reply.took_ms:.0f} ms, {reply.searched} searched, {reply.refined} refined"
    if reply.left_out:
        spent += f", {reply.left_out} left out, which only an earlier model has embedded"
    if not reply.final:
        spent += " so far\n"
    return "\n".join([*(lines or [nothing]), spent])


def _said(hit: Result) -> str:
    """A note's first line, on a line of its own."""
    return f"\n   {hit.text}" if hit.text else ""


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
