"""From an item's content to a tower's first input, exactly as the manifest says; host and device share this code."""

from edge.runtime.preprocess.exif import exif_time
from edge.runtime.preprocess.image import MAX_EXAMPLE_PIXELS, check_image, decode_image, image_input, image_inputs
from edge.runtime.preprocess.text import TextInput

__all__ = [
    "MAX_EXAMPLE_PIXELS",
    "TextInput",
    "check_image",
    "decode_image",
    "exif_time",
    "image_input",
    "image_inputs",
]
