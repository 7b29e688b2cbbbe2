"""The contact sheet: one HTML file, thumbnails inside it, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UnreadableItemError
from edge.mqtt import Reply, Result
from edge.runtime import decode_image

THUMBNAIL = 200  # pixels of the longer side
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Reminisce: answers</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 70rem;
       color: #222; background: #fafafa }}
h2 {{ margin: 1.6rem 0 .4rem; font-size: 1.15rem }} h2 small {{ font-weight: normal; color: #777 }}
.row {{ display: flex; flex-wrap: wrap; gap: .8rem }} figure {{ margin: 0; width: 12.5rem }}
figure div {{ height: 9.4rem; display: flex; align-items: center; justify-content: center; background: #eee }}
img {{ max-width: 100%; max-height: 100% }} figcaption {{ font-size: .8rem; overflow-wrap: anywhere }}
blockquote {{ margin: .6rem; overflow: hidden }}
</style></head><body><h1>Reminisce: answers</h1>
{answers}
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its reply; `files` are the pictures by item, as far as they can be shown."""

    question: str
    reply: Reply
    files: Mapping[str, Path]


def write_sheet(path: Path, answers: Sequence[Answered]) -> None:
    """Write all answers to `path`. Raises OSError."""
    page = _PAGE.format(answers="\n".join(_answer(answer) for answer in answers))
    unfinished = path.with_name(path.name + ".tmp")
    try:
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")  # a file's name may be no UTF-8
        unfinished.replace(path)  # a full disk leaves the old sheet as it was
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def _answer(answered: Answered) -> str:
    reply = answered.reply
    figures = "\n".join(_figure(hit, answered.files.get(hit.item)) for hit in reply.results)
    spent = f"{reply.took_ms:.0f} ms, {reply.refined} of {reply.searched} finished"
    return f"<h2>{html.escape(answered.question)} <small>{spent}</small></h2>\n<div class=row>\n{figures}\n</div>"


def _figure(hit: Result, file: Path | None) -> str:
    name = html.escape(file.name if file else hit.source or hit.item[:12])
    caption = f"{name}<br>{hit.figures}, exit at depth {hit.exit_depth}{hit.company}"
    shown = f'<img src="{_thumbnail(file) if file else ""}" alt="{name}">'
    if hit.modality == "text":
        shown = f"<blockquote>{html.escape(hit.text)}</blockquote>"
    return f"<figure><div>{shown}</div><figcaption>{caption}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    """A data URL; empty when the picture cannot be shown."""
    try:
        picture = decode_image(path.read_bytes(), THUMBNAIL)
    except (OSError, UnreadableItemError):
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
