"""A report with every part, of hand-made numbers in the range of real ones; no build took place."""

from __future__ import annotations

import dataclasses
from typing import Any

from converter.report import (
    CalibrationFigures,
    Choice,
    DataFigures,
    Difference,
    ExitFigures,
    FileSize,
    HealingWindow,
    LabelCount,
    LabelFigures,
    Licence,
    Machine,
    ParityLine,
    PolicyCurve,
    PolicyName,
    PolicyPoint,
    Pool,
    Recall,
    ReliabilityBin,
    Report,
    RoleCount,
    Version,
    thinned,
)

DEPTHS = (3, 4, 5, 6, 7, 9, 12)
SHARES = (0.26, 0.34, 0.43, 0.51, 0.6, 0.76, 1.0)
RECALLS = (
    (0.101, 0.275, 0.390),
    (0.117, 0.310, 0.428),
    (0.131, 0.356, 0.485),
    (0.154, 0.397, 0.527),
    (0.195, 0.454, 0.591),
    (0.245, 0.549, 0.669),
    (0.274, 0.570, 0.703),
)
GAINS = (0.057, 0.037, 0.048, 0.031, 0.024, -0.010, -0.004)  # of recall@10 by healing
KEPT = ((0.94, 0.87), (0.96, 0.90), (0.97, 0.94), (0.99, 0.97), (1.0, 0.99), (1.0, 1.0), (1.0, 1.0))  # pool 50
AHEAD: dict[PolicyName, float] = {
    "fixed": 0.0,
    "predict": 0.002,
    "gate": 0.014,
    "random": -0.012,
    "oracle": 0.06,
}


def scaled(at: tuple[float, float, float], factor: float) -> Recall:
    """Recall times a factor."""
    at_1, at_5, at_10 = (round(value * factor, 4) for value in at)
    return Recall(at_1=at_1, at_5=at_5, at_10=at_10)


def before(index: int) -> Recall:
    """Recall at an exit without healing."""
    return scaled(RECALLS[index], (RECALLS[index][2] - GAINS[index]) / RECALLS[index][2])


def kept(index: int, pool: int) -> Pool:
    """A fixed exit with a pool; smaller pools keep less, full depth keeps all."""
    lost = (1 - KEPT[index][0]) * {10: 2.6, 20: 1.7, 50: 1.0, 100: 0.4}[pool]
    return Pool(pool=pool, raw=less(1.0, 1.2 * lost), calibrated=less(1.05, lost))


def less(factor: float, lost: float) -> Recall:
    """Recall of full depth less a share, of recall@10 twice that share."""
    at_1, at_5, at_10 = RECALLS[-1]
    return scaled((at_1 * (1 - lost), at_5 * (1 - 1.5 * lost), at_10 * (1 - 2 * lost)), factor)


def exits(shift: float) -> tuple[ExitFigures, ...]:
    """Seven exits; `shift` is what a seed adds to calibrated recall."""
    return tuple(
        ExitFigures(
            depth=depth,
            layers=12,
            share=SHARES[index],
            ms=round(7.02 * SHARES[index], 3),
            float32_ms=round(15.1 * SHARES[index], 3),
            before=before(index),
            raw=scaled(RECALLS[index], 1.0),
            calibrated=scaled(RECALLS[index], 1.05 + shift),
            kept=tuple(kept(index, pool) for pool in (10, 20, 50, 100)),
            occupancy=(0.2, 0.14, 0.16, 0.14, 0.12, 0.13, 0.11)[index],
        )
        for index, depth in enumerate(DEPTHS)
    )


def points(name: PolicyName) -> tuple[PolicyPoint, ...]:
    """Settings near the costs of the exits; a policy keeps what the fixed exit does, and somewhat more or less."""
    whole = scaled(RECALLS[-1], 1.05)
    return tuple(
        PolicyPoint(
            cost=round(SHARES[index] + 0.001 * index, 4),
            recall_at_1=round(whole.at_1 * (KEPT[index][0] * ratio + AHEAD[name]), 4),
            recall_at_10=round(whole.at_10 * (KEPT[index][1] * ratio + AHEAD[name]), 4),
            pool=pool,
            exits=histogram(name, index),
        )
        for pool, ratio in ((20, 0.93), (50, 1.0))
        for index in range(7)
    )


def histogram(name: PolicyName, index: int) -> tuple[float, ...]:
    """All at one exit, or spread around it."""
    if name == "fixed":
        return tuple(float(place == index) for place in range(len(DEPTHS)))
    weights = [1 / (1 + (place - index) ** 2) for place in range(len(DEPTHS))]
    return tuple(round(weight / sum(weights), 4) for weight in weights)


CHOICE = Choice(
    policy="gate",
    cost=0.432,
    pool=50,
    reason="it beats the calibrated fixed exit by more than two standard errors in recall@10",
    chosen_on="600 validation photos with 3,000 captions",
    differences=(
        Difference(policy="gate", measure="recall@10", cost=0.43, pool=50, mean=0.0161, error=0.0047),
        Difference(policy="gate", measure="recall@1", cost=0.43, pool=50, mean=0.0042, error=0.0038),
        Difference(policy="predict", measure="recall@10", cost=0.43, pool=50, mean=0.0021, error=0.0049),
    ),
)
CALIBRATION = CalibrationFigures(
    bins=tuple(
        ReliabilityBin(predicted=predicted, right=right, count=25_000)
        for predicted, right in (
            (0.0011, 0.0009),
            (0.0028, 0.0031),
            (0.0049, 0.0052),
            (0.0078, 0.0071),
            (0.0117, 0.0121),
            (0.0170, 0.0162),
            (0.0246, 0.0259),
            (0.0371, 0.0362),
            (0.0623, 0.0655),
            (0.1874, 0.1803),
        )
    ),
    ece=0.0047,
    brier=0.01702,
    brier_base=0.01963,
    brier_skill=0.133,
    base_rate=0.0203,
    gain=0.0162,
    error=0.0031,
)


def full_report(seed: int = 0, **changes: Any) -> Report:
    """Every part is there; `changes` replace fields."""
    report = Report(
        model="vit-tiny-flickr8k",
        recipe="3f1c" * 16,
        seed=seed,
        date="2026-03-05",
        machine=Machine(
            processor="Example 9000 <x86_64>",
            cores=2,
            threads=1,
            system="Linux 6.1",
            timing="ai-edge-litert, dynamic INT8, one thread, median of 50",
        ),
        data=DataFigures(
            kind="flickr8k",
            digest="ab12" * 16,
            measured_on="1,000 Flickr8k dev photos with 5,000 captions",
            counts=(
                RoleCount(role="train", items=3900, queries=19500),
                RoleCount(role="held", items=1500, queries=7500),
                RoleCount(role="validation", items=600, queries=3000),
                RoleCount(role="test", items=1000, queries=5000),
            ),
            skipped=12,
            skipped_names=("1305564994.jpg", "a & b.jpg"),
        ),
        versions=(Version(package="torch", version="2.13.0"), Version(package="matplotlib", version="3.11.2")),
        licences=(
            Licence(of="ViT-Tiny/16", licence="unknown", credit="timm, ImageNet-21k weights"),
            Licence(of="Flickr8k", licence="research use", credit="Hodosh, Young, Hockenmaier, JAIR 47, 2013"),
        ),
        healed=True,
        exits=exits(0.004 * seed),
        policies=tuple(PolicyCurve(name=name, points=points(name)) for name in AHEAD),
        choice=CHOICE,
        calibration=CALIBRATION,
        parity=(
            ParityLine(
                file="image/seg-00.dynamic-int8.tflite",
                runtime="ai-edge-litert",
                batch=1,
                cosine=0.99962,
                difference=0.0312,
            ),
            ParityLine(
                file="image/seg-00.float16.tflite", runtime="tflite-runtime", batch=8, cosine=1.0, difference=0.00021
            ),
        ),
        sizes=(
            FileSize(path="image/seg-00.dynamic-int8.tflite", bytes=1_612_345),
            FileSize(path="bank.int8", bytes=57_900),
        ),
        healing=tuple(
            HealingWindow(first=first, last=last, seconds=seconds, losses=thinned(losses(index)))
            for index, (first, last, seconds) in enumerate(
                ((1, 3, 69.2), (4, 5, 51.0), (6, 7, 52.4), (8, 9, 47.1), (10, 12, 171.0))
            )
        ),
        labels=LabelFigures(
            survive=20,
            counts=tuple(
                LabelCount(depth=depth, items=items)
                for depth, items in zip((*DEPTHS, None), (405, 180, 122, 131, 138, 190, 130, 204), strict=True)
            ),
        ),
    )
    return dataclasses.replace(report, **changes)


def losses(index: int) -> list[float]:
    """A loss that falls over 186 steps, with some noise that is the same each time."""
    return [6.1 - 0.4 * index - 2.0 * step / (step + 40) + 0.05 * ((step * 7919) % 13 - 6) / 6 for step in range(186)]


def bare_report(**changes: Any) -> Report:
    """Exits and their milliseconds alone: no queries, no healing, no calibration, no policy."""
    plain = [dataclasses.replace(place, before=None, raw=None, calibrated=None, kept=()) for place in exits(0)]
    full = full_report()
    report = Report(
        model="clip-random",
        recipe=full.recipe,
        seed=0,
        date=full.date,
        machine=full.machine,
        healed=False,
        exits=tuple(dataclasses.replace(place, occupancy=None) for place in plain),
    )
    return dataclasses.replace(report, **changes)
