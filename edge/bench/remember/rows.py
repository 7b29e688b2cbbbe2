"""What is compared: how the same items go up the same tower, from the plainest way to ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Way: TypeAlias = Literal["full", "equal", "confidence", "bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to remember.

    title:   for people
    way:     where items leave: at full depth; at the fixed exit that costs most nearly what ours does; where they are
             confident; where the bundle's policy says
    weights: see edge.config.MemoryConfig
    alone:   one item at a time, else in batches
    """

    name: str
    title: str
    way: Way
    weights: Literal["resident", "streamed"] = "resident"
    alone: bool = False


FULL, STREAMED_ALONE, OURS = "full-batched", "full-streamed-alone", "reminisce"
ROWS = (
    Row(name="full-alone", title="full depth, one by one", way="full", alone=True),
    Row(name=STREAMED_ALONE, title="full depth, layer-streamed (MEM)", way="full", weights="streamed", alone=True),
    Row(name=FULL, title="full depth, batched", way="full"),
    Row(name="fixed", title="fixed exit of equal cost, batched", way="equal"),
    Row(name="confidence-alone", title="confidence exit, one by one (BranchyNet)", way="confidence", alone=True),
    Row(name="confidence-batched", title="confidence exit, batched (Fluid)", way="confidence"),
    Row(name=OURS, title="Reminisce, resident", way="bundle"),
    Row(name="reminisce-streamed", title="Reminisce, streamed", way="bundle", weights="streamed"),
)  # fmt: skip
