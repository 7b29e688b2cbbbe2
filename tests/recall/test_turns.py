"""Whose turn it is, and who loses a place when there is no room."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from edge.recall.turns import Turns


def taken(turns: Turns[str]) -> list[str]:
    """All that waits, in the order of its turns."""
    turns.close()
    found: list[str] = []
    while (entry := turns.take()) is not None:
        found.append(entry)
    return found


def test_one_client_is_served_in_order() -> None:
    turns: Turns[str] = Turns(10)
    assert [turns.put("a", str(number)) for number in range(5)] == [[]] * 5
    assert taken(turns) == ["0", "1", "2", "3", "4"]


def test_clients_take_turns_whatever_they_ask() -> None:
    turns: Turns[str] = Turns(10)
    for entry in ("a0", "a1", "a2", "a3", "b0", "b1", "c0"):
        turns.put(entry[0], entry)
    assert taken(turns) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_client_that_was_served_stands_behind_all_others() -> None:
    turns: Turns[str] = Turns(10)
    for entry in ("a0", "a1", "b0", "b1"):
        turns.put(entry[0], entry)
    assert turns.take() == "a0"
    turns.put("c", "c0")
    assert taken(turns) == ["b0", "a1", "c0", "b1"]


def test_client_with_the_most_loses_its_newest_to_one_with_fewer() -> None:
    turns: Turns[str] = Turns(4)
    for number in range(4):
        turns.put("a", f"a{number}")
    assert turns.put("b", "b0") == ["a3"]
    assert turns.put("c", "c0") == ["a2"]
    assert taken(turns) == ["a0", "b0", "c0", "a1"]


def test_client_with_the_most_itself_has_no_room() -> None:
    turns: Turns[str] = Turns(3)
    for entry in ("a0", "a1", "b0"):
        turns.put(entry[0], entry)
    assert turns.put("a", "a2") == ["a2"]
    assert turns.put("b", "b1") == ["b1"]  # it would have as many as the one that made room, or more
    assert taken(turns) == ["a0", "b0", "a1"]


def test_one_place_is_for_one_client() -> None:
    turns: Turns[str] = Turns(1)
    turns.put("a", "a0")
    assert turns.put("b", "b0") == ["b0"]
    assert taken(turns) == ["a0"]


def test_taker_waits_for_the_next() -> None:
    turns: Turns[str] = Turns(3)
    found: list[str | None] = []
    taker = threading.Thread(target=lambda: found.extend([turns.take(), turns.take()]))
    taker.start()
    time.sleep(0.02)
    assert found == []
    turns.put("a", "a0")
    turns.close()
    taker.join(10)
    assert found == ["a0", None]


CLIENTS = st.lists(st.sampled_from("abcdefgh"), max_size=60)


@given(CLIENTS, st.integers(1, 12))
def test_nothing_is_lost_or_served_twice_and_nobody_waits_longer_than_a_round(asked: list[str], room: int) -> None:
    turns: Turns[str] = Turns(room)
    gone: list[str] = []
    for number, client in enumerate(asked):
        gone += turns.put(client, f"{client}{number}")
    served = taken(turns)
    assert sorted(served + gone) == sorted(f"{client}{number}" for number, client in enumerate(asked))
    assert len(served) == min(room, len(asked))
    waiting = {client: sum(entry[0] == client for entry in served) for client in asked}
    for place, entry in enumerate(served):
        waiting[entry[0]] -= 1
        others = sum(count > 0 for client, count in waiting.items() if client != entry[0])
        if waiting[entry[0]]:
            ahead = served[place + 1 :].index(next(one for one in served[place + 1 :] if one[0] == entry[0]))
            assert ahead == others
