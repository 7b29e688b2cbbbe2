"""What a checkpoint says of its pictures, as the device's own preprocessing."""

from __future__ import annotations

import json
from typing import Any

from converter.towers.checkpoint import Checkpoint
from edge.bundle import ImagePreprocess
from edge.errors import UsageError

_FILE = "preprocessor_config.json"
_FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def image_preprocess(checkpoint: Checkpoint, published: Any, side: int) -> ImagePreprocess:
    """preprocessor_config.json, or what its family does without one.

    published: the image processor's class in transformers; side: pixels that the model takes.
    Raises UsageError where the device would have to do something else.
    """
    file = checkpoint.file(_FILE)
    spec = published(**(json.loads(file.read_text(encoding="utf-8")) if file else {}))
    fit, size = _fit(spec)
    if size != side:
        raise UsageError(f"{checkpoint.where}: {_FILE} makes pictures of {size} pixels, config.json says {side}")
    kind = _FILTERS.get(int(spec.resample))
    if fit is None or kind is None:
        raise UsageError(
            f"{checkpoint.where}: {_FILE} has size {_plain(spec.size)}, crop_size {_plain(spec.crop_size)}, resample"
            f" {int(spec.resample)}: pictures can be squashed to a square, or resized by their shortest side and cut to"
            " a square, bilinear (2) or bicubic (3)"
        )
    factor = spec.rescale_factor
    return ImagePreprocess(
        kind="image",
        size=size,
        fit=fit,  # type: ignore[arg-type]  # one of the two
        filter=kind,  # type: ignore[arg-type]
        mean=_channels([value / factor for value in spec.image_mean]),
        scale=_channels([value / factor for value in spec.image_std]),
    )


def _fit(spec: Any) -> tuple[str | None, int]:
    """How a picture becomes a square, None where it is neither way that the device knows; and the square's side."""
    size, crop = spec.size, spec.crop_size if getattr(spec, "do_center_crop", None) else None
    side = int(crop.height if crop else size.height or size.shortest_edge)
    square = crop is None or crop.height == crop.width
    if square and size.height == size.width == side:
        return "squash", side
    if square and crop and size.shortest_edge == side and not size.longest_edge:
        return "crop", side
    return None, side


def _channels(values: list[float]) -> float | tuple[float, float, float]:
    red, green, blue = (round(value, 6) for value in values)
    return red if red == green == blue else (red, green, blue)


def _plain(size: Any) -> dict[str, int]:
    return {name: value for name, value in dict(size or {}).items() if value is not None}
