"""How often a JPEG has itself gone over is counted as its decoder would, whatever stands in between."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import UnreadableItemError
from edge.runtime import check_image, decode_image
from edge.runtime.preprocess.image import MAX_SCANS
from edge.runtime.preprocess.jpeg import count_scans
from hostile import png, progressive_jpeg

SIDE = 224
TALK = b"\xff\xfe\x00\x08\xff\xda\xff\xd9\xff\xda"  # a comment that holds a scan's beginning and a picture's end


def jpeg(**options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def test_baseline_has_one_scan_and_a_progressive_one_ten() -> None:
    assert count_scans(jpeg(), MAX_SCANS) == 1
    assert count_scans(jpeg(progressive=True), MAX_SCANS) == 10


def test_restart_markers_within_a_scan_do_not_count() -> None:
    content = jpeg(restart_marker_blocks=1)
    assert content.count(b"\xff\xd0") > 0
    assert count_scans(content, MAX_SCANS) == 1


def test_shipped_pictures_are_far_below_the_limit(pictures: list[Path]) -> None:
    assert max(count_scans(picture.read_bytes(), MAX_SCANS) for picture in pictures) <= 10


def test_what_stands_in_a_comment_or_behind_the_end_does_not_count() -> None:
    content = jpeg()
    with_comment = content[:2] + TALK * 200 + content[2:]
    assert count_scans(with_comment, MAX_SCANS) == 1
    assert count_scans(content + progressive_jpeg(8, 1, 1000), MAX_SCANS) == 1
    for whole in (with_comment, content + progressive_jpeg(8, 1, 1000)):
        assert decode_image(whole, SIDE).size == (120, 90)


def test_comment_between_scans_hides_none_of_them() -> None:
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    plain = progressive_jpeg(8, 1, 200)
    hidden = plain.replace(scan, TALK + scan)
    assert count_scans(plain, 1000) == count_scans(hidden, 1000) == 201


def test_more_scans_than_anybody_needs_are_refused_at_a_glance() -> None:
    content = progressive_jpeg(7_000, 1, 800_000)
    assert count_scans(content, MAX_SCANS) == MAX_SCANS + 1
    with pytest.raises(UnreadableItemError, match=r"\(a JPEG of more than 100 scans\): convert it to JPEG or PNG"):
        check_image(content, SIDE)


def test_file_of_nothing_but_segments_is_refused_at_a_glance() -> None:
    assert count_scans(b"\xff\xd8" + b"\xff\xfe\x00\x02" * 2_000_000, MAX_SCANS) == MAX_SCANS + 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xda", b"\xff" * 100])
def test_cut_off_file_has_no_more_scans_than_it_begins(content: bytes) -> None:
    assert count_scans(content, MAX_SCANS) <= 1


def test_picture_that_is_decoded_at_a_fraction_of_its_size_may_be_large_but_not_a_progressive_one() -> None:
    with pytest.raises(UnreadableItemError, match=r"13000 x 13000 pixels, 50 megapixels at most"):
        check_image(progressive_jpeg(13_000, 3), SIDE)
    check_image(progressive_jpeg(7_000, 3), SIDE)


def test_line_of_pixels_is_refused_by_its_length() -> None:
    check_image(png(65_535, 2, 0, 1), SIDE)
    for width, height in ((65_536, 1), (1, 65_536), (1, 50_000_000)):
        with pytest.raises(UnreadableItemError, match=rf"{width} x {height} pixels, 65535 on a side at most"):
            check_image(png(width, height, 0, 1), SIDE)


@pytest.mark.parametrize(("side", "is_taken"), [(5_000, True), (5_001, False)])
def test_webp_may_have_half_the_pixels_of_others(side: int, *, is_taken: bool) -> None:
    file = io.BytesIO()
    Image.new("RGB", (side, 5_000)).save(file, "WEBP", lossless=True, method=0)
    if is_taken:
        check_image(file.getvalue(), SIDE)
    else:
        with pytest.raises(UnreadableItemError, match="25 megapixels at most"):
            check_image(file.getvalue(), SIDE)
