"""The engine of a build: stages that are resumed, redone where their inputs changed, and never half done.

    OUT/.reminisce-convert   says that the folder is ours, and which process works in it
    OUT/stages/NAME/         a finished stage: its artefacts, and done.json with its inputs in full
    OUT/stages/.NAME/        a stage at work: inputs.json, and its parts so far

Loads no torch: what is wrong with a folder is told before it is waited for.
"""

from converter.stages.artefacts import ArtefactError, load_arrays, load_record, save_arrays, save_record
from converter.stages.claim import check_ours, claimed
from converter.stages.fingerprint import fingerprint
from converter.stages.inputs import versions
from converter.stages.stage import Context, Order, Stage
from converter.stages.workshop import Workshop

__all__ = [
    "ArtefactError",
    "Context",
    "Order",
    "Stage",
    "Workshop",
    "check_ours",
    "claimed",
    "fingerprint",
    "load_arrays",
    "load_record",
    "save_arrays",
    "save_record",
    "versions",
]
