from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import pytest

from edge.decode import DecodeError, decode, load_yaml
from edge.errors import ConfigError

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Wheel:
    inches: float
    spokes: int = 36
    bars: float | tuple[float, float] = 4.5

    def __post_init__(self) -> None:
        if self.spokes < 3:
            raise ValueError(f"{self.spokes} spokes do not make a wheel")


@dataclass(frozen=True, kw_only=True)
class Bell:
    kind: Literal["bell"]
    rings: int


@dataclass(frozen=True, kw_only=True)
class Horn:
    kind: Literal["horn"]
    decibels: float


@dataclass(frozen=True, kw_only=True)
class Basket:
    litres: int = 10
    colour: str = "black"

    def __post_init__(self) -> None:
        problems = [f"litres is {self.litres}: must be 1 or more"] * (self.litres < 1)
        problems += [f"colour is {self.colour}: must not be pink"] * (self.colour == "pink")
        if problems:
            raise DecodeError(tuple(problems))


@dataclass(frozen=True, kw_only=True)
class Bicycle:
    name: str
    wheels: tuple[Wheel, ...]
    frame: Literal["steel", "wood"] = "steel"
    folds: bool = False
    gears: int | None = None
    signal: Bell | Horn | None = None
    manual: PurePosixPath | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    basket: Basket = field(default_factory=Basket)


def problems_of(data: object) -> tuple[str, ...]:
    with pytest.raises(DecodeError) as caught:
        decode(Bicycle, data)
    return caught.value.problems


def bicycle(**changes: object) -> dict[str, object]:
    return {"name": "Rover", "wheels": [], **changes}


def test_every_shape_becomes_its_type() -> None:
    data = bicycle(
        wheels=[{"inches": 28}, {"inches": 26.5, "spokes": 32}],
        frame="wood",
        folds=True,
        gears=7,
        signal={"kind": "horn", "decibels": 90},
        manual="paper/manual.txt",
        prices={"list": 300, "sale": 249.5},
        basket={"litres": 4},
    )
    assert decode(Bicycle, data) == Bicycle(
        name="Rover",
        wheels=(Wheel(inches=28.0), Wheel(inches=26.5, spokes=32)),
        frame="wood",
        folds=True,
        gears=7,
        signal=Horn(kind="horn", decibels=90.0),
        manual=PurePosixPath("paper/manual.txt"),
        prices={"list": 300.0, "sale": 249.5},
        basket=Basket(litres=4),
    )


def test_absent_keys_take_their_defaults() -> None:
    assert decode(Bicycle, bicycle()) == Bicycle(name="Rover", wheels=())


def test_whole_number_becomes_a_float_where_a_number_is_wanted() -> None:
    wheel = decode(Wheel, {"inches": 28})
    assert isinstance(wheel.inches, float)


def test_number_or_a_list_of_them_is_taken_as_it_is_given() -> None:
    assert decode(Wheel, {"inches": 28, "bars": 4}).bars == 4.0
    assert decode(Wheel, {"inches": 28, "bars": [4, 5.5]}).bars == (4.0, 5.5)


def test_null_is_taken_where_it_is_allowed_and_refused_elsewhere() -> None:
    assert decode(Bicycle, bicycle(gears=None, signal=None)).gears is None
    assert problems_of(bicycle(name=None)) == ("name is None: must be a text",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": 5}, "name is 5: must be a text"),
        ({"wheels": {"inches": 28}}, "wheels is {'inches': 28}: must be a list"),
        ({"wheels": "28"}, "wheels is '28': must be a list"),
        ({"wheels": [28]}, "wheels[0] is 28: must be a mapping"),
        ({"wheels": [{"inches": "wide"}]}, "wheels[0].inches is 'wide': must be a number"),
        ({"wheels": [{"inches": 28, "spokes": 1.0}]}, "wheels[0].spokes is 1.0: must be a whole number"),
        ({"wheels": [{"inches": 28, "bars": "hard"}]}, "wheels[0].bars is 'hard': must be a number or a list"),
        ({"wheels": [{"inches": 28, "bars": None}]}, "wheels[0].bars is None: must be a number or a list"),
        ({"wheels": [{"inches": 28, "bars": [4, True]}]}, "wheels[0].bars[1] is True: must be a number"),
        ({"frame": "bamboo"}, "frame is 'bamboo': must be one of steel, wood"),
        ({"frame": ["steel"]}, "frame is ['steel']: must be one of steel, wood"),
        ({"folds": "yes"}, "folds is 'yes': must be true or false"),
        ({"folds": 1}, "folds is 1: must be true or false"),
        ({"gears": "seven"}, "gears is 'seven': must be a whole number"),
        ({"manual": 3}, "manual is 3: must be a path"),
        ({"prices": [300]}, "prices is [300]: must be a mapping"),
        ({"prices": {"list": "dear"}}, "prices.list is 'dear': must be a number"),
        ({"signal": "bell"}, "signal.kind is None: must be one of bell, horn"),
        ({"signal": {"rings": 2}}, "signal.kind is None: must be one of bell, horn"),
        ({"signal": {"kind": "siren"}}, "signal.kind is 'siren': must be one of bell, horn"),
        ({"signal": {"kind": ["bell"]}}, "signal.kind is ['bell']: must be one of bell, horn"),
        ({"signal": {"kind": "bell"}}, "signal.rings is missing"),
    ],
)
def test_value_of_the_wrong_kind_is_named_with_its_path_and_what_is_allowed(
    changes: dict[str, object], problem: str
) -> None:
    assert problems_of(bicycle(**changes)) == (problem,)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"gears": True}, "gears is True: must be a whole number"),
        ({"prices": {"list": False}}, "prices.list is False: must be a number"),
    ],
)
def test_boolean_is_not_a_number(changes: dict[str, object], problem: str) -> None:
    assert problems_of(bicycle(**changes)) == (problem,)


@pytest.mark.parametrize("data", [None, "Rover", ["Rover"], 3])
def test_data_that_is_no_mapping_is_refused_as_a_whole(data: object) -> None:
    assert problems_of(data) == (f"the file is {data!r}: must be a mapping",)


def test_key_of_a_mapping_that_is_no_text_is_named_with_what_to_write() -> None:
    data = bicycle(prices={7: 300, "list": 300})
    assert problems_of(data) == ("prices.7 is not a text: put the key in quotes",)


def test_missing_key_is_named() -> None:
    assert problems_of({"wheels": [{}]}) == ("name is missing", "wheels[0].inches is missing")


def test_unknown_key_is_answered_with_the_nearest_one() -> None:
    assert problems_of(bicycle(gaers=7)) == ("gaers is not a key. Did you mean gears?",)


def test_unknown_key_inside_is_answered_with_the_whole_path() -> None:
    data = bicycle(wheels=[{"inches": 28, "spoke": 36}])
    assert problems_of(data) == ("wheels[0].spoke is not a key. Did you mean wheels[0].spokes?",)


def test_unknown_key_that_is_near_to_none_is_answered_with_all_keys() -> None:
    data = bicycle(basket={"zzz": 1})
    assert problems_of(data) == ("basket.zzz is not a key; the keys here are colour, litres",)


def test_key_that_is_no_text_is_an_unknown_key() -> None:
    assert problems_of(bicycle(basket={7: 1})) == ("basket.7 is not a key; the keys here are colour, litres",)


def test_what_a_type_refuses_becomes_a_problem_at_its_key() -> None:
    data = bicycle(wheels=[{"inches": 28}, {"inches": 28, "spokes": 2}])
    assert problems_of(data) == ("wheels[1]: 2 spokes do not make a wheel",)


def test_what_the_outermost_type_refuses_has_no_path() -> None:
    with pytest.raises(DecodeError, match=r"^1 spokes do not make a wheel$"):
        decode(Wheel, {"inches": 28, "spokes": 1})


def test_all_fields_that_a_type_refuses_are_listed_with_their_paths() -> None:
    data = bicycle(basket={"litres": 0, "colour": "pink"})
    assert problems_of(data) == ("basket.litres is 0: must be 1 or more", "basket.colour is pink: must not be pink")


def test_all_problems_are_found_at_once() -> None:
    data = {
        "wheels": [{"inches": "wide"}, {"inches": 28, "spokes": 2}],
        "fraem": "wood",
        "folds": "yes",
        "basket": {"litres": 0, "colour": 3},
    }
    assert problems_of(data) == (
        "fraem is not a key. Did you mean frame?",
        "name is missing",
        "wheels[0].inches is 'wide': must be a number",
        "wheels[1]: 2 spokes do not make a wheel",
        "folds is 'yes': must be true or false",
        "basket.colour is 3: must be a text",
        "basket.litres is 0: must be 1 or more",
    )


@dataclass(frozen=True, kw_only=True)
class Tandem:
    """Cannot do without what is optional on other bicycles."""

    seats: int = 2
    gears: int | None = None

    def __post_init__(self) -> None:
        if self.gears is None:
            raise ValueError(f"{self.seats} on a tandem need gears")


def test_optional_part_that_is_wrong_is_not_missed_as_if_it_were_left_out() -> None:
    with pytest.raises(DecodeError, match=r"^gears is 'many': must be a whole number$"):
        decode(Tandem, {"gears": "many"})
    with pytest.raises(DecodeError, match=r"^seats is 'two': must be a whole number; 2 on a tandem need gears$"):
        decode(Tandem, {"seats": "two"})


def test_the_message_holds_all_problems() -> None:
    with pytest.raises(DecodeError, match=r"^inches is missing; spokes is 'x': must be a whole number$"):
        decode(Wheel, {"spokes": "x"})


def test_import_is_cheap() -> None:
    bare, loaded = (min(seconds_of(code) for _ in range(5)) for code in ("pass", "import edge.decode"))
    print(f"import edge.decode: {1000 * (loaded - bare):.0f} ms")  # noqa: T201  what pytest shows beside a failure
    assert loaded - bare < 0.25


def seconds_of(code: str) -> float:
    """Of the processor: others on the machine count less so."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "bicycle.yaml"
    path.write_bytes(content)
    return path


def refusal_of(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_yaml(Basket, path)
    return caught.value


@pytest.mark.parametrize("content", [b"", b"# only a remark\n", b"{}"])
def test_empty_file_is_an_empty_mapping(tmp_path: Path, content: bytes) -> None:
    assert load_yaml(Basket, write(tmp_path, content)) == Basket()


def test_each_problem_of_a_file_stands_on_a_line_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, b"litres: 0\ncolor: black\n")
    error = refusal_of(path)
    assert str(error) == (f"{path}: color is not a key. Did you mean colour?\n{path}: litres is 0: must be 1 or more")
    assert (error.file, len(error.problems)) == (path, 2)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("folds: no\nfolds: yes", "folds is given twice"),
        ("folds: no\n'folds': no\nfolds: no", "folds is given twice"),
        ("basket: {}\nbasket: {litres: 4}", "basket is given twice"),
        ("basket: {litres: 4, litres: 0}", "basket.litres is given twice"),
        ("prices: {list: 300, sale: 250, list: 310}", "prices.list is given twice"),
        ("prices: {}\nprices: {}", "prices is given twice"),
        ("frame: wood\nframe: wood", "frame is given twice"),
        ("manual: a\nmanual: b", "manual is given twice"),
        ("signal: {kind: bell, rings: 2, kind: bell}", "signal.kind is given twice"),
        ("signal:\nsignal: {kind: bell, rings: 2}", "signal is given twice"),
    ],
)
def test_key_that_is_given_twice_is_a_problem(tmp_path: Path, content: str, problem: str) -> None:
    path = write(tmp_path, f"name: Rover\nwheels: []\n{content}".encode())
    with pytest.raises(ConfigError) as caught:
        load_yaml(Bicycle, path)
    assert caught.value.problems == (problem,)


def test_key_that_is_given_twice_is_listed_with_all_other_problems(tmp_path: Path) -> None:
    path = write(tmp_path, b"wheels: [{inches: 28}, {inches: 28, inches: 26, spokes: 2.5}]\nwheel: []\nwheel: []")
    with pytest.raises(ConfigError) as caught:
        load_yaml(Bicycle, path)
    assert caught.value.problems == (
        "wheel is not a key. Did you mean wheels?",
        "name is missing",
        "wheels[1].inches is given twice",
        "wheels[1].spokes is 2.5: must be a whole number",
    )


def test_key_that_overrides_a_merged_one_is_not_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path, b"name: Rover\nwheels: [&front {inches: 28}, {<<: *front, <<: *front, inches: 26}]")
    assert load_yaml(Bicycle, path).wheels == (Wheel(inches=28.0), Wheel(inches=26.0))


def test_missing_file_is_a_config_error_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert str(refusal_of(path)).startswith(f"{path}: cannot be read: [Errno 2] No such file or directory")


def test_file_that_is_not_utf8_is_a_config_error(tmp_path: Path) -> None:
    assert "cannot be read: 'utf-8' codec can't decode byte 0xff" in str(refusal_of(write(tmp_path, b"colour: \xff")))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"litres: [1", "while parsing a flow sequence"),
        (b"litres: 1\n\tcolour: black", "found character '\\t' that cannot start any token"),
        (b"colour: 2025-13-01", "month must be in 1..12"),
        (b"colour: \x00", "special characters are not allowed"),
        (b"colour: " + b"[" * 20_000, "recursion"),
    ],
    ids=["unclosed", "tab", "impossible date", "NUL", "too deep"],
)
def test_file_that_is_not_yaml_is_a_config_error_on_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = write(tmp_path, content)
    message = str(refusal_of(path))
    assert message.startswith(f"{path}: is not YAML: ")
    assert reason in message
    assert "\n" not in message
