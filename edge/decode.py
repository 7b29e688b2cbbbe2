"""Plain data (from YAML or JSON) into frozen dataclasses: the one validation at the borders.

cattrs reads the data; what it refuses is told here in the user's words. Every problem is found before anything is
raised, each as "key.path is VALUE: what it must be"; an unknown key is answered with the nearest valid one. Past this
border nothing is checked twice and no dict travels.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml
from cattrs import ClassValidationError, Converter, IterableValidationError

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
    try:
        return _CONVERTER.structure(data, kind)
    except (ClassValidationError, AttributeError, TypeError) as error:  # the last two of data that is no mapping
        raise DecodeError(tuple(_problems(error, kind, data, ""))) from None


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


def _exact(data: object, kind: type[T]) -> T:
    # YAML reads `yes` as True, and True is an int in Python: a count of True is a mistake, not 1.
    if type(data) is not kind:
        raise TypeError
    return data


def _tuple(data: object, kind: Any) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise TypeError
    items: Any = types.GenericAlias(list, typing.get_args(kind)[:1])
    return tuple(_CONVERTER.structure(data, items))


def _tagged(data: Any, kind: Any) -> Any:
    if data is None and types.NoneType in typing.get_args(kind):
        return None
    return _CONVERTER.structure(data, _tags(kind)[data["kind"]])


def _is_plain_union(kind: Any) -> bool:
    """A union of a scalar and a list of them, or of a number and text."""
    return len(_options(kind)) > 1 and not any(map(dataclasses.is_dataclass, _options(kind)))


def _one_or_many(data: object, kind: Any) -> Any:
    if (data is None and types.NoneType in typing.get_args(kind)) or (type(data) is str and str in _options(kind)):
        return data
    one, many = sorted(_options(kind), key=lambda option: typing.get_origin(option) is not None)
    return _CONVERTER.structure(data, many if isinstance(data, (list, tuple)) else one)


def _tags(kind: Any) -> dict[str, type[Any]]:
    """A union of dataclasses by their field `kind`, a Literal."""
    return {typing.get_args(typing.get_type_hints(option)["kind"])[0]: option for option in _options(kind)}


def _options(kind: Any) -> tuple[Any, ...]:
    """What a union allows beside None; of any other type itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(option for option in typing.get_args(kind) if option is not types.NoneType)
    return (kind,)


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind in (int, str, bool):
        converter.register_structure_hook(kind, _exact)
    converter.register_structure_hook(float, lambda data, _: float(_exact(data, int if type(data) is int else float)))
    converter.register_structure_hook(PurePosixPath, lambda data, _: PurePosixPath(_exact(data, str)))
    converter.register_structure_hook_func(lambda kind: getattr(kind, "__origin__", None) is tuple, _tuple)
    converter.register_structure_hook_func(lambda kind: len(_options(kind)) > 1, _tagged)
    converter.register_structure_hook_func(_is_plain_union, _one_or_many)
    return converter


_CONVERTER = _converter()
_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    PurePosixPath: "a path",
    tuple: "a list",
}


def _problems(error: Exception, kind: Any, data: Any, where: str) -> Iterator[str]:
    """What `error`, raised where `data` was read as a `kind`, says to the user."""
    if isinstance(error, ClassValidationError):
        yield from _record_problems(error, data, where)
    elif isinstance(error, IterableValidationError):
        for each, note in error.group_exceptions()[0]:
            in_list = isinstance(data, (list, tuple))
            path = f"{where}[{note.index}]" if in_list else _join(where, str(note.index))
            if in_list or isinstance(note.index, str):
                yield from _problems(each, note.type, data[note.index], path)
            else:
                yield f"{path} is not a text: put the key in quotes"
    else:
        yield _refusal(kind, data, where)


def _record_problems(error: ClassValidationError, data: Mapping[str, Any], where: str) -> Iterator[str]:
    fields = {field.name: field for field in dataclasses.fields(error.cl) if field.init}
    yield from (_unknown_key(str(key), fields, where) for key in data if key not in fields)
    wrong = {note.name: (each, note.type) for each, note in error.group_exceptions()[0]}
    for name, (each, kind) in wrong.items():
        path = _join(where, name)
        yield from _problems(each, kind, data[name], path) if name in data else (f"{path} is missing",)
    if any(fields[name].default is None for name in wrong):
        return  # left out, an optional part would be missed by others that need it: nobody left it out
    # Again without these: what the type itself finds wrong with the other fields is listed as well.
    try:
        _CONVERTER.structure({name: data[name] for name in fields if name in data and name not in wrong}, error.cl)
    except ClassValidationError as rest:
        for each in rest.group_exceptions()[1]:
            if not isinstance(each, ValueError):
                raise each from None
            if isinstance(each, DecodeError):
                yield from (_join(where, problem) for problem in each.problems)
            else:
                yield f"{where}: {each}" if where else str(each)


def _unknown_key(key: str, fields: Collection[str], where: str) -> str:
    near = difflib.get_close_matches(key, fields, n=1)
    if near:
        return f"{_join(where, key)} is not a key. Did you mean {_join(where, near[0])}?"
    return f"{_join(where, key)} is not a key; the keys here are {', '.join(sorted(fields))}"


def _refusal(kind: Any, data: Any, where: str) -> str:
    option, *others = _options(kind)
    if _is_plain_union(kind):
        wanted = " or ".join(_NAMES[typing.get_origin(one) or one] for one in (option, *others))
    elif others and data is not _TWICE:
        where, data = _join(where, "kind"), data.get("kind") if isinstance(data, Mapping) else None
        wanted = f"one of {', '.join(sorted(_tags(kind)))}"
    elif typing.get_origin(option) is typing.Literal:
        wanted = f"one of {', '.join(map(str, typing.get_args(option)))}"
    else:
        wanted = _NAMES.get(typing.get_origin(option) or option, "a mapping")
    said = "given twice" if data is _TWICE else f"{data!r}: must be {wanted}"
    return f"{where or 'the file'} is {said}"


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
