"""Meter and ledger of one daemon: what it does is counted here, and its joules come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from edge.config import PowerConfig
from edge.errors import RefusedError
from edge.items import Answer, Outcome, Question
from edge.power.discovery import ROOT, VCGENCMD
from edge.power.ledger import AHEAD, RECALL, REMEMBER, Ledger
from edge.power.meter import Kind
from edge.power.sampler import Sampler

_Reply: TypeAlias = Callable[["Answer | RefusedError"], None]
_Ask: TypeAlias = Callable[[Question, _Reply], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Figures of one kind, None where there is none; see edge/mqtt/PROTOCOL.md, State.

    power_w:        mean of the last ten seconds; power_source: the sensor that says it
    idle_w:         of the board with nothing to do; idle_age_s: how long ago that was measured
    j_per_item:     above the idle board; j_per_item_gross: with it; items_metered: what both are means over
    j_per_ahead:    of an item that was refined in idle time
    """

    energy_kind: Kind = "none"
    power_w: float | None = None
    power_source: str | None = None
    idle_w: float | None = None
    idle_age_s: float | None = None
    j_per_item: float | None = None
    j_per_item_gross: float | None = None
    items_metered: int | None = None
    j_per_query: float | None = None
    j_per_query_gross: float | None = None
    queries_metered: int | None = None
    j_per_ahead: float | None = None
    j_per_ahead_gross: float | None = None
    ahead_metered: int | None = None


class Metering:
    """A context manager: the meter is read in between. `ledger` knows what the compute thread does, once it is told."""

    def __init__(
        self,
        config: PowerConfig,
        failed: Callable[[BaseException], None] = lambda _: None,
        root: Path = ROOT,
        vcgencmd: str = VCGENCMD,
    ) -> None:
        """The arguments are those of `Sampler`."""
        self.ledger = Ledger()
        self._sampler = Sampler(config, self.ledger, failed, root, vcgencmd)

    def __enter__(self) -> Metering:
        self._sampler.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sampler.__exit__(kind, error, trace)

    def outcomes(self, tell: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """`tell`, with each item counted that can be found from now on."""

        def counted(outcome: Outcome) -> None:
            if outcome.state == "indexed":
                self.ledger.count(REMEMBER)
            tell(outcome)

        return counted

    def refined(self, items: int) -> None:
        """So many were refined ahead."""
        self.ledger.count(AHEAD, items)

    def questions(self, ask: _Ask) -> _Ask:
        """`ask`, with each answer counted."""

        def counted(question: Question, reply: _Reply) -> bool:
            def told(found: Answer | RefusedError) -> None:
                if isinstance(found, Answer) and found.is_final:
                    self.ledger.count(RECALL)
                reply(found)

            return ask(question, told)

        return counted

    def energy(self) -> Energy:
        """What is known by the kind of meter that is read now. Any thread may ask."""
        power = self._sampler.now()
        if power.kind == "none":
            return Energy()
        spent = self.ledger.spent(power.kind)
        items, queries, ahead = spent[REMEMBER], spent[RECALL], spent[AHEAD]
        return Energy(
            energy_kind=power.kind,
            power_w=_rounded(power.watts, 3),
            power_source=power.source,
            idle_w=_rounded(power.idle_w, 3),
            idle_age_s=_rounded(power.idle_age_s, 0),
            j_per_item=_rounded(items.net_j_each, 4),
            j_per_item_gross=_rounded(items.gross_j_each, 4),
            items_metered=items.count,
            j_per_query=_rounded(queries.net_j_each, 4),
            j_per_query_gross=_rounded(queries.gross_j_each, 4),
            queries_metered=queries.count,
            j_per_ahead=_rounded(ahead.net_j_each, 4),
            j_per_ahead_gross=_rounded(ahead.gross_j_each, 4),
            ahead_metered=ahead.count,
        )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
