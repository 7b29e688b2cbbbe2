"""The stages of a build, in order."""

from __future__ import annotations

from converter.stages import Stage

STAGES: tuple[Stage, ...] = ()
