"""The only part of the device that knows TFLite: interpreters, towers, preprocessing."""

from edge.runtime.compute import Compute, Interpreters, Invoke
from edge.runtime.interpreter import (
    Interpreter,
    choose_runtime,
    choose_variant,
    installed_runtimes,
    open_interpreter,
)
from edge.runtime.preprocess import TextInput, check_image, decode_image, image_input, image_inputs
from edge.runtime.tower import Activation, TowerRunner

__all__ = [
    "Activation",
    "Compute",
    "Interpreter",
    "Interpreters",
    "Invoke",
    "TextInput",
    "TowerRunner",
    "check_image",
    "choose_runtime",
    "choose_variant",
    "decode_image",
    "image_input",
    "image_inputs",
    "installed_runtimes",
    "open_interpreter",
]
