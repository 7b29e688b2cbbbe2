"""What the parts of the engine tell whoever runs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from edge.items import Outcome, Verdict
from edge.remember import Gate


@dataclass
class Told:
    """Everything that inbox and intake said, in order; threads: those that verdicts and outcomes came from."""

    verdicts: list[Verdict] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    drained: int = 0
    accepted: int = 0
    failures: list[BaseException] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.threads.add(threading.current_thread().name)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.threads.add(threading.current_thread().name)

    def drain(self) -> None:
        self.drained += 1

    def accept(self) -> None:
        self.accepted += 1
