"""The split: fixed by a hash of each item; nothing is on two sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.data.contents import Content
from converter.data.listing import Listed, Skipped, Split
from converter.data.sides import ROLES, Item, key_of, role_of, same_words, take_sides

HELD = 0.25
Found = tuple[Listed, Content]


def found(
    name: str,
    *,
    texts: Sequence[str] = (),
    split: Split | None = None,
    decoded: str = "",
    group: str = "",
    of: str = "",
) -> Found:
    """An item whose bytes are its name (or `of`), and decode to them or to `decoded`."""
    digest = hashlib.sha256((of or name).encode()).digest()
    listed = Listed(name=name, source=Path(name), texts=tuple(texts), split=split, group=group)
    return listed, Content(digest, hashlib.sha256((decoded or of or name).encode()).digest())


def roles(items: Sequence[Item]) -> dict[str, str]:
    return {item.name: item.role for item in items}


def on(role: str, *, decoded: str = "", texts: Sequence[str] = ()) -> Found:
    """An item without an official side that the hash puts on `role`."""
    tries = (found(f"{role} {number}", decoded=decoded, texts=texts) for number in range(1000))
    return next(one for one in tries if role_of(key_of(*one), None, HELD) == role)


some_items = st.lists(
    st.builds(
        found,
        st.text("abcdef", min_size=1, max_size=3),
        texts=st.lists(st.sampled_from(["a dog", "A dog.", "two men", "snow", "a red car"]), max_size=3),
        split=st.sampled_from([None, "train", "validation", "test"]),
        decoded=st.sampled_from(["", "", "x", "y"]),
        group=st.sampled_from(["", "", "", "person 1", "person 2"]),
    ),
    max_size=12,
    unique_by=lambda one: one[0].name,
)


@given(some_items, st.randoms())
def test_sides_do_not_depend_on_the_order_of_the_items(items: list[Found], random: Random) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)
    one, other = take_sides(items, HELD), take_sides(shuffled, HELD)
    assert sorted(one.items, key=lambda item: item.name) == sorted(other.items, key=lambda item: item.name)
    assert set(one.skipped) == set(other.skipped)
    assert one.texts_taken == other.texts_taken


@given(some_items, some_items)
def test_adding_items_moves_no_other(items: list[Found], more: list[Found]) -> None:
    names = {listed.name for listed, _ in items}
    before = roles(take_sides(items, HELD).items)
    after = roles(take_sides([*items, *(one for one in more if one[0].name not in names)], HELD).items)
    assert {name: role for name, role in after.items() if before.get(name, role) != role} == {}


@given(some_items)
def test_no_content_and_no_caption_is_on_two_sides(items: list[Found]) -> None:
    contents = {listed.name: content for listed, content in items}
    kept = take_sides(items, HELD).items
    assert _on_one_side((contents[item.name].decoded, item.role) for item in kept)
    assert _on_one_side((contents[item.name].digest, item.role) for item in kept)
    assert _on_one_side((same_words(text), item.role) for item in kept for text in item.texts)


def _on_one_side(pairs: Iterable[tuple[object, str]]) -> bool:
    distinct = set(pairs)
    return len(distinct) == len({what for what, _ in distinct})


@given(some_items)
def test_every_item_is_kept_or_skipped_and_the_test_side_stays_complete(items: list[Found]) -> None:
    sides = take_sides(items, HELD)
    assert Counter(listed.name for listed, _ in items) == Counter(
        [*(item.name for item in sides.items), *(skip.name for skip in sides.skipped)]
    )
    tested = {item.name for item in sides.items if item.role == "test"}
    assert {listed.name for listed, _ in items if listed.split == "test"} <= tested


def test_shares_are_as_wanted_over_many_items() -> None:
    counts = Counter(role_of(hashlib.sha256(bytes([n % 256, n // 256])).digest(), None, HELD) for n in range(10_000))
    assert counts["test"] == pytest.approx(2000, abs=150)
    assert counts["held"] == pytest.approx(2000, abs=150)
    assert counts["train"] == pytest.approx(6000, abs=200)


def test_larger_held_share_only_takes_from_train() -> None:
    keys = [hashlib.sha256(bytes([number])).digest() for number in range(256)]
    small, large = ([role_of(key, None, held) for key in keys] for held in (0.2, 0.4))
    assert {pair for pair in zip(small, large, strict=True) if len(set(pair)) == 2} == {("train", "held")}


@pytest.mark.parametrize(
    ("split", "possible"),
    [("train", {"train", "held"}), ("validation", {"held"}), ("test", {"test"}), (None, {"train", "held", "test"})],
)
def test_official_sides_are_respected(split: Split | None, possible: set[str]) -> None:
    assert {role_of(hashlib.sha256(bytes([n])).digest(), split, HELD) for n in range(256)} == possible


def test_folds_are_about_equal_on_each_side_and_independent_of_it() -> None:
    items = take_sides([found(f"item {number}") for number in range(5000)], HELD).items
    for role in ROLES:
        side = [item for item in items if item.role == role]
        folds = Counter(item.fold(4) for item in side)
        assert set(folds) == {0, 1, 2, 3}
        assert all(count == pytest.approx(len(side) / 4, rel=0.2) for count in folds.values())


def test_items_of_a_group_share_side_and_fold() -> None:
    items = take_sides([found(f"window {number}", group=f"person {number // 20}") for number in range(400)], HELD).items
    assert len({(item.role, item.key) for item in items}) == 20
    assert {item.role for item in items} == set(ROLES)


@pytest.mark.parametrize(("first", "other"), [("test", "train"), ("test", "held"), ("held", "train")])
def test_same_picture_on_two_sides_stays_on_the_first_alone(first: str, other: str) -> None:
    kept, lost = on(first, decoded="one picture"), on(other, decoded="one picture")
    sides = take_sides([lost, kept], HELD)
    assert roles(sides.items) == {kept[0].name: first}
    assert sides.skipped == (Skipped(lost[0].name, f"the same content is on the {first} side"),)


def test_same_file_in_the_official_train_and_test_side_is_test_alone() -> None:
    sides = take_sides([found("a", split="train"), found("b", split="test", of="a")], HELD)
    assert roles(sides.items) == {"b": "test"}


def test_same_picture_twice_on_one_side_stays_and_shares_a_fold() -> None:
    items = take_sides([found(name, split="test", decoded="one picture") for name in "abcdefgh"], HELD).items
    assert len(items) == 8
    assert len({item.fold(1000) for item in items}) == 1


@pytest.mark.parametrize(("first", "other"), [("test", "train"), ("test", "held"), ("held", "train")])
def test_caption_on_two_sides_is_taken_from_the_later_one(first: str, other: str) -> None:
    kept = on(first, texts=["A dog runs ."])
    poorer = on(other, texts=["a dog  runs", "A brown dog runs ."])
    sides = take_sides([poorer, kept], HELD)
    assert [item.texts for item in sides.items] == [("A brown dog runs .",), ("A dog runs .",)]
    assert (sides.texts_taken, sides.skipped) == (1, ())


def test_item_whose_captions_are_all_on_another_side_is_skipped() -> None:
    kept, lost = on("test", texts=["A dog runs ."]), on("train", texts=["A dog runs", "a dog runs!"])
    sides = take_sides([kept, lost], HELD)
    assert roles(sides.items) == {kept[0].name: "test"}
    assert sides.skipped == (Skipped(lost[0].name, "its texts are all on the test side"),)
    assert sides.texts_taken == 0


def test_names_of_classes_may_be_on_all_sides() -> None:
    listed = [Listed(name=str(n), source=Path(str(n)), texts=("walking",), classes=True) for n in range(60)]
    sides = take_sides([(one, found(one.name)[1]) for one in listed], HELD)
    assert Counter(item.texts for item in sides.items) == {("walking",): 60}
    assert {item.role for item in sides.items} == set(ROLES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog runs .", "a dog runs"),
        ("  a DOG,\nruns", "a dog runs"),
        ("Straße", "strasse"),
        ("犬が走る。", "犬が走る"),
        (" !!! ", "!!!"),
    ],
)
def test_captions_are_compared_by_their_words(text: str, words: str) -> None:
    assert same_words(text) == words
