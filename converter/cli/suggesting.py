"""A parser whose errors name the nearest option or choice."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)$", re.DOTALL)


class SuggestingParser(argparse.ArgumentParser):
    """Parses as argparse does. A command's parser sets the default `parser` to itself, for words left over."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = args or ()
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is left over is an error of the command that it stood behind."""
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            getattr(options, "parser", self).error(f"unrecognized arguments: {' '.join(rest)}")
        return options

    def error(self, message: str) -> NoReturn:
        """Usage, what is wrong, and what may have been meant; exit code 2."""
        if choice := _CHOICE.search(message):
            said, choices = choice[1], re.findall(r"[\w-]+", choice[2])
            near = difflib.get_close_matches(said, choices, n=1)
        else:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            unknown = [word.partition("=")[0] for word in self._words if word.startswith("--")]
            unknown = [word for word in unknown if not any(option.startswith(word) for option in known)]
            near = [hit for word in unknown for hit in difflib.get_close_matches(word, known, n=1)]
        super().error(message + "".join(f". Did you mean {hit}?" for hit in near[:1]))
