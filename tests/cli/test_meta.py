"""`--meta`: said when pictures are added, and what `ask`, `forget` and `pin` mean by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Finished, run
from daemons import Daemon


def command(daemon: Daemon, *arguments: str | Path) -> Finished:
    return run(arguments[0], "--config", daemon.config_file, *arguments[1:])


def answers(daemon: Daemon, *narrowing: str) -> dict[str, Any]:
    """Metadata of all answers, by source."""
    done = command(daemon, "ask", "--json", "--limit", "100", *narrowing, "an animal")
    return {result["source"]: result.get("meta") for result in json.loads(done.out)["results"]}


def test_pictures_are_asked_for_pinned_and_forgotten_by_what_was_said_of_them(
    daemon: Daemon, pictures: list[Path]
) -> None:
    here, there, plain = (str(picture) for picture in pictures[:3])
    assert command(daemon, "add", "--meta", "place=Kyoto", "--meta", "a=b=c", here).out == "1 accepted\n"
    assert command(daemon, "add", "--meta", "place=Nara", there).out == "1 accepted\n"
    assert command(daemon, "add", plain).out == "1 accepted\n"
    assert answers(daemon) == {here: {"place": "Kyoto", "a": "b=c"}, there: {"place": "Nara"}, plain: None}
    assert answers(daemon, "--meta", "place=Kyoto", "--meta", "a=b=c").keys() == {here}
    assert command(daemon, "ask", "--meta", "a=b", "x").out.startswith("nothing found\n")
    assert command(daemon, "add", "--meta", "place=Kyoto", there).out == "1 there already\n"
    assert command(daemon, "pin", "--meta", "a=b=c").out == "1 pinned\n"
    assert command(daemon, "forget", "--meta", "place=Kyoto").out == "1 forgotten, 1 pinned and kept\n"
    assert answers(daemon).keys() == {here, plain}


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("add", "x.jpg"), "place", "argument --meta: 'place': must be KEY=VALUE, as place=Kyoto"),
        (("ask", "x"), "=Kyoto", "argument --meta: meta has the key '': must be 1 to 64 of"),
        (("forget",), "my place=Kyoto", "argument --meta: meta has the key 'my place'"),
        (("pin",), f"place={'x' * 257}", "argument --meta: meta.place must be Unicode text of at most 256 characters"),
    ],
)
def test_what_is_no_key_and_value_is_a_usage_error(arguments: tuple[str, ...], given: str, said: str) -> None:
    done = run(*arguments, "--meta", given)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
