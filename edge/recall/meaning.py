"""What a question asks for, before any tower has seen it: its words, and the example, if there is one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edge.errors import RefusedError
from edge.items import Question
from edge.memory import Memory
from edge.recall.example import Picture, check_sent
from edge.runtime import TowerRunner, read_note


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What items are compared with.

    words:   what is asked in words; may be empty beside a picture
    picture: the example, if it is one: notes are not found by it
    itself:  id of the item that is the example, which is no answer
    """

    words: str
    picture: Picture | None = None
    itself: int | None = None

    @property
    def by_picture(self) -> bool:
        """Whether it asks for what looks like a picture."""
        return self.picture is not None


def meaning_of(question: Question, memory: Memory, tower: TowerRunner) -> Meaning:
    """Looks up the example. `tower` would see it.

    A note that is the example asks by what it says, behind the question's own words: a tower reads the beginning.
    Raises RefusedError ("not_found", "unreadable"), StoreError.
    """
    if not question.has_example:
        return Meaning(question.text)
    if question.image is not None:
        check_sent(question.image, tower)
    digest = question.like or hashlib.sha256(question.image or b"").digest()
    item = memory.find(digest)
    content = memory.content(item) if item and question.image is None else question.image
    if content is None:
        there = "its bytes are not kept" if item else "nothing with this id is remembered"
        instead = "ask with its text" if item and item.modality == "text" else "send the picture as `image`"
        raise RefusedError("not_found", f"{there}: {instead}")
    if item and item.modality == "text":
        return Meaning(f"{question.text}\n{read_note(content)}".strip(), itself=item.id)
    itself = item.id if item else None
    return Meaning(question.text, Picture(content, digest, itself), itself)
