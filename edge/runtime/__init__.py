"""The only part of the device that knows TFLite: interpreters, towers, preprocessing."""

from edge.runtime.compute import Compute, ComputeTime, NotIdleError
from edge.runtime.footprint import Footprint, footprint, item_bytes, largest_bytes, tower_bytes
from edge.runtime.interpreter import (
    Interpreter,
    choose_runtime,
    choose_variant,
    installed_runtimes,
    open_interpreter,
)
from edge.runtime.pace import Pace
from edge.runtime.passing import Passing
from edge.runtime.preprocess import (
    MAX_EXAMPLE_PIXELS,
    MAX_NOTE_BYTES,
    TextInput,
    check_image,
    decode_image,
    exif_time,
    first_line,
    image_input,
    image_inputs,
    read_note,
)
from edge.runtime.residence import choose_residence, has_room_beside, open_weights, residence
from edge.runtime.streamed import Streamed
from edge.runtime.tower import Activation, TowerRunner
from edge.runtime.weights import Interpreters, Invoke, Weights

__all__ = [
    "MAX_EXAMPLE_PIXELS",
    "MAX_NOTE_BYTES",
    "Activation",
    "Compute",
    "ComputeTime",
    "Footprint",
    "Interpreter",
    "Interpreters",
    "Invoke",
    "NotIdleError",
    "Pace",
    "Passing",
    "Streamed",
    "TextInput",
    "TowerRunner",
    "Weights",
    "check_image",
    "choose_residence",
    "choose_runtime",
    "choose_variant",
    "decode_image",
    "exif_time",
    "first_line",
    "footprint",
    "has_room_beside",
    "image_input",
    "image_inputs",
    "installed_runtimes",
    "item_bytes",
    "largest_bytes",
    "open_interpreter",
    "open_weights",
    "read_note",
    "residence",
    "tower_bytes",
]
