"""Which sources are asked for, and what that makes their items worth beside those of others.

factor = (questions that the source answered + PRIOR) / (questions that its share of all items would answer + PRIOR)

within 1 / MOST and MOST. A source of which little is known, because it is new or small, has a factor near 1. A question
counts once, in equal parts for the sources of its hits. Beyond WINDOW questions all counts are halved, so that the last
some hundred matter; they and not a clock, which may jump. PRIOR, MOST and WINDOW are choices that no measurement made.

A photo's source is its path, which no other has: what counts as one source is the folder. Any other text is a source of
its own.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.memory.cache.worth import Real, Whole

PRIOR = 10.0
MOST = 4.0  # as much as two half-lives of age: what a source is worth must not drown everything else
WINDOW = 400.0
KEPT = 256  # sources; senders may think of any number of them
_LEAST = 0.05  # of a question: less is forgotten when counts are halved
_GROWTH = 1.01  # of all items, until the shares of sources are counted again
Read = Callable[[int], Sequence[tuple[int, str]]]
_Marks = npt.NDArray[np.uint32]


def source_of(text: str) -> str:
    """What an item's source counts as: the folder of a path, with the slash at its end, or all of any other text."""
    return text[: text.rfind("/") + 1] or text


class Demand:
    """Counts of questions by source. Any thread may call any method.

    It reads which item is of which source when the first factor is asked for, and what came since for each later one:
    12 bytes of memory an item.
    """

    def __init__(self, counted: Mapping[str, float], read: Read) -> None:
        """`counted` before, by `source_of`.

        read: of an id, the next items behind it with their sources, ids rising; none at the end
        """
        self._read = read
        self._counting = threading.Lock()  # for microseconds: a question waits for it
        self._questions = dict(counted)
        self._changed: set[str] = set()
        self._on_disk = set(counted)
        self._version = 0
        self._following = threading.Lock()  # over what is below, while rows are read
        self._ids: Whole = np.empty(0, dtype=np.int64)
        self._marks: _Marks = np.empty(0, dtype=np.uint32)
        self._table: tuple[_Marks, Real] = self._marks, np.empty(0)
        self._table_is_of = -1, 0  # the version, and how many items there were

    def answered(self, sources: Sequence[str]) -> None:
        """A question was answered with hits of these sources. In memory alone, see `pending`."""
        with self._counting:
            for text in sources:
                source = source_of(text)
                self._questions[source] = self._questions.get(source, 0.0) + 1 / len(sources)
                self._changed.add(source)
            if sum(self._questions.values()) > WINDOW:
                self._replace({source: count / 2 for source, count in self._questions.items() if count >= 2 * _LEAST})
            if len(self._questions) > 2 * KEPT:
                most_asked = sorted(self._questions.items(), key=lambda one: -one[1])
                self._replace(dict(most_asked[:KEPT]))
            self._version += 1

    def pending(self) -> dict[str, float]:
        """What changed since it was last `settled`; 0 for a source that is counted no more."""
        with self._counting:
            return {source: self._questions.get(source, 0.0) for source in sorted(self._changed)}

    def settled(self, written: Mapping[str, float]) -> None:
        """This is on disk."""
        with self._counting:
            self._on_disk = (self._on_disk | written.keys()) - {
                source for source, count in written.items() if not count
            }
            self._changed -= {source for source, count in written.items() if self._questions.get(source, 0.0) == count}

    def forget(self, sources: Collection[str]) -> None:
        """Items are gone, and with them all that there was of these sources, by `source_of`."""
        with self._following, self._counting:
            self._ids, self._marks = self._ids[:0], self._marks[:0]
            for source in sources:
                self._questions.pop(source, None)
            self._changed.difference_update(sources)
            self._on_disk.difference_update(sources)
            self._version += 1

    def factors(self, items: Whole) -> Real:
        """(N,) ids -> (N,) what their sources are worth, 1 for unknown ones. Raises what reading raises."""
        if not self._questions:
            return np.ones(len(items))
        with self._following:
            self._follow()
            marks = _values(items, self._ids, self._marks, 0)
            return _values(marks, *self._weighed(), 1.0)

    def _replace(self, questions: dict[str, float]) -> None:
        """What is counted no more must go from the disk, where it is there, and from nowhere else."""
        self._changed = (self._changed | self._questions.keys()) & (questions.keys() | self._on_disk)
        self._questions = questions

    def _follow(self) -> None:
        last = int(self._ids[-1]) if len(self._ids) else 0
        ids, marks = [self._ids], [self._marks]
        while found := self._read(last):
            last = found[-1][0]
            ids.append(np.array([item for item, _ in found], dtype=np.int64))
            marks.append(np.array([_mark(source_of(text)) for _, text in found], dtype=np.uint32))
        self._ids, self._marks = np.concatenate(ids), np.concatenate(marks)

    def _weighed(self) -> tuple[_Marks, Real]:
        """(S,) marks of the sources that have items, rising, and (S,) what each is worth."""
        with self._counting:
            version, questions = self._version, dict(self._questions)
        if self._table_is_of[0] != version or len(self._ids) > _GROWTH * self._table_is_of[1]:
            marks, items = np.unique(self._marks, return_counts=True)
            answered = np.zeros(len(marks))
            for source, count in questions.items():
                answered[marks == _mark(source)] += count
            expected = sum(questions.values()) * items / max(1, len(self._ids))
            self._table = marks, np.clip((answered + PRIOR) / (expected + PRIOR), 1 / MOST, MOST)
            self._table_is_of = version, len(self._ids)
        return self._table


def _mark(source: str) -> int:
    """A source in four bytes. Two that share one count as one."""
    return zlib.crc32(source.encode())


def _values(
    wanted: npt.NDArray[Any], keys: npt.NDArray[Any], values: npt.NDArray[Any], other: float
) -> npt.NDArray[Any]:
    """(N,) -> (N,) the value beside each among (S,) rising keys, `other` for what is not there."""
    places = np.searchsorted(keys, wanted)
    are_there = places < len(keys)
    are_there[are_there] = keys[places[are_there]] == wanted[are_there]
    found = np.full(len(wanted), other, dtype=values.dtype)
    found[are_there] = values[places[are_there]]
    return found
