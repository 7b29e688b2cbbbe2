"""A stage's inputs as flat text, and how two of them differ in words."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from converter.recipe import Recipe
from converter.stages.stage import Context, Stage

Inputs = dict[str, str]
# What can change a build's figures.
PACKAGES = (
    "reminisce-edge",
    "torch",
    "transformers",
    "peft",
    "onnx",
    "onnx2tf",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "pillow",
    "tokenizers",
)
MOST_REASONS = 3  # a line stays a line
_LONGEST = 60
_FIRST_FORMAT = 1  # no input: builds from before there were formats are of it


def versions() -> dict[str, str]:
    """Of Python and of the packages above that are installed, by name."""
    found = {name: _version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: each for name, each in found.items() if each}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def inputs_of(stage: Stage, context: Context, digests: Mapping[str, str]) -> Inputs:
    """All that the result of `stage` depends on, by dotted name.

    digests: of the stages before it, by name
    """
    found = {"recipe.seed": str(context.recipe.seed)}
    for path in stage.reads:
        found |= dict(_leaves(f"recipe.{path}", _value(context.recipe, path)))
    found |= {f"given.{name}": context.given.get(name, "none") for name in stage.takes}
    found |= {f"version.{name}": value for name, value in context.versions.items()}
    found |= {f"after.{name}": digests[name] for name in stage.after}
    if stage.format > _FIRST_FORMAT:
        found["format"] = str(stage.format)
    return found


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What changed, each as a short sentence; at most MOST_REASONS, and how many more there are."""
    told = list(dict.fromkeys(_differences(was, now)))
    more = len(told) - MOST_REASONS
    return (*told[:MOST_REASONS], f"{more} more changed") if more > 0 else tuple(told)


def _differences(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) == now.get(name):
            continue
        kind, _, inner = name.partition(".")
        if kind == "after":
            yield f"done again because {inner} was"
        elif kind == "format":
            before, after = (one.get(name, _FIRST_FORMAT) for one in (was, now))
            yield f"what it left had format {before}, this version makes format {after}"
        elif section := _switched(name, was, now):
            yield section
        else:
            told = name if kind == "recipe" else inner
            yield f"{told} was {_short(was.get(name))} and is {_short(now.get(name))}"


def _switched(name: str, was: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The sentence for a whole section that was left out and is given now, or the other way round."""
    for section in (name, *_parents(name)):
        inside = f"{section}."
        if was.get(section) == "null" and any(key.startswith(inside) for key in now):
            return f"{section} was null and is given"
        if now.get(section) == "null" and any(key.startswith(inside) for key in was):
            return f"{section} was given and is null"
    return None


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _short(text: str | None) -> str:
    if text is None:
        return "left out"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _value(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if dataclasses.is_dataclass(value):
        for each in dataclasses.fields(value):
            yield from _leaves(f"{name}.{each.name}", getattr(value, each.name))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)
