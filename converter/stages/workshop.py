"""Runs stages: keeps what is done from the same inputs, does the rest, and says why."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from converter.durable import check_room, full_disk
from converter.pack import ROOM_BYTES
from converter.stages.artefacts import ArtefactError
from converter.stages.inputs import Inputs, differences, inputs_of
from converter.stages.shelf import Shelf
from converter.stages.stage import Context, Stage
from edge.errors import DiskFullError, UsageError


class Workshop:
    """One build in one folder; the caller holds the folder's claim."""

    def __init__(self, context: Context, stages: Sequence[Stage]) -> None:
        """stages: in the order of work. Raises ValueError where one comes before what it needs."""
        seen: set[str] = set()
        for stage in stages:
            if late := set(stage.after) - seen:
                raise ValueError(f"{stage.name} comes before {', '.join(sorted(late))}, which it needs")
            seen.add(stage.name)
        self._context = context
        self._stages = {stage.name: stage for stage in stages}
        self._shelf = Shelf(context.out / "stages")
        for name in self._stages:
            self._shelf.recover(name)

    def run_all(self) -> None:
        """Every stage in order. Raises DiskFullError, KeyboardInterrupt with what is kept, and what stages raise."""
        for number, stage in enumerate(self._stages.values(), 1):
            self._bring(stage, f"{number}/{len(self._stages)} {stage.label}")

    def run(self, name: str) -> None:
        """One stage alone. Raises UsageError that names an earlier one which must be done first."""
        stage = self._stages[name]
        for earlier in self._before(stage):
            why = self._why(earlier)
            if why is None:
                raise UsageError(f"{name} needs {earlier.name}, which is not done: run `stage {earlier.name}` first")
            if why:
                raise UsageError(
                    f"{name} needs {earlier.name}, which must be done again ({'; '.join(why)}):"
                    f" run `stage {earlier.name}` first"
                )
        self._bring(stage, stage.label)

    def _kept(self, at_work: Stage) -> str:
        """What the end of the work on a stage leaves, and how to go on."""
        kept = [name for name, stage in self._stages.items() if self._why(stage) == ()]
        kept += [f"the parts of {at_work.name}"] if at_work.resumes else []
        if not kept:
            return f"no stage is finished in {self._context.out}, the same command begins again"
        return f"{', '.join(kept)} kept in {self._context.out}, the same command goes on from there"

    def _bring(self, stage: Stage, label: str) -> None:
        """Keep the stage or do it."""
        say = self._context.console.say
        why = self._why(stage)
        if why == ():
            say(f"{stage.name}: done before, kept")
            return
        if why:
            say(f"{stage.name}: {'; '.join(why)}")
        check_room(self._context.out, ROOM_BYTES)
        with self._told_what_is_kept(stage), self._context.console.step(label):
            self._do(stage)

    def _do(self, stage: Stage) -> None:
        start = time.monotonic()
        inputs = self._inputs(stage)
        folder = self._shelf.begin(stage.name, inputs, resume=stage.resumes, parts=stage.parts)
        artefacts = {name: self._shelf.finished(name) for name in stage.after}
        stage.run(replace(self._context, inputs=inputs, artefacts=artefacts), folder)
        self._shelf.finish(stage.name, inputs, time.monotonic() - start)

    def _inputs(self, stage: Stage) -> Inputs:
        return inputs_of(stage, self._context, {name: self._shelf.digest(name) for name in stage.after})

    def _why(self, stage: Stage) -> tuple[str, ...] | None:
        """Why a finished stage must be done again; () if it need not be, None if it was never finished."""
        try:
            done = self._shelf.done(stage.name)
        except ArtefactError as error:
            return (str(error).partition(": remove")[0],)
        if done is None:
            return None
        if changed := differences(done.inputs, self._inputs(stage)):
            return changed
        if lost := self._shelf.lost(stage.name, done):
            return (f"{lost} is not as it was written",)
        return tuple(f"{made} is gone" for made in stage.makes if not (self._context.out / made).exists())

    def _before(self, stage: Stage) -> list[Stage]:
        """All stages that `stage` rests on, the first ones first."""
        needed = set(stage.after)
        for earlier in reversed(self._stages.values()):
            if earlier.name in needed:
                needed |= set(earlier.after)
        return [earlier for name, earlier in self._stages.items() if name in needed]

    @contextlib.contextmanager
    def _told_what_is_kept(self, stage: Stage) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._kept(stage)) from None
        except Exception as error:
            if isinstance(error, DiskFullError) or not (where := full_disk(error, self._context.out)):
                raise
            raise DiskFullError(f"the disk of {where} is full; {self._kept(stage)} once there is room") from error
