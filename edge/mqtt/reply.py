"""The reply to a question, on the asker's side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.decode import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One answer; `item` is its SHA-256 in hex, `ts` seconds of Unix time; `content`: whether its bytes are kept.

    ts_from:   who says so: "message", "exif", "file"; "arrival" where nothing does
    score:     cosine with the question at `exit_depth`; relevance: probability that it was asked for, None where the
               model is not calibrated
    text:      a note's first line, shortened; empty of a picture
    similar:   near-duplicates of it that are no results of their own; similar_items: SHA-256 in hex of the best of them
    """

    item: str
    score: float
    exit_depth: int
    ts: float
    source: str
    modality: str
    ts_from: str = "arrival"
    content: bool = True
    text: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    relevance: float | None = None
    similar: int = 0
    similar_items: tuple[str, ...] = ()

    @property
    def figures(self) -> str:
        """Relevance, by which results are ranked, where there is one, and score, as people read them."""
        likely = "" if self.relevance is None else f"relevance {100 * self.relevance:4.1f} %, "
        return f"{likely}score {self.score:.2f}"

    @property
    def company(self) -> str:
        """What to say behind all else of its near-duplicates, if there are any."""
        return f", and {self.similar} like it" if self.similar else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """See PROTOCOL.md, Query."""

    results: tuple[Result, ...]
    searched: int
    refined: int
    cut: bool
    took_ms: float
    query_ms: float
    filter_ms: float
    correct_ms: float
    left_out: int = 0
    final: bool = True


def read_reply(fields: Mapping[str, Any]) -> Reply:
    """What a later version adds is ignored. Raises DecodeError on what is no reply."""
    results = fields.get("results")
    if isinstance(results, list):
        results = [_only(Result, result) if isinstance(result, Mapping) else result for result in results]
    return decode(Reply, {**_only(Reply, fields), "results": results})


def _only(kind: type[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: fields[field.name] for field in dataclasses.fields(kind) if field.name in fields}
