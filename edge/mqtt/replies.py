"""Every payload that goes out. See PROTOCOL.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edge.errors import RefusedError
from edge.items import Answer, Explanation, Hit, Outcome, Verdict, happened_at
from edge.mqtt.messages import VERSION

ONLINE, OFFLINE = b"online", b"offline"
# One item, or one question, is over before a sensor has a new value: what they take is told as a mean, in `state`.
ENERGY = {"energy_kind": "none"}
ERROR_CODES = (
    "bad_request",
    "busy",
    "expired",
    "internal",
    "not_calibrated",
    "not_found",
    "not_supported",
    "stopping",
    "too_large",
    "unreadable",
    "version",
)
EVENT_TYPES = ("accepted", "duplicate", "rejected", "unknown", "indexed", "busy", "ready")


def encode(fields: Mapping[str, Any]) -> bytes:
    """A payload with its version first; fields that are None are left out."""
    kept = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"v": VERSION, **kept}, separators=(",", ":")).encode()


def answer(found: Answer, id_: str | None, warning: str) -> bytes:
    """A reply to a question: the only one, unless it streams."""
    return encode(
        {
            "id": id_,
            "final": found.is_final,
            "sequence": found.sequence,
            "results": [_result(hit) for hit in found.hits],
            "searched": found.searched,
            "left_out": found.left_out or None,
            "refined": found.refined,
            "cut": found.cut,
            "took_ms": round(found.total_ms, 2),
            "query_ms": round(found.query_ms, 2),
            "filter_ms": round(found.filter_ms, 2),
            "correct_ms": round(found.correct_ms, 2),
            "earlier_ms": round(found.earlier_ms, 2) or None,
            **ENERGY,
            "warning": warning or None,
        }
    )


def done(fields: Mapping[str, Any], id_: str | None, warning: str) -> bytes:
    """The reply to an order."""
    return encode({"id": id_, "final": True, **fields, "warning": warning or None})


def error(refusal: RefusedError, id_: str | None) -> bytes:
    """The reply to what cannot be answered."""
    return encode({"id": id_, "final": True, "error": _error(refusal.code, refusal.message)})


def verdict_event(verdict: Verdict, id_: str | None, warning: str) -> bytes:
    """What became of an offer."""
    return encode(
        {
            "type": verdict.state,
            "id": id_,
            "item": verdict.digest.hex() if verdict.digest is not None else None,
            "error": _error("unreadable", verdict.reason) if verdict.state == "rejected" else None,
            "warning": warning or None,
        }
    )


def rejected_event(refusal: RefusedError, id_: str | None) -> bytes:
    """A message that holds no valid offer, or one that there is no room for."""
    return encode({"type": "rejected", "id": id_, "error": _error(refusal.code, refusal.message)})


def outcome_event(outcome: Outcome) -> bytes:
    """What became of an accepted item."""
    fields: dict[str, Any] = {"type": outcome.state, "item": outcome.item.digest.hex()}
    if outcome.state == "indexed":
        fields |= {"exit_depth": outcome.depth, "ms": round(outcome.ms, 2), **ENERGY}
    else:
        fields |= {"error": _error("unreadable", outcome.reason)}
    return encode(fields)


def gate_event(gate: str) -> bytes:
    """The inbox closed, and why, or opened."""
    return encode({"type": "ready"} if gate == "open" else {"type": "busy", "reason": gate})


def _result(hit: Hit) -> dict[str, Any]:
    return {
        "item": hit.item.digest.hex(),
        "score": round(hit.score, 4),
        **({} if hit.relevance is None else {"relevance": round(hit.relevance, 4)}),
        "exit_depth": hit.depth,
        "ts": round(happened_at(hit.item), 3),
        "ts_from": hit.item.taken_from or "arrival",
        "source": hit.item.source,
        "modality": hit.item.modality,
        **({"meta": dict(hit.item.meta)} if hit.item.meta else {}),
        **({"content": False} if hit.item.evicted else {}),
        **({} if hit.text is None else {"text": hit.text}),
        **({"similar": hit.similar, "similar_items": [one.hex() for one in hit.similar_items]} if hit.similar else {}),
        **({} if hit.why is None else {"explain": _explain(hit.why)}),
    }


def _explain(why: Explanation) -> dict[str, Any]:
    """What is not known is left out."""
    fields = {
        "exit_depth": why.exit_depth,
        "rank": why.rank,
        "round": why.round,
        "coarse": _rounded(why.coarse),
        "coarse_relevance": _rounded(why.coarse_relevance),
        "fine": _rounded(why.fine),
        "fine_relevance": _rounded(why.fine_relevance),
        "start": why.start,
        "earlier": why.earlier or None,
        "ms": round(why.ms, 2),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}
