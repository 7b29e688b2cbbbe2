"""Pictures: any file that Pillow reads -> float32 pixels."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edge.bundle import ImagePreprocess
from edge.errors import UnreadableItemError
from edge.items import Floats
from edge.runtime.preprocess.jpeg import SOI, count_scans

# 50 megapixels are 150 MB of RGB, as much as a 2 GB board can spare. JPEGs are decoded at a fraction of their size
# (`draft`), so that photos of 108 megapixel phones stay far below it.
MAX_DECODED_PIXELS = 50_000_000
MAX_EXAMPLE_PIXELS = 4_000_000  # of a question: six kilobytes of PNG can hold fifty million
MAX_WEBP_PIXELS = MAX_DECODED_PIXELS // 2  # its decoder holds a picture four times
MAX_SIDE = 65_535  # a row costs 8 bytes besides its pixels: a line of 50 million is half a gigabyte
# Each goes over the whole picture again and may be ten bytes long: 8 MB can take half an hour. libtiff has this limit.
MAX_SCANS = 100
_OVERSAMPLING = 2
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
# What cameras, phones and browsers write. Pillow knows more kinds; EPS, for one, it hands to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


# Odd metadata is no news. Of the whole process, because `warnings.catch_warnings` is not safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def check_image(content: bytes, side: int, most_pixels: int = MAX_DECODED_PIXELS) -> None:
    """Look at a file's head, a fraction of the work of decoding it: kind and size.

    Raises UnreadableItemError, MemoryError. What passes may still be damaged further down.
    """
    with _refusals(), _opened(content, _OVERSAMPLING * side) as picture:
        _check_size(picture, most_pixels)


def decode_image(content: bytes, side: int) -> Image.Image:
    """An upright RGB picture, at least twice `side` pixels wide and high unless the file is smaller.

    Transparency becomes white; of an animation the first frame counts. Raises UnreadableItemError, MemoryError.
    """
    with _refusals(), _opened(content, _OVERSAMPLING * side) as picture:
        ImageOps.exif_transpose(picture, in_place=True)  # each copy may be 200 MB
        return _on_white(_eight_bits(picture))


def image_input(picture: Image.Image, spec: ImagePreprocess) -> Floats:
    """(size, size, 3) float32 pixels of a picture from `decode_image`."""
    if picture.size != (spec.size, spec.size):
        box = _middle(*picture.size, spec.size) if spec.fit == "crop" else None
        picture = picture.resize((spec.size, spec.size), _FILTERS[spec.filter], box, reducing_gap=3.0)
    mean, scale = (np.asarray(value, dtype=np.float32) for value in (spec.mean, spec.scale))
    return (np.asarray(picture, dtype=np.float32) - mean) / scale


def image_inputs(contents: Sequence[bytes], spec: ImagePreprocess) -> dict[str, Floats]:
    """{"x": (N, size, size, 3)} of N picture files. Raises UnreadableItemError, MemoryError."""
    return {"x": np.stack([image_input(decode_image(content, spec.size), spec) for content in contents])}


def _middle(width: int, height: int, size: int) -> tuple[float, float, float, float]:
    """What is left of a picture whose shortest side is brought to `size` and whose ends are then cut off.

    In its own pixels, rounded as published preprocessing rounds. Only this part is resized: all of a line of 65,535
    pixels would be 224 times as much.
    """
    shortest = min(width, height)
    scaled = (int(size * width / shortest), int(size * height / shortest))
    left, top = ((length - size) // 2 for length in scaled)
    x, y = width / scaled[0], height / scaled[1]
    return left * x, top * y, min((left + size) * x, width), min((top + size) * y, height)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever Pillow raises on a file into one error that says what to do."""
    try:
        yield
    except (UnreadableItemError, MemoryError):  # that memory is short is not the file's fault
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableItemError(f"too large to decode safely ({error}): scale it down first") from None
    except UnidentifiedImageError:
        raise UnreadableItemError(
            f"not a picture of a known kind ({', '.join(FORMATS)}): convert it to JPEG or PNG"
        ) from None
    except Exception as error:  # noqa: BLE001 - on damaged files its plugins raise struct.error, TypeError, RuntimeError
        raise UnreadableItemError(f"not a picture that can be read ({error}): convert it to JPEG or PNG") from None


@contextlib.contextmanager
def _opened(content: bytes, side: int) -> Iterator[Image.Image]:
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        if content.startswith(SOI) and _is_held_whole(picture, content):
            _check_size(picture, MAX_DECODED_PIXELS)
        picture.draft("RGB", (side, side))
        _check_size(picture, MAX_WEBP_PIXELS if picture.format == "WEBP" else MAX_DECODED_PIXELS)
        yield picture


def _is_held_whole(picture: Image.Image, content: bytes) -> bool:
    """Whether all of a JPEG is in memory before the first row of it is decoded, at whatever fraction of its size."""
    scans = count_scans(content, MAX_SCANS)
    if scans > MAX_SCANS:
        raise UnreadableItemError(
            f"not a picture that can be read (a JPEG of more than {MAX_SCANS} scans): convert it to JPEG or PNG"
        )
    return scans > 1 or "progressive" in picture.info


def _check_size(picture: Image.Image, most: int) -> None:
    if picture.width * picture.height > most:
        raise UnreadableItemError(
            f"too large to decode safely ({picture.width} x {picture.height} pixels,"
            f" {most // 1_000_000} megapixels at most): scale it down first"
        )
    if max(picture.size) > MAX_SIDE:
        raise UnreadableItemError(
            f"too large to decode safely ({picture.width} x {picture.height} pixels,"
            f" {MAX_SIDE} on a side at most): scale it down first"
        )


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit gray scaled down; Pillow's own conversion cuts it off at 255, which leaves a nearly white picture."""
    if not picture.mode.startswith("I;16"):
        return picture
    values = np.asarray(picture)
    clear = values == picture.info.get("transparency", -1)
    return Image.fromarray(np.where(clear, 255, values >> 8).astype(np.uint8))


def _on_white(picture: Image.Image) -> Image.Image:
    wanted = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode != wanted:
        picture = picture.convert(wanted)
    if wanted == "RGB":
        return picture
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(picture, mask=picture)  # takes half the memory of Image.alpha_composite
    return white
