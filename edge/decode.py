"""Plain data (from YAML or JSON) into frozen dataclasses: the one validation at the borders.

Every problem is found before anything is raised, each as "key.path is VALUE: what it must be"; an unknown key is
answered with the nearest valid one. Past this border nothing is checked twice and no dict travels.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

import yaml

from edge.errors import ConfigError

T = TypeVar("T")


class DecodeError(ValueError):
    """The data does not fit the type; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def decode(kind: type[T], data: object) -> T:
    """`data` as a `kind`, a dataclass of scalars, paths, tuples, mappings, optionals, unions and dataclasses.

    A dataclass may raise ValueError in `__post_init__`: the text becomes a problem at its key. If it raises
    DecodeError, each problem starts with the name of a field. Raises DecodeError with all problems.
    """
    problems: list[str] = []
    value = _value(kind, data, "", problems)
    if problems:
        raise DecodeError(tuple(problems))
    return cast("T", value)


def load_yaml(kind: type[T], path: Path) -> T:
    """Read a YAML file as a `kind`; an empty file is an empty mapping. Raises ConfigError with every problem in it."""
    try:
        data = _Loader(path.read_text(encoding="utf-8")).get_single_data()
        return decode(kind, {} if data is None else data)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, (f"cannot be read: {error}",)) from None
    except DecodeError as error:
        raise ConfigError(path, error.problems) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2025-13-01 looks like a date
        raise ConfigError(path, (f"is not YAML: {' '.join(str(error).split())}",)) from None


class _Loader(yaml.SafeLoader):
    """Puts _TWICE, which fits no type, at a key that is given twice: YAML itself would silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        times = Counter(str(key.value) for key, _ in node.value if key.value != "<<")  # two merges are both taken
        twice = yaml.ScalarNode("!twice", "")
        node.value = [(key, twice if times[str(key.value)] > 1 else value) for key, value in node.value]
        return node


_TWICE = object()
_Loader.add_constructor("!twice", lambda _loader, _node: _TWICE)


def _value(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    if dataclasses.is_dataclass(kind):
        return _record(cast("type[Any]", kind), data, where, problems)
    shape = typing.get_origin(kind)
    for origins, read in _SHAPES:
        if shape in origins:
            return read(kind, data, where, problems)
    return _scalar(kind, data, where, problems)


def _record(kind: type[Any], data: object, where: str, problems: list[str]) -> Any:
    if not isinstance(data, Mapping):
        return _refuse(data, "a mapping", where, problems)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    problems.extend(_unknown_key(_join(where, str(key)), fields, where) for key in data if key not in fields)
    values = {}
    for name, field in fields.items():
        before = len(problems)
        if name in data:
            values[name] = _value(hints[name], data[name], _join(where, name), problems)
        elif _is_required(field):
            problems.append(f"{_join(where, name)} is missing")
        if len(problems) > before:
            values.pop(name, None)
    if any(_is_required(field) and name not in values for name, field in fields.items()):
        return None
    try:
        # After a problem above, too: what the type itself finds wrong with the other fields is listed as well.
        return kind(**values)
    except DecodeError as error:
        problems.extend(_join(where, problem) for problem in error.problems)
        return None
    except ValueError as error:
        problems.append(f"{where}: {error}" if where else str(error))
        return None


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _unknown_key(path: str, fields: Mapping[str, object], where: str) -> str:
    near = difflib.get_close_matches(path.rpartition(".")[2], fields, n=1)
    if near:
        return f"{path} is not a key. Did you mean {_join(where, near[0])}?"
    return f"{path} is not a key; the keys here are {', '.join(sorted(fields))}"


def _tuple(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    if not isinstance(data, (list, tuple)):
        return _refuse(data, "a list", where, problems)
    item = typing.get_args(kind)[0]
    return tuple(_value(item, entry, f"{where}[{index}]", problems) for index, entry in enumerate(data))


def _mapping(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    if not isinstance(data, Mapping):
        return _refuse(data, "a mapping", where, problems)
    item = typing.get_args(kind)[1]
    return {str(key): _value(item, entry, _join(where, str(key)), problems) for key, entry in data.items()}


def _union(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    options = typing.get_args(kind)
    if data is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) == 1 or data is _TWICE:
        return _value(options[0], data, where, problems)
    return _tagged(options, data, where, problems)


def _tagged(options: tuple[type[Any], ...], data: object, where: str, problems: list[str]) -> Any:
    """A union of dataclasses, told apart by their field `kind`, a Literal."""
    named = {typing.get_args(typing.get_type_hints(option)["kind"])[0]: option for option in options}
    tag = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(tag, str) or tag not in named:
        return _refuse(tag, f"one of {', '.join(sorted(named))}", _join(where, "kind"), problems)
    return _value(named[tag], data, where, problems)


def _literal(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    options = typing.get_args(kind)
    if data in options:
        return data
    return _refuse(data, f"one of {', '.join(map(str, options))}", where, problems)


_SHAPES: tuple[tuple[tuple[Any, ...], Callable[[Any, object, str, list[str]], Any]], ...] = (
    ((tuple,), _tuple),
    ((dict, Mapping), _mapping),
    ((typing.Union, types.UnionType), _union),
    ((typing.Literal,), _literal),
)
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", PurePosixPath: "a path"}


def _scalar(kind: Any, data: object, where: str, problems: list[str]) -> Any:
    # YAML reads `yes` as True, and True is an int in Python: a count of True is a mistake, not 1.
    if kind is PurePosixPath and isinstance(data, str):
        return PurePosixPath(data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, kind) and (kind is bool or not isinstance(data, bool)):
        return data
    return _refuse(data, _NAMES[kind], where, problems)


def _refuse(data: object, wanted: str, where: str, problems: list[str]) -> None:
    said = "given twice" if data is _TWICE else f"{data!r}: must be {wanted}"
    problems.append(f"{where or 'the file'} is {said}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
