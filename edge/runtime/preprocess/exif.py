"""When a picture was taken, by what the camera wrote into its file."""

from __future__ import annotations

import io
import re
from datetime import datetime

from PIL import Image

from edge.runtime.preprocess.image import FORMATS

_PHOTO, _ORIGINAL, _OFFSET = 0x8769, 0x9003, 0x9011  # the part about the photo; DateTimeOriginal, OffsetTimeOriginal
_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)", re.ASCII)
_ZONE = re.compile(r"[+-]\d\d:\d\d", re.ASCII)
_LATEST = 253_402_300_799  # the last second of the year 9999


def exif_time(content: bytes) -> float | None:
    """Seconds of Unix time of its EXIF's DateTimeOriginal, in this device's time zone where it names none.

    None where it does not say, or nothing that is a time. Raises MemoryError on a file that was made to.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.format == "PNG" and "exif" not in picture.info:
                return None  # it may stand behind the pixels, which would all be decoded on the way
            photo = picture.getexif().get_ifd(_PHOTO)
        found = _TIME.match(_text(photo.get(_ORIGINAL)))
        zone = _ZONE.match(_text(photo.get(_OFFSET)))
        if found is None:
            return None
        year, month, day, clock = found.groups()
        seconds = datetime.fromisoformat(f"{year}-{month}-{day}T{clock}{zone[0] if zone else ''}").timestamp()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - of what is damaged or no time; Pillow raises whatever it meets
        return None
    return seconds if 0 <= seconds <= _LATEST else None


def _text(value: object) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
