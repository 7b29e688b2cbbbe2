"""What a broken or malicious client may send: real messages with damage in them, and JSON from nowhere. Repeatable.

Half of what a `Garbler` makes is a real message with one to three mutated fields or a few mutated bytes; the rest is
drawn from everything that JSON allows and much that it does not.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

from PIL import Image

Fields: TypeAlias = list[tuple[str, str]]  # names with raw JSON: a key may come twice, a value may be no JSON

# Raw values that have broken parsers. The nestings lie around the recursion limits of this Python and others.
RAW = (
    *("null", "true", "false", "[]", "{}", '""', '" "', "0", "-0", "1", "-1", "1.0", "0.1e-999"),
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e308", "9" * 400, "9" * 4300, "9" * 5000, "-" + "9" * 400),
    *("01", "+1", ".5", "1.", "0x10", "True", "None", "undefined", "'single'", "[1,2", '{"a":', '"open', "\\", "//"),
    *(
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\u0000"',
        '"\\u202e\\u200b"',
        '"\\ud83d\\ude00"',
        '"a\x00b"',
        '"\x01"',
        '"\t"',
    ),
    *('"+"', '"#"', '"reminisce/#"', '"$SYS/broker"', '"../../etc/passwd"', '"/proc/self/mem"', '"/dev/zero"'),
    *('"' + "x" * 1_000 + '"', '"' + "x" * 11_000 + '"', '"' + "\\n" * 40_000 + '"', '"' + "😀" * 20_000 + '"'),
    *(
        opening * depth + closing * depth
        for opening, closing in (("[", "]"), ('{"a":', "}"))
        for depth in (90, 480, 990)
    ),
    *("[" * 100_000, "[" * 20_000 + "]" * 20_000, "[" + "0," * 20_000 + "0]", '{"":0' + ',"":0' * 5_000 + "}"),
    *('"image"', '"audio"', '"ping"', '"relevance"', "5", "1000", "1001", "253402300799", "253402300800", "3600001"),
)
STRANGE_KEYS = (
    "",
    " ",
    "\x00",
    "v",
    "V",
    "text\x00",
    "__class__",
    "constructor",
    "path",
    "data",
    "sha256",
    "stream",
    "args",
)


class Garbler:
    """Messages of one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)  # noqa: S311 - repeatable, not secret

    def message(self, real: dict[str, Any]) -> bytes:
        """One that began as `real`."""
        return self.chance.choice((self._other_fields, self._other_fields, self._other_bytes, self._from_nowhere))(real)

    def picture(self, real: Sequence[bytes]) -> bytes:
        """A file that began as one of `real`, mostly with its head intact: the damage lies where decoding finds it."""
        content = self.chance.choice(real)
        kind = self.chance.random()
        if kind < 0.6:
            head = min(700, len(content) // 3)
            return content[:head] + self.damage(content[head:]) + self.chance.randbytes(4)
        if kind < 0.9:
            return self.damage(content)
        return self.chance.randbytes(self.chance.randrange(1, 3_000))

    def damage(self, content: bytes) -> bytes:
        """Flipped, cut, repeated, overwritten."""
        damaged = bytearray(content)
        for _ in range(self.chance.randint(1, 4)):
            at = self.chance.randrange(len(damaged) + 1)
            kind = self.chance.randrange(5)
            if kind == 0:
                del damaged[at:]
            elif kind == 1:
                damaged[at : at + 1] = bytes([self.chance.randrange(256)])
            elif kind == 2:
                damaged[at:at] = damaged[at : at + self.chance.randrange(64)]
            elif kind == 3:
                damaged[at : at + 4] = self.chance.choice(
                    (b"\xff" * 4, b"\0" * 4, b"\xff\xd9\xff\xd8", b"\xff\xda\0\x02")
                )
            else:
                del damaged[at : at + self.chance.randrange(1, 64)]
        return bytes(damaged) or b"\0"

    def value(self, depth: int = 4) -> Any:
        """Any value that JSON can hold."""
        kind = self.chance.randrange(8 if depth else 5)
        if kind < 2:
            return self.text()
        if kind < 5:
            numbers = (None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, 1e308, self.chance.uniform(-1e6, 1e6))
            return self.chance.choice(numbers)
        count = self.chance.randrange(5)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(count)]
        return {self.text(): self.value(depth - 1) for _ in range(count)}

    def text(self) -> str:
        """Of any characters, halves of surrogate pairs among them."""
        highest = self.chance.choice((0x7F, 0x7F, 0xFF, 0xFFFF, 0x10FFFF))
        return "".join(chr(self.chance.randrange(highest + 1)) for _ in range(self.chance.randrange(20)))

    def _other_fields(self, real: dict[str, Any]) -> bytes:
        fields = [(name, json.dumps(value)) for name, value in real.items()]
        for _ in range(self.chance.randint(1, 3)):
            at = self.chance.randrange(len(fields))
            name, raw = fields[at]
            changes: tuple[Callable[[], tuple[str, str]], ...] = (
                lambda: (name, self.chance.choice(RAW)),  # noqa: B023 - called at once
                lambda: (name, json.dumps(self.value())),  # noqa: B023
                lambda: (self.chance.choice(STRANGE_KEYS), raw),  # noqa: B023
                lambda: (self.text(), self.chance.choice(RAW)),
            )
            changed = self.chance.choice(changes)()
            if self.chance.random() < 0.5:
                fields[at] = changed
            else:
                fields.append(changed)
        return _render(fields)

    def _other_bytes(self, real: dict[str, Any]) -> bytes:
        whole = json.dumps(real)
        encoding = self.chance.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32-be"))
        return self.damage(whole.encode(encoding))

    def _from_nowhere(self, real: dict[str, Any]) -> bytes:
        kind = self.chance.randrange(3)
        if kind == 0:
            return self.chance.randbytes(self.chance.randrange(200))
        if kind == 1:
            return json.dumps(self.value()).encode()
        return json.dumps({name: self.value() for name in real}).encode()


def _render(fields: Fields) -> bytes:
    return ("{" + ",".join(f"{json.dumps(name)}:{raw}" for name, raw in fields) + "}").encode(errors="surrogatepass")


def real_query(number: int) -> dict[str, Any]:
    question = {"v": 1, "id": f"q{number}", "text": "a dog in the snow", "limit": 3, "refine": False, "sort": "time"}
    return question | {"deadline_ms": 60_000, "ts": time.time()}


def real_order(number: int) -> dict[str, Any]:
    return {"v": 1, "id": f"c{number}", "op": ("ping", "pause", "resume")[number % 3]}


def real_item(number: int, content: bytes) -> dict[str, Any]:
    about = {"v": 1, "id": f"i{number}", "modality": "image", "ts": time.time(), "source": "a test"}
    ways: tuple[dict[str, Any], ...] = (
        {"data": base64.b64encode(content).decode()},
        {"sha256": f"{number:064x}"},
        {"path": "/proc/self/environ"},
    )
    return about | ways[number % 3]


def small_pictures(files: Sequence[Any]) -> list[bytes]:
    """Each picture, small, in every format that is taken."""
    written = []
    for file in files:
        with Image.open(file) as picture:
            picture.thumbnail((120, 120))
            for kind, options in (
                ("JPEG", {}),
                ("JPEG", {"progressive": True}),
                ("PNG", {}),
                ("WEBP", {}),
                ("GIF", {}),
                ("BMP", {}),
                ("TIFF", {"compression": "tiff_lzw"}),
                ("PPM", {}),
            ):
                buffer = io.BytesIO()
                picture.save(buffer, kind, **options)
                written.append(buffer.getvalue())
    return written


def png(width: int, height: int, colour: int, bits: int = 8) -> bytes:
    """A black picture, a thousand times smaller than its pixels. colour: 0 gray, 2 RGB, 6 RGBA; bits of each."""
    row = b"\0" * (1 + (width * {0: 1, 2: 3, 6: 4}[colour] * bits + 7) // 8)
    packer = zlib.compressobj(1)
    rows = max(1, (1 << 20) // len(row))  # at a time
    whole = [packer.compress(row * min(rows, height - start)) for start in range(0, height, rows)]
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", b"".join(whole) + packer.flush()) + _chunk(b"IEND", b"")


def progressive_jpeg(side: int, layers: int, repeated: int = 0) -> bytes:
    """Its coefficients must all be held at once; each of the last scans, ten bytes, goes over its whole area again."""
    tables = _segment(0xDB, b"\0" + b"\1" * 64) + _segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
    tables += _segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    sizes = b"".join(bytes([layer + 1, 0x11, 0]) for layer in range(layers))
    frame = _segment(0xC2, struct.pack(">BHHB", 8, side, side, layers) + sizes)
    scans = b"".join(_segment(0xDA, bytes([1, layer + 1, 0, 0, 0, 0])) for layer in range(layers))
    return b"\xff\xd8" + tables + frame + scans + _segment(0xDA, b"\1\1\0\1\x3f\0") * repeated + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
