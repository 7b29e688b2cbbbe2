"""Pictures decoded by several threads at once, as the inbox, remembering and recall do."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from edge.errors import UnreadableItemError
from edge.runtime import check_image, decode_image

SIDE = 224
THREADS = 8
ROOT = Path(__file__).parents[2]
# Nothing of Pillow's is loaded before all threads decode: its plugins are, at the first picture.
AT_ONCE = f"""
import hashlib, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from edge.runtime import decode_image
contents = [Path(name).read_bytes() for name in sys.argv[1:]]
meet = threading.Barrier({THREADS})
def decode(content):
    meet.wait()
    return hashlib.sha256(decode_image(content, {SIDE}).tobytes()).hexdigest()
with ThreadPoolExecutor({THREADS}) as pool:
    print(*pool.map(decode, contents))
"""


@pytest.fixture(scope="module")
def files(pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight pictures of different kinds, two of them with transparency, one with metadata that Pillow warns of."""
    folder = tmp_path_factory.mktemp("kinds")
    nonsense = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    kinds = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PNG", "JPEG"]
    made = []
    for number, (kind, picture) in enumerate(zip(kinds, pictures, strict=False)):
        made.append(folder / str(number))
        with Image.open(picture) as whole:
            small = whole.resize((600, 500)).convert("RGBA" if kind in ("PNG", "WEBP") else "RGB")
            small.save(made[-1], kind, **({"exif": nonsense} if number == 7 else {}))
    return made


def checksums(contents: Sequence[bytes]) -> list[str]:
    return [hashlib.sha256(decode_image(content, SIDE).tobytes()).hexdigest() for content in contents]


def test_threads_decode_what_one_thread_does(files: list[Path]) -> None:
    contents = [file.read_bytes() for file in files]
    expected = checksums(contents)
    assert len(set(expected)) == len(files)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(checksums, [contents] * 3 * THREADS))
    assert found == [expected] * 3 * THREADS


def test_threads_that_decode_the_first_pictures_of_a_process_all_succeed(files: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_ONCE, *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == checksums([file.read_bytes() for file in files])


def test_refusals_of_one_thread_do_not_reach_another(files: list[Path]) -> None:
    whole = files[0].read_bytes()
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "BMP")

    def is_picture(content: bytes) -> bool:
        try:
            check_image(content, SIDE)
            decode_image(content, SIDE)
        except UnreadableItemError:
            return False
        return True

    contents = [whole, whole[:5000], b"Dear diary", file.getvalue()] * 20
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(is_picture, contents)) == [True, False, False, True] * 20
