"""Files that are no picture, or none that a small board can decode: one clear error each, and nothing else escapes."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from edge.errors import UnreadableItemError
from edge.runtime import check_image, decode_image

SIDE = 224
ROOT = Path(__file__).parents[2]
PLAIN = """
import sys
from PIL import Image
Image.open(sys.argv[1]).getexif()
"""
OURS = """
import sys
from pathlib import Path
from edge.errors import UnreadableItemError
from edge.runtime import decode_image
odd, huge = (Path(name).read_bytes() for name in sys.argv[1:])
print(decode_image(odd, 224).size, end=" and ")
try:
    decode_image(huge, 224)
except UnreadableItemError as error:
    print(str(error).partition(",")[0])
"""
DO_NOW = ": convert it to JPEG or PNG"
SCALE_DOWN = ": scale it down first"


def refusal_of(content: bytes, look: Callable[[bytes, int], object] = decode_image) -> str:
    with pytest.raises(UnreadableItemError) as caught:
        look(content, SIDE)
    return str(caught.value)


def passes_the_check(content: bytes) -> bool:
    try:
        check_image(content, SIDE)
    except UnreadableItemError:
        return False
    return True


def photo(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, exif=exif)
    return file.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of some 60 bytes, whatever it claims."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [b"", b"\0", b"Dear diary,\n", bytes(range(256)), b"%PDF-1.7\n", b"\xff\xd8\xff"])
def test_file_that_is_no_picture_is_refused(content: bytes) -> None:
    said = refusal_of(content)
    assert said.startswith("not a picture of a known kind (JPEG, PNG, ")
    assert said.endswith(DO_NOW)
    assert refusal_of(content, check_image) == said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_half_copied_picture_is_refused_whichever_half_is_missing(kind: str, share: float) -> None:
    whole = photo(kind)
    assert decode_image(whole, SIDE).size == (60, 80)
    said = refusal_of(whole[: int(share * len(whole))])
    assert said.startswith("not a picture that can be read (")
    assert said.endswith(DO_NOW)


def test_truncated_jpeg_says_so() -> None:
    assert refusal_of(photo("JPEG")[:-200]).startswith("not a picture that can be read (image file is truncated (")


@pytest.mark.parametrize(("width", "height"), [(8000, 8000), (12_000, 12_000), (50_001, 1000)])
def test_picture_over_the_limit_is_refused_with_its_size_and_the_limit(width: int, height: int) -> None:
    said = refusal_of(png_that_claims(width, height))
    size = f"{width} x {height} pixels, 50 megapixels at most"
    assert said == f"too large to decode safely ({size}){SCALE_DOWN}"
    assert refusal_of(png_that_claims(width, height), check_image) == said


def test_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = png_that_claims(20_000, 20_000)
    assert len(bomb) < 100
    said = refusal_of(bomb)
    assert said.startswith("too large to decode safely (Image size (400000000 pixels) exceeds limit")
    assert said.endswith(SCALE_DOWN)
    assert refusal_of(bomb, check_image) == said


def test_picture_at_the_limit_is_not_too_large() -> None:
    # Its pixels are missing: what matters is that it was opened to read them.
    assert refusal_of(png_that_claims(10_000, 5_000)).startswith("not a picture that can be read (")
    assert passes_the_check(png_that_claims(10_000, 5_000))


@pytest.mark.parametrize("filters", ["always", "error"])
def test_no_warning_of_pillow_reaches_the_terminal_or_becomes_a_refusal(filters: str, tmp_path: Path) -> None:
    nonsense = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"  # 65,535 tags in no bytes
    odd, huge = tmp_path / "odd.jpg", tmp_path / "huge.png"
    Image.new("RGB", (8, 8)).save(odd, "JPEG", exif=nonsense)
    huge.write_bytes(png_that_claims(9_400, 9_600))  # Pillow warns from 89 megapixels on
    plain, ours = (
        subprocess.run(
            [sys.executable, "-W", filters, "-c", program, odd, huge],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        for program in (PLAIN, OURS)
    )
    assert "Corrupt EXIF data" in plain.stderr
    assert (ours.stdout, ours.stderr) == ("(8, 8) and too large to decode safely (9400 x 9600 pixels\n", "")


def test_fault_inside_a_pillow_plugin_is_a_refusal() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")
    content = bytearray(file.getvalue())
    content[30:34] = struct.pack("<I", 99)  # a compression that there is not
    assert refusal_of(bytes(content)).startswith("not a picture that can be read (")


def test_kind_that_pillow_hands_to_another_program_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    assert refusal_of(file.getvalue()).startswith("not a picture of a known kind (")
    assert not passes_the_check(file.getvalue())


def flip(content: bytearray, random: np.random.Generator) -> None:
    content[int(len(content) * random.random() ** 2)] = int(random.integers(256))  # more often in the header


def cut(content: bytearray, random: np.random.Generator) -> None:
    del content[int(len(content) * random.random()) :]


def insert(content: bytearray, random: np.random.Generator) -> None:
    at = int(len(content) * random.random())
    content[at:at] = random.bytes(4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("damage", [flip, cut, insert])
def test_damaged_picture_is_read_or_refused_but_never_ends_the_run(
    kind: str, damage: Callable[[bytearray, np.random.Generator], None], capfd: pytest.CaptureFixture[str]
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    random, whole = np.random.default_rng(0), photo(kind)
    refused = 0
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(random.choice([1, 2, 8])):
            if content:
                damage(content, random)
        try:
            decode_image(bytes(content), SIDE)
        except UnreadableItemError:
            refused += 1
    capfd.readouterr()  # libtiff writes to the terminal by itself
    assert refused > 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize("damage", [flip, cut, insert])
def test_check_refuses_nothing_that_can_be_decoded(
    kind: str, damage: Callable[[bytearray, np.random.Generator], None], capfd: pytest.CaptureFixture[str]
) -> None:
    random, whole = np.random.default_rng(1), photo(kind)
    assert passes_the_check(whole)
    for _ in range(100):
        content = bytearray(whole)
        damage(content, random)
        if not passes_the_check(bytes(content)):
            refusal_of(bytes(content))
    capfd.readouterr()  # libtiff writes to the terminal by itself


def test_check_takes_jpegs_beyond_the_limit_that_are_decoded_at_a_fraction() -> None:
    file = io.BytesIO()
    Image.new("L", (8000, 7500), 90).save(file, "JPEG")  # 60 megapixels, as phones make
    assert passes_the_check(file.getvalue())
    assert decode_image(file.getvalue(), SIDE).size == (1000, 938)


def test_check_looks_at_the_head_alone() -> None:
    half = photo("JPEG")[:-200]
    assert passes_the_check(half)
    assert refusal_of(half).startswith("not a picture that can be read (")


def test_file_of_another_name_is_read_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "picture.txt").write_bytes(photo("PNG"))
    assert decode_image((tmp_path / "picture.txt").read_bytes(), SIDE).size == (60, 80)


def test_want_of_memory_is_not_called_a_mistake_of_the_file(
    pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def starve(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", starve)
    for look in (check_image, decode_image):
        with pytest.raises(MemoryError):
            look(pictures[0].read_bytes(), SIDE)
