"""Stage `calibrate`: the logistic map of each exit, for every fold from the others, and from all for the bundle.

Of the query tower's own exit there is one as well, for notes: texts that are items, which lie closer to a question than
pictures do. A caption asks, and another caption of the same picture is the note it should find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converter.calibration import Gallery, fit_calibration, item_numbers, note_gallery
from converter.stages import Context, load_record, save_record
from converter.steps.label import fold_files, load_fold
from edge.bundle import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrations:
    """By exit, shallow to deep. folds: each fold's, fitted on the other folds; final: on all.

    notes: of texts at the query tower's end, on all; None where no item has two captions
    """

    folds: tuple[tuple[Calibration, ...], ...]
    final: tuple[Calibration, ...]
    notes: Calibration | None = None


def calibrate(context: Context, folder: Path) -> None:
    """calibrations.json; empty without labels."""
    files = fold_files(context.artefacts["label"])
    galleries = [_galleries(path) for path in files]
    folds = []
    with context.console.bar(len(galleries) + 2, "calibrations") as tick:
        for number in range(len(galleries)):
            folds.append(_fit([one for place, one in enumerate(galleries) if place != number], context))
            tick(1)
        final = _fit(galleries, context) if galleries else ()
        tick(1)
        notes = _fit_notes(files, context)
        tick(1)
    save_record(folder / "calibrations.json", Calibrations(folds=tuple(folds), final=final, notes=notes))


def load_calibrations(folder: Path) -> Calibrations:
    """Raises ArtefactError."""
    return load_record(Calibrations, folder / "calibrations.json")


def _galleries(path: Path) -> list[Gallery]:
    scored, bank = load_fold(path)
    return [
        Gallery(scored.cosines(exit_), item_numbers(items, bank[exit_]), scored.owners)
        for exit_, items in enumerate(scored.items)
    ]


def _fit(folds: Sequence[Sequence[Gallery]], context: Context) -> tuple[Calibration, ...]:
    wanted, seed = context.recipe.calibrate.non_matches, context.seed
    return tuple(fit_calibration([fold[exit_] for fold in folds], wanted, seed) for exit_ in range(len(folds[0])))


def _fit_notes(files: Sequence[Path], context: Context) -> Calibration | None:
    galleries = [note_gallery(scored, bank[-1]) for scored, bank in map(load_fold, files)]
    # One note has nothing to be told apart from.
    useful = [one for one in galleries if len(one.owners) and one.cosines.shape[1] > 1]
    return fit_calibration(useful, context.recipe.calibrate.non_matches, context.seed) if useful else None
