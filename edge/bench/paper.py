"""`reminisce bench paper`: what the paper reports beside what was measured here, tower by tower.

Source: Reminisce (Nature Communications 2025): supplementary table 4 and figures; tower names are ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bench.merging import merging
from edge.bench.recall.device import POOL
from edge.bench.recall.figures import Report as Recalled
from edge.bench.remember.figures import Report as Remembered
from edge.bench.remember.rows import FULL, STREAMED_ALONE
from edge.decode import DecodeError, decode
from edge.errors import UsageError

RESIDENT, STREAMED = "reminisce", "reminisce-streamed"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Published:
    """The paper on one tower. Each four are Orin, TX2, Raspberry Pi 4B, phone; items a second, INT8 (phone: INT4).

    kept:      of full depth's accuracy, by the data set's own measure
    memory_mb: on Orin, ours and the whole model resident
    energy:    on Orin, as a multiple of ours: full depth resident, and layer-streamed one by one
    """

    tower: str
    data: str
    kept: float
    memory_mb: tuple[int, int]
    energy: tuple[float, float]
    streamed_alone: tuple[float, float, float, float]
    streamed: tuple[float, float, float, float]
    full_resident: tuple[float, float, float, float]
    resident: tuple[float, float, float, float]


PAPER = (
    Published(
        "image", "Flickr8k, R@1", 0.95, (270, 1_570), (2.0, 13.5),
        (1.98, 0.34, 0.05, 0.05), (44.33, 2.32, 0.10, 0.22), (36.49, 1.70, 0.07, 0.16), (50.44, 2.35, 0.10, 0.23),
    ),
    Published(
        "audio", "Clotho, R@10", 0.98, (130, 335), (3.2, 29.2),
        (5.34, 3.15, 0.30, 0.27), (240.91, 25.64, 0.99, 0.84), (125.52, 5.85, 0.40, 0.34), (317.11, 14.77, 1.00, 0.85),
    ),
    Published(
        "motion", "HAR, accuracy", 0.95, (82, 140), (6.7, 18.2),
        (34.15, 4.30, 1.03, 0.81), (787.46, 69.51, 6.88, 5.15), (191.24, 8.91, 1.33, 1.02),
        (1024.49, 47.72, 7.10, 5.45),
    ),
)  # fmt: skip
# Of its Fig. 5b, on Orin, by eye: seconds of an answer, and what it keeps of full depth's recall@1 on Flickr8k.
ANSWERS = ((1.22, 0.39), (1.34, 0.85), (1.65, 0.99))
NOTES = (
    "the paper: ImageBind-huge, fine-tuned; accuracy was emulated on a server, apart from the boards' speed and energy",
    "the paper's memory, energy and answers: on Orin alone, read off its figures (about 5 %); its pool is 10, ours 50",
    "layer-streamed one by one is a weak baseline: of Orin's 22x, batching alone is some 9x",
    "here: accuracy and speed by the same files on one machine, decoding apart, of a far smaller tower: compare ratios",
    "here: all that bench remember measured at the cost that it was given, of bench recall the default policy",
)


@dataclass(frozen=True, slots=True)
class Here:
    """What was measured of one model; remembered: None was not. runs: of `bench recall`, of one bundle or several."""

    model: str
    remembered: Remembered | None
    runs: Sequence[Recalled] = ()

    @property
    def recalled(self) -> Recalled | None:
        """The first run."""
        return self.runs[0] if self.runs else None


def read(paths: Sequence[Path]) -> list[Here]:
    """Files that `bench remember --save` and `bench recall --save` wrote, by model. Raises UsageError.

    Of `bench remember` the last one of a model counts.
    """
    remembered: dict[str, Remembered] = {}
    runs: dict[str, list[Recalled]] = {}
    for path in paths:
        report = _read(path)
        if isinstance(report, Recalled):
            runs.setdefault(report.model, []).append(report)
        else:
            remembered[report.model] = report
    models = dict.fromkeys([*remembered, *runs])
    return [Here(model, remembered.get(model), runs.get(model, ())) for model in models]


def markdown(here: Here) -> str:
    """One table, and what to know about it; a second one, of merging, where there are several runs."""
    said = [
        f"- {command}, {report.said[0]}"
        for command, report in (("bench remember", here.remembered), ("bench recall", here.recalled))
        if report
    ]
    titles = ("tower", "what", "paper: Orin", "TX2", "Raspberry Pi 4B", "phone", f"here: {here.model}")
    lines = [_line(*titles), _line(*["---"] * len(titles))]
    for paper in PAPER:
        if paper.tower == "image":
            lines += [*_tower(paper, here), *_answers(here)]
        else:
            lines += _tower(paper, Here(here.model, None))
    lines += ["", *said, *(f"- {note}" for note in NOTES)]
    if len(here.runs) > 1:
        lines += ["", *merging(here.runs)]
    return "\n".join(lines)


def _tower(paper: Published, here: Here) -> Iterator[str]:
    orin = (_NONE,) * 3
    kept = (f"{paper.kept:.0%}",) * 4
    yield _line(paper.tower, f"of full depth's accuracy ({paper.data})", *kept, _kept(here))
    to_mem = _ratios(paper.streamed, paper.streamed_alone)
    yield _line(
        paper.tower, "items/s, streamed, to layer-streamed one by one", *to_mem, _speed(here, STREAMED, "to_mem")
    )
    to_full = _ratios(paper.resident, paper.full_resident)
    yield _line(paper.tower, "items/s, resident, to full depth resident", *to_full, _speed(here, RESIDENT, "to_full"))
    ours, whole = paper.memory_mb
    yield _line(paper.tower, "memory, streamed and full depth resident", f"{ours} of {whole} MB", *orin, _memory(here))
    yield _line(
        paper.tower, "joules to full depth resident", f"1/{paper.energy[0]}", *orin, _energy(here, RESIDENT, FULL)
    )
    to_mem_j = _energy(here, STREAMED, STREAMED_ALONE)
    yield _line(paper.tower, "joules to layer-streamed one by one", f"1/{paper.energy[1]}", *orin, to_mem_j)


def _answers(here: Here) -> Iterator[str]:
    """Three answers of the paper's curve beside three of ours: coarse, in between, whole."""
    ours = [_NONE] * len(ANSWERS)
    if found := here.recalled:
        curve = [one for one in found.curve if one.kept == "default"]
        items, full = found.timings[0].items, found.full.at_1
        for place, pool in ((0, 0), (2, POOL)):
            ms = found.timing("default", pool, items).p50_ms
            ours[place] = _answer(ms / 1e3, found.of("default", "calibrated", pool).at_1, full)
        middle = curve[len(curve) // 2]
        ours[1] = _answer(middle.p50_ms / 1e3, middle.recall.at_1, full)
    for title, (seconds, kept), mine in zip(("coarse", "by a deadline", "whole"), ANSWERS, ours, strict=True):
        paper = f"{seconds:.2f} s, {kept:.0%}"
        yield _line("image", f"{title} answer: time, of full depth's R@1", paper, *(_NONE,) * 3, mine)


def _answer(seconds: float, own: float, full: float) -> str:
    return f"{seconds:.3f} s, {_share(own, full)}"


def _kept(here: Here) -> str:
    """After the pool is finished: of the run whose speed stands below it, from float32; else out of the INT4 cache."""
    if here.remembered:
        ours, full = (here.remembered.row(name).recall for name in (RESIDENT, FULL))
        return _share(ours.at_1, full.at_1) if ours and full else _NONE
    if here.recalled:
        return _share(here.recalled.of("default", "calibrated", POOL).at_1, here.recalled.full.at_1)
    return _NONE


def _speed(here: Here, row: str, ratio: str) -> str:
    return f"{getattr(here.remembered.row(row), ratio).median:.1f}x" if here.remembered else _NONE


def _memory(here: Here) -> str:
    if here.remembered is None:
        return _NONE
    ours, whole = (here.remembered.row(name).anonymous_mb for name in (STREAMED, FULL))
    return f"{ours:.0f} of {whole:.0f} MB, anonymous"


def _energy(here: Here, row: str, baseline: str) -> str:
    if here.remembered is None:
        return _NONE
    ours, other = here.remembered.row(row), here.remembered.row(baseline)
    if not ours.energy_j or not other.energy_j:
        return _NONE
    return f"1/{other.energy_j / ours.energy_j:.1f}, {ours.energy_kind}"


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[str]:
    return [f"{one / other:.1f}x" for one, other in zip(ours, theirs, strict=True)]


def _share(own: float, whole: float) -> str:
    return f"{own / whole:.0%}" if whole else _NONE


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _read(path: Path) -> Remembered | Recalled:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON ({error}): name what `reminisce bench remember --save` wrote") from None
    try:
        if isinstance(data, dict) and "found" in data:
            return decode(Recalled, _with_depths(data))
        return decode(Remembered, _with_depths(data))
    except DecodeError as error:
        raise UsageError(
            f"{path} is not what `reminisce bench remember --save` or `bench recall --save` wrote: {error.problems[0]}"
        ) from None


def _with_depths(data: Any) -> Any:
    """JSON has no numbers for keys: those of `exits` are depths."""
    if isinstance(data, list):
        return [_with_depths(one) for one in data]
    if not isinstance(data, Mapping):
        return data
    return {
        key: {int(depth) if depth.isdecimal() else depth: share for depth, share in value.items()}
        if key == "exits" and isinstance(value, Mapping)
        else _with_depths(value)
        for key, value in data.items()
    }
