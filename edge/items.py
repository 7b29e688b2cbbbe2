"""What travels between the borders, remembering, memory and recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Origin = Literal["message", "exif", "file"]  # of the time at which something came about
Meta = tuple[tuple[str, str], ...]  # metadata: key and value, by key
Modality = Literal["image", "text"]  # of an item: a picture, or a note


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Something to remember, as it was sent: exactly one of `content`, `path` and `digest`.

    path:     of a file on the device
    digest:   SHA-256 of bytes that the sender would like to spare
    taken_at: seconds of Unix time at which it came about, if the sender said so
    taken_from: whether the sender knows, or took it from the file's own time
    meta:     what else the sender says of it
    """

    content: bytes | None = None
    path: str | None = None
    digest: bytes | None = None
    modality: Modality = "image"
    source: str = ""
    taken_at: float | None = None
    taken_from: Origin = "message"
    meta: Meta = ()

    @property
    def held_bytes(self) -> int:
        """What it takes of memory while it waits."""
        return len(self.content or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An offer with its content at hand, not yet durable.

    content: raw bytes as they arrived
    digest:  SHA-256 of `content`, its identity: the same bytes are one item
    source:  where it came from, for people
    """

    content: bytes
    digest: bytes
    modality: str
    source: str
    taken_at: float | None
    taken_from: Origin = "message"
    meta: Meta = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an offer; "accepted" and "duplicate" are said only once the item is on disk.

    state:  "unknown" answers a digest alone: send the bytes
    reason: why it was rejected, else empty
    digest: of the content; None when it could not be read
    """

    state: Literal["accepted", "duplicate", "rejected", "unknown"]
    digest: bytes | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A durable item; all times are in seconds of Unix time.

    taken_from: where `taken_at` is from; None where there is none
    sightings: how often its bytes came; seen_at: when they last came again, None: they came once
    evicted:   whether its raw content is not kept any more
    """

    id: int
    digest: bytes
    modality: str
    source: str
    bytes: int
    added_at: float
    taken_at: float | None
    taken_from: Origin | None = None
    sightings: int = 1
    seen_at: float | None = None
    evicted: bool = False
    meta: Meta = ()


def happened_at(item: Item) -> float:
    """Seconds of Unix time by which items are ordered: when it was taken, else when it came."""
    return item.added_at if item.taken_at is None else item.taken_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """An item's embedding at the exit where it left, not yet durable: (D,) float32, unit L2 norm.

    offset:   what it adds to every calibrated score at that exit, see edge.relevance; 0 where nothing is calibrated
    taken_at: seconds of Unix time at which the picture was taken, by its EXIF; None: it does not say, or was not asked
    modality: of the item
    """

    item: int
    depth: int
    embedding: Floats
    offset: float = 0.0
    taken_at: float | None = None
    modality: str = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an accepted item: it can be found now, or its content turned out to be unreadable.

    depth: layers done where it left its tower; ms: its share of the batch's time, decoding included
    """

    item: Item
    state: Literal["indexed", "rejected"]
    depth: int = 0
    ms: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the memory holds, counted.

    items:         accepted and not rejected
    waiting:       of these, without an embedding so far, of whatever bundle; `waiting_bytes` of raw content
    exits:         pictures by the depth where they left
    content_bytes: raw content of all items that is kept
    earlier:       items that only another bundle has embedded
    migrating:     of these, the ones that wait to be embedded by this one; the rest stays as it is
    notes:         notes that can be found
    """

    items: int
    waiting: int
    waiting_bytes: int
    rejected: int
    exits: Mapping[int, int]
    content_bytes: int
    earlier: int = 0
    migrating: int = 0
    notes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which items a question may find, or an order means: those for which all holds that is said; None is not said.

    digests:      SHA-256 of their content
    source:       what it starts with; with `*`, `?` or `[` in it, a pattern for all of it, as a shell's, in which `*`
                  is any text, `/` included
    since, until: seconds of Unix time, see `happened_at`; from the first on, and before the second
    meta:         all of it is in theirs
    """

    digests: tuple[bytes, ...] | None = None
    source: str | None = None
    since: float | None = None
    until: float | None = None
    modality: str | None = None
    meta: Meta = ()


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of an order to forget.

    items:  gone for good
    pinned: meant, and kept because they are pinned
    """

    items: int
    pinned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What the owner wants done: one of the ops of PROTOCOL.md, to `selection` where it is about items.

    force: pinned items, too
    """

    op: str
    selection: Selection | None = None
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, by text, by an example or by both, and how much of an answer is wanted.

    like:     SHA-256 of an item that is the example
    image:    a picture file that is; not both
    refine:   finish the pool to the last exit; False answers from the coarse search alone
    sort:     order of the hits that are returned; which ones are is always decided by relevance
    deadline: monotonic seconds at which refining stops, or None
    stream:   answer at once, then ever better
    explain:  say how each hit came to its place
    collapse: of near-duplicates the best alone is a hit, with the others beside it
    client:   who asks: turns are shared out between clients
    offset:   hits to leave out, the best ones: those of the pages before
    least:    relevance that a hit must have, 0 to 1, or None
    """

    text: str = ""
    like: bytes | None = None
    image: bytes | None = None
    limit: int
    offset: int = 0
    narrowing: Selection = EVERYTHING
    least: float | None = None
    refine: bool = True
    sort: Literal["relevance", "time"] = "relevance"
    deadline: float | None = None
    stream: bool = False
    explain: bool = False
    collapse: bool = False
    client: str = field(default="", compare=False)

    @property
    def has_example(self) -> bool:
        """Whether it asks by example."""
        return self.like is not None or self.image is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a hit came to its place.

    exit_depth:       where its stored embedding comes from
    coarse, fine:     cosine there, and at the last exit once it was finished; the last exit's is both
    coarse_relevance, fine_relevance: the probabilities beside them; None where the bundle is not calibrated
    rank:             its place in the merge of all exits, counted from 1
    round:            the one that decided its place: "correcting" where it was finished for this question, or stands at
                      the last exit already; "verifying" where its coarse score had to do
    ms:               its share of the batch that finished it; 0 where nothing was to do
    start:            what it was finished from; None where it was not
    earlier:          exit_depth and coarse are of an earlier bundle, through its own query tower
    """

    exit_depth: int
    coarse: float
    coarse_relevance: float | None
    fine: float | None
    fine_relevance: float | None
    rank: int
    round: Literal["verifying", "correcting"]
    ms: float
    start: Literal["activation", "content"] | None
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer: the item, the depth that its score comes from, and the cosine there with the question.

    relevance: the probability that it is what was asked for; None where the bundle is not calibrated
    why:       where the question asked for it
    similar:   how many near-duplicates of it were found, and are no hits of their own
    similar_items: SHA-256 of the best of them
    text:      a note's first line, shortened; None of a picture, and of a note that is not kept any more
    """

    item: Item
    depth: int
    score: float
    relevance: float | None = None
    why: Explanation | None = None
    similar: int = 0
    similar_items: tuple[bytes, ...] = ()
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The ranked answers to one question, and where its milliseconds went.

    hits:      best first, as far as each is known
    searched:  items that the question was compared with, after its narrowing
    left_out:  items, after its narrowing, of an earlier bundle that could not be asked
    refined:   items of the pool that are known at the last exit: finished for it, or before
    cut:       whether the deadline ended the refining
    sequence:  its number, counted from 0, among the answers to a question that streams; else None
    is_final:  whether no better one will come
    query_ms:  the text tower, one head for each exit; filter_ms: search over coarse embeddings
    correct_ms: finishing and re-ranking the pool
    earlier_ms: query towers of earlier bundles, and the search over what is still theirs
    """

    question: str
    hits: Sequence[Hit]
    searched: int
    refined: int
    cut: bool
    query_ms: float
    filter_ms: float
    correct_ms: float
    earlier_ms: float = 0.0
    left_out: int = 0
    sequence: int | None = None
    is_final: bool = True

    @property
    def total_ms(self) -> float:
        return self.query_ms + self.filter_ms + self.earlier_ms + self.correct_ms
