"""Stage `report`: everything that the build measured, into report.json and report.html."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch

from converter.calibration import reliability
from converter.labels import rank_of_own
from converter.policies import CUTS, POOL, Hits, Outcome, Scene, at_cost, fixed, search, shuffled, sweep
from converter.policies import outcome as outcome_of
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
    PolicyPoint,
    Pool,
    Recall,
    ReliabilityBin,
    Report,
    RoleCount,
    Version,
    recipe_digest,
    thinned,
    write_report,
)
from converter.stages import Context, load_record
from converter.steps.calibrate import Calibrations, load_calibrations
from converter.steps.catalogue import Catalogue, load_captions, load_catalogue
from converter.steps.choose import CENTRES, Chosen, load_chosen, recommended
from converter.steps.heal import Healed
from converter.steps.judged import Judged
from converter.steps.predict import load_nets
from converter.steps.study import load_features
from converter.steps.trunk import healed_tower, learnt_heads
from converter.steps.verify import Verified, test_arrays
from converter.towers.opening import open_query_tower
from edge.bundle import Bundle

POOLS = (10, 20, 50, 100)
TOP = 50  # of each query's answers: where probabilities are judged


def report(context: Context, folder: Path) -> None:
    """OUT/report.json and OUT/report.html."""
    torch.set_num_threads(1)
    made = _Maker(context).report()
    write_report(made, context.out)
    (folder / "written.json").write_text("{}\n", encoding="utf-8")


class _Maker:
    """One report, part by part."""

    def __init__(self, context: Context) -> None:
        artefacts = context.artefacts
        self._context, self._artefacts = context, artefacts
        self._healed = load_record(Healed, artefacts["heal"] / "healed.json")
        self._chosen: Chosen = load_chosen(artefacts["choose"])
        self._catalogue: Catalogue = load_catalogue(artefacts["towers"])
        self._maps: Calibrations = load_calibrations(artefacts["calibrate"])
        arrays = test_arrays(artefacts["verify"])
        layers = self._healed.exits[-1]
        self._judged = Judged(arrays, self._healed.costs, layers) if arrays is not None else None
        calibrated = self._judged is not None and bool(self._maps.final)
        self._scene: Scene | None = self._judged.calibrated(self._maps.final) if calibrated else None  # type: ignore[union-attr]

    def report(self) -> Report:
        recipe = self._context.recipe
        tower = healed_tower(self._context)
        query = open_query_tower(recipe.query, self._context.order.query_checkpoint)
        return Report(
            model=recipe.model,
            recipe=recipe_digest(recipe),
            seed=recipe.seed,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            machine=_machine(),
            data=self._data(),
            versions=tuple(Version(package=name, version=it) for name, it in sorted(self._context.versions.items())),
            licences=(
                *(Licence(of=o.name, licence=o.licence, credit=o.credit) for o in (tower.origin, query.origin)),
                Licence(of="data", licence=recipe.data.purpose, credit=recipe.data.credit or recipe.data.kind),
            ),
            healed=bool(self._healed.windows),
            exits=self._exits(),
            policies=self._policies(),
            choice=self._choice(),
            calibration=self._calibration(),
            parity=self._parity(),
            sizes=self._sizes(),
            healing=tuple(
                HealingWindow(first=w.first, last=w.last, seconds=w.seconds, losses=thinned(w.losses))
                for w in self._healed.windows
            ),
            labels=self._labels(),
        )

    def _exits(self) -> tuple[ExitFigures, ...]:
        before, policies = self._before(), self._chosen.policies
        leaving = recommended(policies).exits if policies is not None else None
        figures = []
        for number, depth in enumerate(self._healed.exits):
            figures.append(
                ExitFigures(
                    depth=depth,
                    layers=self._healed.exits[-1],
                    share=self._healed.costs[number],
                    ms=self._healed.ms[number],
                    float32_ms=self._healed.float32_ms[number],
                    before=before.get(depth),
                    raw=_alone(self._judged.raw, number) if self._judged else None,
                    calibrated=_alone(self._scene, number) if self._scene else None,
                    kept=self._kept(number),
                    occupancy=leaving[number] if leaving is not None else None,
                )
            )
        return tuple(figures)

    def _kept(self, number: int) -> tuple[Pool, ...]:
        if self._judged is None:
            return ()
        items = self._judged.items.shape[1]
        exits = np.full(items, number)
        return tuple(
            Pool(
                pool=pool,
                raw=_recall(search(self._judged.raw, exits, pool)),
                calibrated=_recall(search(self._scene, exits, pool)) if self._scene else None,
            )
            for pool in POOLS
            if pool <= items
        )

    @torch.no_grad()
    def _before(self) -> dict[int, Recall]:
        """Recall on the test side with heads of the same form on the trunk as it was, in torch."""
        path = self._artefacts["heal"] / "before.npz"
        if self._judged is None or not path.is_file():
            return {}
        features, captions = load_features(path), load_captions(self._artefacts["towers"])
        tower = healed_tower(self._context)
        heads = learnt_heads(self._context, tower, self._healed.exits, "before")
        rows = self._catalogue.rows("test")
        asked = captions.features[torch.from_numpy(rows)][torch.from_numpy(captions.known[rows])]
        found = {}
        for depth, pair in heads.items():
            scores = (pair.query(asked) @ pair.item.embed(features[depth][torch.from_numpy(rows)]).T).numpy()
            found[depth] = _recall(rank_of_own(scores, self._judged.owners)[:, None] < np.array(CUTS))
        return found

    def _policies(self) -> tuple[PolicyCurve, ...]:
        if self._judged is None or self._scene is None or self._chosen.policies is None:
            return ()
        scene, policies = self._scene, self._chosen.policies
        survival = np.array(policies.survival, dtype=np.float32)
        centres = np.linspace(scene.layers * float(scene.costs[0]), scene.layers, CENTRES).tolist()
        nets = load_nets(self._artefacts["predict"], len(self._healed.exits), self._context.recipe.predict)
        curves = [_curve("fixed", fixed(scene), len(scene.costs))]
        for name, decide in self._judged.decisions(nets).items():
            outcomes = sweep(scene, name, survival, policies.stray, decide, centres)
            curves.append(_curve(name, outcomes, len(scene.costs)))
            if name == (policies.default if policies.default != "fixed" else "gate"):
                dealt = [
                    outcome_of(scene, "random", one.centre, shuffled(one.exits, self._context.seed)) for one in outcomes
                ]
                curves.append(_curve("random", dealt, len(scene.costs)))
        judged, decide = self._judged.oracle(scene, self._context.recipe.label.survive, self._context.seed)
        if len(judged.owners):  # none where each item has one query: it is told, and nothing is left to judge by
            oracle = sweep(judged, "oracle", survival, policies.stray, decide, centres)
            curves.append(_beside(fixed(scene), fixed(judged), _curve("oracle", oracle, len(scene.costs))))
        return tuple(curves)

    def _choice(self) -> Choice | None:
        policies = self._chosen.policies
        if policies is None:
            return None
        setting = recommended(policies)
        differences = tuple(
            Difference(policy=one.policy, measure=measure, cost=one.cost, pool=POOL, mean=mean, error=error)  # type: ignore[arg-type]
            for one in self._chosen.compared
            for measure, mean, error in (
                ("recall@1", one.at_1, one.error_1),
                ("recall@10", one.at_10, one.error_10),
            )
        )
        return Choice(
            policy=policies.default,
            cost=setting.cost,
            pool=POOL,
            reason=self._chosen.reason,
            chosen_on="held-out train items, out of fold; mean over settings between 30 % and 75 % of the milliseconds",
            differences=differences,
        )

    def _calibration(self) -> CalibrationFigures | None:
        if self._scene is None or self._judged is None:
            return None
        found = reliability(self._scene.logits[-1], self._scene.owners, TOP)
        gain = (rank_of_own(self._scene.logits[-1], self._scene.owners) < 1).astype(float) - (
            rank_of_own(self._judged.raw.logits[-1], self._judged.owners) < 1
        )
        by_item = np.bincount(self._judged.owners, weights=gain) / np.maximum(np.bincount(self._judged.owners), 1)
        return CalibrationFigures(
            bins=tuple(ReliabilityBin(predicted=said, right=came, count=n) for said, came, n in found.bins),
            ece=found.ece,
            brier=found.brier,
            brier_base=found.base_rate * (1 - found.base_rate),
            brier_skill=found.skill,
            base_rate=found.base_rate,
            top=TOP,
            gain=float(gain.mean()),
            error=float(by_item.std() / len(by_item) ** 0.5),
        )

    def _labels(self) -> LabelFigures | None:
        if not self._chosen.labels:
            return None
        counts = tuple(
            LabelCount(depth=depth, items=count)
            for depth, count in zip(self._healed.exits, self._chosen.labels, strict=True)
        )
        return LabelFigures(survive=self._context.recipe.label.survive, counts=counts)

    def _parity(self) -> tuple[ParityLine, ...]:
        verified = load_record(Verified, self._artefacts["verify"] / "verified.json")
        return tuple(
            ParityLine(file=p.path, runtime=p.runtime, batch=p.batch, cosine=p.cosine, difference=p.difference)
            for p in verified.parities
        )

    def _sizes(self) -> tuple[FileSize, ...]:
        files = Bundle.open(self._context.out / "bundle").manifest.files
        return tuple(FileSize(path=path, bytes=record.bytes) for path, record in files.items())

    def _data(self) -> DataFigures | None:
        catalogue = self._catalogue
        if not catalogue.entries:
            return None
        captions = load_captions(self._artefacts["towers"])
        told = "\n".join(f"{entry.name} {entry.role}" for entry in catalogue.entries)
        counts = []
        for role in ("train", "held", "test"):
            rows = catalogue.rows(role)
            counts.append(RoleCount(role=role, items=len(rows), queries=int(captions.known[rows].sum())))
        return DataFigures(
            kind=catalogue.kind,
            digest=hashlib.sha256(told.encode()).hexdigest(),
            measured_on="the test side through the exported files"
            if self._judged
            else "nothing: no test side with captions",
            counts=tuple(counts),
            skipped=len(catalogue.skipped),
            skipped_names=tuple(one[0] for one in catalogue.skipped[:5]),
        )


def _alone(scene: Scene, exit_: int) -> Recall:
    return _recall(rank_of_own(scene.logits[exit_], scene.owners)[:, None] < np.array(CUTS))


def _recall(hits: Hits) -> Recall:
    one, five, ten = (float(value) for value in hits.mean(0))
    return Recall(at_1=one, at_5=five, at_10=ten)


def _curve(name: str, outcomes: Sequence[Outcome], exits: int) -> PolicyCurve:
    points = []
    for one in outcomes:
        at_1, _, at_10 = one.recall
        points.append(
            PolicyPoint(cost=one.cost, recall_at_1=at_1, recall_at_10=at_10, pool=POOL, exits=one.histogram(exits))
        )
    return PolicyCurve(name=name, points=tuple(points))  # type: ignore[arg-type]


def _beside(base: Sequence[Outcome], judged: Sequence[Outcome], curve: PolicyCurve) -> PolicyCurve:
    """The split oracle is judged on queries of its own: its gain there, put on the recall of the fixed exit here."""
    points = []
    for point in curve.points:
        here, there = (at_cost(outcomes, point.cost).mean(0) for outcomes in (base, judged))
        at_1, at_10 = (
            float(min(1.0, here[column] + recall - there[column]))
            for column, recall in ((0, point.recall_at_1), (2, point.recall_at_10))
        )
        points.append(replace(point, recall_at_1=at_1, recall_at_10=at_10))
    return PolicyCurve(name=curve.name, points=tuple(points))


def _machine() -> Machine:
    named = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return Machine(
        processor=named[0] if named else platform.machine(),
        cores=psutil.cpu_count(logical=True) or 1,
        threads=1,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        timing=(
            "quickest of 40 rounds, one item, one thread, segments in turn,"
            " without heads, gates, predictor, bank and decoding"
        ),
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
