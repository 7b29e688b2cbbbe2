"""Questions by example: what looks like a picture, remembered or not, alone or together with words."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.bank import Banks
from edge.bundle import Bundle, Model
from edge.errors import RefusedError
from edge.items import Answer, Arrival, Floats, Question, Selection
from edge.memory import Memory
from edge.memory.disk.eviction import Limits
from edge.recall import Corrector, Filter, Granularities, Retriever
from edge.recall.example import _KEPT, Example, Examples, Picture
from edge.runtime import Invoke, TowerRunner

NEVER = 1_000_000
Ask = Callable[..., Answer]


@pytest.fixture
def ask(banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory) -> Ask:
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(image, memory, banks, batch=8)
    retriever = Retriever(text, image.spec, filtering, corrector, memory, pool=6)
    return lambda limit=12, **more: retriever.ask(Question(limit=limit, **more))


@pytest.fixture
def spread(image: TowerRunner, pictures: list[Path], remember: Callable[..., None]) -> list[Path]:
    """A dozen pictures at three exits."""
    for number, place in enumerate((image.spec.exits[0], image.spec.exits[1], image.spec.exits[-1])):
        remember(pictures[4 * number : 4 * number + 4], place)
    return pictures[:12]


def counting(invoke: Invoke, ran: list[Model]) -> Invoke:
    """`invoke`, that notes the files that it runs."""

    def counted(model: Model, inputs: Mapping[str, Floats]) -> Floats:
        ran.append(model)
        return invoke(model, inputs)

    return counted


@pytest.fixture
def counted_ask(
    bundle: Bundle, banks: Banks, image: TowerRunner, text: TowerRunner, memory: Memory, invoke: Invoke
) -> tuple[Ask, list[Model]]:
    """`ask`, and the files of the image tower that it ran."""
    ran: list[Model] = []
    tower = TowerRunner(bundle.folder, image.spec, counting(invoke, ran))
    filtering, corrector = Filter(memory, image.spec, NEVER), Corrector(tower, memory, banks, batch=8)
    retriever = Retriever(text, image.spec, filtering, corrector, memory, pool=6)
    return lambda limit=12, **more: retriever.ask(Question(limit=limit, **more)), ran


@pytest.fixture
def words(text: TowerRunner, image: TowerRunner) -> Granularities:
    return Granularities(text, image.spec, "a dog")


def digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()


def whole(image: TowerRunner, file: Path) -> Floats:
    """A picture's embedding at the last exit."""
    place = image.spec.exits[-1]
    embedding: Floats = image.embed(image.advance(image.start_images([file.read_bytes()]), place.segment), place)[0]
    return embedding


def found(answer: Answer) -> list[bytes]:
    return [hit.item.digest for hit in answer.hits]


def test_item_finds_all_others_by_cosine_and_not_itself(ask: Ask, spread: list[Path], image: TowerRunner) -> None:
    example = whole(image, spread[0])
    answer = ask(like=digest(spread[0]))
    others = {digest(file): float(whole(image, file) @ example) for file in spread[1:]}
    assert set(found(answer)) == others.keys()
    assert answer.refined == 6
    for hit in answer.hits[:6]:
        assert hit.score == pytest.approx(others[hit.item.digest], abs=2e-3)
    scores = [hit.score for hit in answer.hits[:6]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("spread")
def test_picture_that_is_remembered_is_left_out_also_when_it_is_sent(ask: Ask, pictures: list[Path]) -> None:
    by_id, sent = ask(like=digest(pictures[5])), ask(image=pictures[5].read_bytes())
    assert found(sent) == found(by_id)
    assert len(sent.hits) == 11


@pytest.mark.usefixtures("spread")
def test_picture_that_is_not_remembered_finds_all(ask: Ask, pictures: list[Path]) -> None:
    answer = ask(image=pictures[20].read_bytes())
    assert len(answer.hits) == 12
    assert digest(pictures[20]) not in found(answer)


@pytest.mark.usefixtures("spread")
def test_page_is_full_although_the_example_is_left_out(ask: Ask, pictures: list[Path]) -> None:
    all_ = found(ask(like=digest(pictures[0]), refine=False))
    assert found(ask(like=digest(pictures[0]), refine=False, limit=3)) == all_[:3]
    assert found(ask(like=digest(pictures[0]), refine=False, limit=3, offset=3)) == all_[3:6]


@pytest.mark.usefixtures("spread")
def test_how_alike_pictures_are_has_no_relevance_with_and_without_words(ask: Ask, pictures: list[Path]) -> None:
    for words in ("", "a dog"):
        answer = ask(text=words, like=digest(pictures[0]), explain=True)
        assert {hit.relevance for hit in answer.hits} == {None}
        assert {hit.why.coarse_relevance for hit in answer.hits if hit.why} == {None}
        with pytest.raises(RefusedError, match="min_relevance is for text alone: how alike pictures are is not") as no:
            ask(text=words, like=digest(pictures[0]), least=0.1)
        assert no.value.code == "not_calibrated"
    assert None not in {hit.relevance for hit in ask(text="a dog").hits}


def test_example_sees_each_exit_by_the_pictures_own_embedding_there(image: TowerRunner, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    start = image.start_images([content])
    example = Example(image, content)
    for place in (image.spec.exits[1], image.spec.exits[-1], image.spec.exits[0]):  # in whatever order
        expected = image.embed(image.advance(start, place.segment), place)[0]
        np.testing.assert_array_equal(example.at(place.depth), expected)


def test_words_and_example_count_the_same(
    image: TowerRunner, text: TowerRunner, pictures: list[Path], score: Callable[..., float]
) -> None:
    words = Granularities(text, image.spec, "a dog")
    last = image.spec.exits[-1]
    both = Example(image, pictures[0].read_bytes(), words).at(last.depth)
    other = whole(image, pictures[1])
    halves = score("a dog", pictures[1], last), float(whole(image, pictures[0]) @ other)
    assert float(both @ other) == pytest.approx(sum(halves) / 2, abs=1e-5)


def test_words_beside_an_example_change_what_is_found(ask: Ask, spread: list[Path]) -> None:
    alone = ask(like=digest(spread[0]))
    both = ask(like=digest(spread[0]), text="food on a table")
    assert set(found(both)) == set(found(alone))
    assert found(both) != found(alone)


def test_tower_is_passed_once_for_all_exits(
    bundle: Bundle, image: TowerRunner, invoke: Invoke, pictures: list[Path]
) -> None:
    ran: list[Model] = []
    example = Example(TowerRunner(bundle.folder, image.spec, counting(invoke, ran)), pictures[0].read_bytes())
    for _ in range(2):
        for place in image.spec.exits:
            example.at(place.depth)
    segments = image.spec.exits[-1].segment + 1
    assert len(ran) == segments + len(image.spec.exits)


@pytest.mark.usefixtures("spread")
@pytest.mark.parametrize("way", ["image", "like"])
def test_same_example_soon_after_runs_no_segment_and_no_head(
    counted_ask: tuple[Ask, list[Model]], pictures: list[Path], way: str
) -> None:
    ask, ran = counted_ask
    example = {"image": pictures[0].read_bytes()} if way == "image" else {"like": digest(pictures[0])}
    first = ask(refine=False, **example)
    assert len(ran) > 0
    ran.clear()
    again = ask(refine=False, limit=5, **example)
    assert ran == []
    assert [(hit.item.id, hit.score) for hit in again.hits] == [(hit.item.id, hit.score) for hit in first.hits[:5]]
    ask(refine=False, image=pictures[20].read_bytes())
    assert len(ran) > 0


def test_same_example_runs_only_to_the_exits_where_it_was_not_compared_yet(
    bundle: Bundle, image: TowerRunner, invoke: Invoke, pictures: list[Path], words: Granularities
) -> None:
    ran: list[Model] = []
    examples = Examples(TowerRunner(bundle.folder, image.spec, counting(invoke, ran)))
    picture = Picture(pictures[0].read_bytes(), digest(pictures[0]))
    first, second, *_ = image.spec.exits
    kept = examples.embed(picture).at(first.depth)
    assert len(ran) == first.segment + 2
    ran.clear()
    again = examples.embed(picture, words)  # with words beside it, too
    np.testing.assert_allclose(again.at(first.depth), (kept + words.at(first.depth)) / 2, atol=1e-6)
    assert ran == []
    again.at(second.depth)
    assert len(ran) == second.segment + 2
    np.testing.assert_array_equal(examples.embed(picture).at(first.depth), kept)


def test_only_the_last_examples_are_kept(
    bundle: Bundle, image: TowerRunner, invoke: Invoke, pictures: list[Path]
) -> None:
    ran: list[Model] = []
    examples = Examples(TowerRunner(bundle.folder, image.spec, counting(invoke, ran)))
    depth = image.spec.exits[0].depth

    def see(number: int) -> bool:
        """Whether the tower had to run for it."""
        ran.clear()
        examples.embed(Picture(pictures[0].read_bytes(), number.to_bytes(32, "big"))).at(depth)
        return bool(ran)

    assert all(see(number) for number in range(_KEPT))
    assert not see(0)
    assert see(_KEPT)
    assert [see(number) for number in (0, _KEPT, 1)] == [False, False, True]
    assert len(examples._kept) == _KEPT


@pytest.mark.usefixtures("spread")
def test_narrowing_holds_for_examples_too(ask: Ask, pictures: list[Path]) -> None:
    answer = ask(like=digest(pictures[0]), narrowing=Selection(digests=(digest(pictures[0]), digest(pictures[7]))))
    assert found(answer) == [digest(pictures[7])]


def test_bank_statistics_that_lift_an_item_for_words_do_not_for_a_picture(
    ask: Ask, memory: Memory, spread: list[Path]
) -> None:
    memory._rows.execute("UPDATE embeddings SET offset = offset + 50 * (item % 3)")
    scores = [hit.score for hit in ask(like=digest(spread[0]), refine=False).hits]
    assert scores == sorted(scores, reverse=True)
    by_words = [hit.score for hit in ask(text="a dog", refine=False).hits]
    assert by_words != sorted(by_words, reverse=True)


def test_what_is_not_remembered_or_not_kept_is_not_found_with_what_to_do(
    ask: Ask, memory: Memory, spread: list[Path], arrival: Callable[[Path], Arrival]
) -> None:
    with pytest.raises(RefusedError, match="nothing with this id is remembered: send the picture as `image`") as no:
        ask(like=bytes(32))
    assert no.value.code == "not_found"
    item = memory.find(digest(spread[3]))
    assert item is not None
    memory.evict(Limits(max_bytes=0, max_age_s=None))
    with pytest.raises(RefusedError, match="its bytes are not kept: send the picture as `image`"):
        ask(like=digest(spread[3]))
    assert digest(spread[3]) not in found(ask(image=spread[3].read_bytes()))
    memory.accept([dataclasses.replace(arrival(spread[3]), digest=bytes(32))])
    item = memory.find(bytes(32))
    assert item is not None
    memory.reject(item, "broken")
    assert memory.find(bytes(32)) is None


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0" + bytes(500)])
def test_example_that_is_no_picture_is_refused(ask: Ask, content: bytes) -> None:
    with pytest.raises(RefusedError, match=r"the example is not a picture .*: convert it to JPEG or PNG") as no:
        ask(image=content)
    assert no.value.code == "unreadable"


def test_small_file_that_swells_to_many_pixels_is_refused_as_an_example(ask: Ask) -> None:
    file = io.BytesIO()
    Image.new("P", (2_100, 2_000)).save(file, "PNG")
    assert len(file.getvalue()) < 48_000
    with pytest.raises(RefusedError, match=r"too large to decode safely \(2100 x 2000 pixels, 4 megapixels at most\)"):
        ask(image=file.getvalue())


@pytest.mark.usefixtures("spread")
def test_item_that_there_is_no_memory_to_decode_stays_coarse(
    ask: Ask, image: TowerRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starve(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image, "start_images", starve)
    answer = ask(text="a dog")
    assert len(answer.hits) == 12
    assert answer.refined <= 4  # such as left at the last exit


def test_example_of_an_empty_memory_finds_nothing(ask: Ask, pictures: list[Path]) -> None:
    answer = ask(image=pictures[0].read_bytes(), text="a dog")
    assert (list(answer.hits), answer.searched) == ([], 0)
