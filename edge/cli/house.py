"""`reminisce forget` and `reminisce pin`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from typing import Any

from edge.cli.ask import ONLINE_S
from edge.cli.example import read_example
from edge.cli.settings import requester, settings
from edge.errors import UsageError

ANSWER_S = 3_600  # a large memory on a slow card, index and database written anew
_AT_ONCE = 500  # items an order: it has at most 64 KiB
_UNITS_S = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


def forget(options: argparse.Namespace) -> int:
    """Print how many items are gone; returns 1 when not all that were named are."""
    counts = _order(options, "forget", {"force": True} if options.force else {})
    count, kept = (sum(each[name] for each in counts) for name in ("count", "kept"))
    stay = f", {kept} pinned and kept" if kept else ""
    print(json.dumps({"forgotten": count, "kept": kept}) if options.json else f"{count} forgotten{stay}")
    return int(count < len(set(options.items)))


def pin(options: argparse.Namespace) -> int:
    """Print how many items it was; returns 1 when some that were named are not there."""
    op = "unpin" if options.undo else "pin"
    count = sum(each["count"] for each in _order(options, op, {}))
    print(json.dumps({f"{op}ned": count}) if options.json else f"{count} {op}ned")
    return int(count < len(set(options.items)))


def age(text: str) -> float:
    """-> seconds."""
    found = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number and h, d or w (hours, days, weeks), as 90d")
    return int(found[1]) * _UNITS_S[found[2]]


def _order(options: argparse.Namespace, op: str, more: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies. Raises UsageError when nothing says which items."""
    chosen = {"source": options.source, "since": options.since, "until": options.until}
    chosen |= {"older_than_s": options.older_than, "meta": dict(options.meta) or None}
    fields = {name: value for name, value in chosen.items() if value is not None} | more
    if not options.items and not fields.keys() & chosen.keys():
        raise UsageError(f"{op}: which items? Name them, or use --source, --since, --until, --older-than or --meta")
    items = list(dict.fromkeys(read_example(name).item for name in options.items))
    config = settings(options.config)
    with requester(config) as client:
        client.wait_until_online(ONLINE_S)
        orders = [{"op": op, "items": part, **fields} for part in _parts(items)] or [{"op": op, **fields}]
        return [client.request(client.topics.control, order, ANSWER_S) for order in orders]


def _parts(items: list[str]) -> Iterator[list[str]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
