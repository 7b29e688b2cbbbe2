"""READ FIRST. A build, stage by stage: what each reads of the recipe, and of the stages before it."""

from __future__ import annotations

from converter.stages import Stage
from converter.steps.calibrate import calibrate
from converter.steps.choose import choose
from converter.steps.export import export
from converter.steps.heal import heal
from converter.steps.healing_parts import PARTS
from converter.steps.label import label
from converter.steps.pack import pack
from converter.steps.predict import predict
from converter.steps.report import report
from converter.steps.towers import towers
from converter.steps.verify import verify

_WEIGHTS = ("checkpoint", "query_checkpoint")

STAGES: tuple[Stage, ...] = (
    Stage(
        name="towers",
        label="open data and towers, embed all sentences",
        run=towers,
        reads=("data", "query", "item.kind", "item.checkpoint", "heads.kind"),
        takes=(*_WEIGHTS, "data"),
    ),
    Stage(
        name="heal",
        label="probe the trunk, heal it window by window, fit its heads",
        run=heal,
        reads=("item", "heads", "heal", "label.survive"),
        takes=_WEIGHTS,
        after=("towers",),
        resumes=True,
        parts=PARTS,
    ),
    Stage(
        name="label",
        label="label held-out items, by heads that have not seen them",
        run=label,
        reads=("heads", "label.folds", "calibrate.bank"),
        takes=_WEIGHTS,
        after=("towers", "heal"),
    ),
    Stage(
        name="predict",
        label="teach predictor and gates",
        run=predict,
        reads=("predict", "label.survive"),
        after=("towers", "heal", "label"),
    ),
    Stage(
        name="calibrate",
        label="map scores to probabilities of relevance",
        run=calibrate,
        reads=("calibrate.non_matches",),
        after=("label",),
        format=2,  # since notes have a calibration
    ),
    Stage(
        name="choose",
        label="measure every policy, choose the default",
        run=choose,
        reads=("predict.stray", "label.survive"),
        after=("heal", "label", "predict", "calibrate"),
        format=2,  # since a fold's pool is a part of it, and settings say what they keep at least
    ),
    Stage(
        name="export",
        label="write everything as TFLite",
        run=export,
        reads=("item", "query", "heads", "export"),
        after=("towers", "heal", "label", "predict", "calibrate", "choose"),
    ),
    Stage(
        name="verify",
        label="run every file on every runtime",
        run=verify,
        reads=("verify",),
        after=("towers", "heal", "label", "predict", "calibrate", "choose", "export"),
    ),
    Stage(
        name="pack",
        label="pack the bundle",
        run=pack,
        reads=("model", "data"),
        after=("towers", "heal", "label", "predict", "calibrate", "choose", "export", "verify"),
        makes=("bundle",),
    ),
    Stage(
        name="report",
        label="write the report",
        run=report,
        after=("towers", "heal", "label", "predict", "calibrate", "choose", "export", "verify", "pack"),
        makes=("report.json", "report.html"),
    ),
)
