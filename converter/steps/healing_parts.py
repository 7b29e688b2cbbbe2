"""What an attempt at healing leaves finished: the probe and windows. Each says what it was made from.

So they outlive an attempt that did not end, and a change of the recipe too where it is not theirs: other late windows
do not heal the early ones again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load, save
from torch import nn

from converter.durable import write_durably
from converter.probe import Costs
from converter.recipe import HealRecipe
from converter.stages import load_record, save_record
from converter.towers.tower import ItemTower

PROBE, WINDOWS = "probe.json", "window-*"
PARTS = (PROBE, WINDOWS)
# Which exits there are is told window by window; formats and the like stay, for they are rarely changed alone.
_NOT_OF_WINDOWS = ("recipe.heal", "recipe.item.exits", "recipe.item.choose", "recipe.label")
Inputs = Mapping[str, str]
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The exits, and what they cost: measured, so another look may find others. The rest of a probe follows from them.

    ms, float32_ms: as in `probe.Costs`
    """

    made_from: str
    exits: tuple[int, ...]
    ms: tuple[float, ...]
    float32_ms: tuple[float, ...]

    @property
    def costs(self) -> Costs:
        """The milliseconds."""
        return Costs(self.ms, self.float32_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class HealedWindow:
    """Layers first to last. losses: one a step."""

    first: int
    last: int
    seconds: float
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWindow:
    """What window-01-02.json says."""

    made_from: str
    healed: HealedWindow


def kept_probe(folder: Path, inputs: Inputs, say: Say, measure: Callable[[], tuple[tuple[int, ...], Costs]]) -> Probe:
    """The probe of an earlier attempt on inputs that are equal but for healing's settings; else a new one.

    measure: gives exits and their costs. Raises ArtefactError.
    """
    path, made_from = folder / PROBE, _digest(_without(inputs, ("recipe.heal",)))
    if path.is_file():
        probe = load_record(Probe, path)
        if probe.made_from == made_from:
            say(f"  exits at depths {', '.join(map(str, probe.exits))}: measured before, kept")
            return probe
    exits, costs = measure()
    probe = Probe(made_from=made_from, exits=exits, ms=costs.ms, float32_ms=costs.float32_ms)
    save_record(path, probe)
    return probe


class WindowParts:
    """The windows of one healing, asked for from shallow to deep.

    A window is made from the stage's inputs, from what it reads of healing's settings, from the exits inside it and the
    last one, whose example it follows, and from the windows before it.
    """

    def __init__(self, folder: Path, inputs: Inputs, recipe: HealRecipe, precision: str, say: Say) -> None:
        self._folder, self._recipe, self._say = folder, recipe, say
        self._before = _digest([_without(inputs, _NOT_OF_WINDOWS), precision])
        self._stems: set[str] = set()

    def bring(
        self, tower: ItemTower, window: tuple[int, int], exits: Sequence[int], heal: Callable[[], HealedWindow]
    ) -> HealedWindow:
        """Give the window's layers the weights of an earlier attempt, if `heal` would make the same; else heal them.

        exits: of the whole tower. Raises ArtefactError, and what `heal` raises.
        """
        first, last = window
        stem = f"window-{first:02}-{last:02}"
        self._stems.add(stem)
        inside = [depth for depth in exits if first <= depth <= last]
        read = dataclasses.asdict(dataclasses.replace(self._recipe, windows=()))
        self._before = made_from = _digest([self._before, window, inside, exits[-1], read])
        weights, log = (self._folder / f"{stem}.{kind}" for kind in ("safetensors", "json"))
        if log.is_file():  # written after the weights: the window was finished
            kept = load_record(KeptWindow, log)
            if kept.made_from == made_from:
                nn.ModuleList(tower.layers[first - 1 : last]).load_state_dict(load(weights.read_bytes()))
                self._say(f"  layers {first} to {last}: healed before, kept")
                return kept.healed
            self._say(f"  layers {first} to {last}: healed before from what has changed, healed again")
        healed = heal()
        log.unlink(missing_ok=True)  # before the weights are others than it says
        content = save(nn.ModuleList(tower.layers[first - 1 : last]).state_dict())
        write_durably(weights, lambda file: file.write(content))
        save_record(log, KeptWindow(made_from=made_from, healed=healed))
        return healed

    def tidy(self) -> None:
        """Remove the windows of earlier attempts that were not asked for: the stage is finished without them."""
        remove_windows(self._folder, self._stems)


def remove_windows(folder: Path, but: set[str]) -> None:
    """All windows but those of these names."""
    for path in folder.glob(WINDOWS):
        if path.stem not in but:
            path.unlink()


def _without(inputs: Inputs, sections: Sequence[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in inputs.items()
        if not any(name == section or name.startswith(f"{section}.") for section in sections)
    }


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
