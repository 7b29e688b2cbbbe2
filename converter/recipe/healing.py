"""What a recipe says of healing: progressive LoRA, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from converter.recipe.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class HealRecipe:
    """Progressive LoRA healing (paper, P-LoRA).

    windows:      [first, last] layers trained together, shallow to deep, all of them; [] takes the pivots of the exit
                  histogram that the probe finds
    tokens:       patch tokens kept of each item in training; 0 keeps all
    rate, epochs: LoRA's highest learning rate, and how often each item is seen
    captions:     weight of the captions' contrast; distillation: weight of the last exit's example
    """

    windows: tuple[tuple[int, ...], ...] = ()
    rank: int = 16
    epochs: int = 3
    batch: int = 96
    tokens: int = 64
    negatives: int = 1200
    rate: float = 3e-3
    head_rate: float = 5e-4
    captions: float = 1.0
    distillation: float = 1.0
    temperature: float = 0.05
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    def __post_init__(self) -> None:
        flat = [edge for window in self.windows for edge in window]
        starts = [window[0] for window in self.windows[1:] if window]
        ends = [window[-1] + 1 for window in self.windows[:-1] if window]
        require(
            (
                all(len(window) == 2 for window in self.windows)
                and flat == sorted(flat)
                and starts == ends
                and (not flat or flat[0] == 1),
                f"windows is {self.windows}: must be [first, last] layers that follow one another from 1",
            ),
            (self.rank >= 1, f"rank is {self.rank}: must be 1 or more"),
            (self.epochs >= 1, f"epochs is {self.epochs}: must be 1 or more"),
            (self.batch >= 2, f"batch is {self.batch}: must be 2 or more"),
            (self.tokens >= 0, f"tokens is {self.tokens}: must be 0 or more"),
            (self.rate > 0, f"rate is {self.rate}: must be above 0"),
            (self.captions + self.distillation > 0, "captions and distillation are 0: one must teach"),
            (self.temperature > 0, f"temperature is {self.temperature}: must be above 0"),
        )
