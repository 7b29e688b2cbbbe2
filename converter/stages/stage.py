"""What a stage is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from converter.console import Console
from converter.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for beside the recipe: where things lie.

    checkpoint, query_checkpoint: a folder or a hub id; "" for towers that come with a package
    data:     the folder or file that the recipe's reader opens
    runtimes: for each TFLite runtime a Python that has it
    """

    checkpoint: str = ""
    query_checkpoint: str = ""
    data: Path | None = None
    runtimes: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a stage may use.

    out:       the folder of the build, resolved
    given:     inputs from outside the recipe, by name: fingerprints of checkpoint and data
    versions:  of the packages that matter, by name
    inputs:    all that the stage at work depends on, by dotted name
    artefacts: folders of the stages that this one comes after, by name; of no others
    """

    out: Path
    recipe: Recipe
    order: Order
    console: Console
    given: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    artefacts: Mapping[str, Path] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Of all chance in the build."""
        return self.recipe.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a build. Its inputs are the recipe's parts that it reads, what is given, and the stages before it.

    label:   what the console calls it
    reads:   sections of the recipe, or dotted paths into them ("item.exits"); the seed always counts
    takes:   names of given inputs
    after:   names of earlier stages whose artefacts it reads
    makes:   what it leaves in the build's folder itself; gone, the stage is not done
    resumes: it looks for its own finished parts in its folder; else the folder is always empty
    parts:   names of such parts, as patterns, that say themselves what they were made from: these stay for it to
             judge when its inputs are no longer those of the attempt that left them
    format:  number of what its artefacts are, raised when later code needs more of them than earlier code wrote
    run:     does the work, into the folder that it is given
    """

    name: str
    label: str
    run: Callable[[Context, Path], None]
    reads: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    resumes: bool = False
    parts: tuple[str, ...] = ()
    format: int = 1
