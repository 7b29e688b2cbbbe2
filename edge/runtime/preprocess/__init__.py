"""From an item's content to a tower's first input, exactly as the manifest says; host and device share this code."""

from edge.runtime.preprocess.exif import exif_time
from edge.runtime.preprocess.image import MAX_EXAMPLE_PIXELS, check_image, decode_image, image_input, image_inputs
from edge.runtime.preprocess.note import MAX_NOTE_BYTES, first_line, read_note
from edge.runtime.preprocess.text import TextInput

__all__ = [
    "MAX_EXAMPLE_PIXELS",
    "MAX_NOTE_BYTES",
    "TextInput",
    "check_image",
    "decode_image",
    "exif_time",
    "first_line",
    "image_input",
    "image_inputs",
    "read_note",
]
