"""What a bundle is expected to take, and what it does take in a process of its own."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bundle import Bundle
from edge.runtime import choose_runtime, footprint, item_bytes
from edge.runtime.footprint import PROCESS_BYTES
from edge.runtime.pace import WORK_BYTES
from edge.runtime.residence import HOLES_BYTES

ROOT = Path(__file__).resolve().parents[2]
# Ride through the whole tower, and ask; prints the anonymous megabytes that the models took at most.
CHILD = """
import sys
from pathlib import Path
import numpy as np
from edge.bundle import Bundle
from edge.config import Config, MemoryConfig, RuntimeConfig
from edge.heap import return_large_blocks
from edge.runtime import Activation, Compute, Pace, TowerRunner, choose_runtime, item_bytes, open_weights

def anonymous():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024

return_large_blocks()
bundle = Bundle.open(Path(sys.argv[1]))
limit_mb = int(sys.argv[3]) or None
config = Config(memory=MemoryConfig(weights=sys.argv[2], limit_mb=limit_mb), runtime=RuntimeConfig(threads=1))
manifest, before, peak = bundle.manifest, anonymous(), 0

def look():
    global peak
    peak = max(peak, anonymous())

with open_weights(bundle, choose_runtime("auto"), config, print) as weights:
    with Compute(weights, Pace(item_bytes(manifest)), look, 1.0, print) as compute:
        text = TowerRunner(bundle.folder, manifest.tower("text"), compute.urgent)
        text.embed(text.advance(text.start_texts(["a dog"]), 0), text.spec.exits[-1])
        image = TowerRunner(bundle.folder, manifest.tower("image"), compute.background)
        for _ in range(3):
            ride = Activation(np.zeros((4, *image.spec.segments[0].input), np.float32), 0, {})
            for place in image.spec.exits:
                ride = image.advance(ride, place.segment)
                image.embed(ride, place)
print((peak - before) / 1e6)
"""


def taken_mb(bundle: Bundle, weights: str, limit_mb: int = 0) -> float:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, bundle.folder, weights, str(limit_mb)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def expected_mb(bundle: Bundle, weights: str) -> float:
    needs = footprint(bundle.manifest, choose_runtime("auto"), bundle.manifest.tower("image"), batch=4)
    return float(getattr(needs, weights) - PROCESS_BYTES) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["resident", "streamed"])
def test_bundle_takes_about_what_is_expected_and_no_more(
    weights: str, tall: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = expected_mb(tall, weights)
    taken = taken_mb(tall, weights, math.ceil(expected + PROCESS_BYTES / 1e6) if weights == "streamed" else 0)
    with capsys.disabled():
        sys.stdout.write(f"\n{weights}: {taken:.0f} MB taken, {expected:.0f} MB expected\n")
    assert 0.6 * expected < taken < 1.05 * expected


@pytest.mark.slow
def test_streamed_bundle_takes_more_for_speed_where_the_limit_leaves_room(tall: Bundle) -> None:
    expected = expected_mb(tall, "streamed")
    tight = taken_mb(tall, "streamed", math.ceil(expected + PROCESS_BYTES / 1e6))
    assert tight < taken_mb(tall, "streamed") < expected + HOLES_BYTES / 1e6


def test_streamed_weights_are_two_segments_of_many(tall: Bundle) -> None:
    tower = tall.manifest.tower("image")
    needs = footprint(tall.manifest, "ai-edge-litert", tower, batch=1)
    sizes = [tall.manifest.files[str(segment.model.variants[0].path)].bytes for segment in tower.segments[-8:]]
    assert needs.resident - needs.streamed > sum(sizes[2:])
    assert needs.streamed > PROCESS_BYTES + sum(sizes[:2])


def test_one_segment_is_the_same_in_either_way(bundle: Bundle) -> None:
    needs = footprint(bundle.manifest, "ai-edge-litert", bundle.manifest.tower("text"), batch=1)
    assert needs.resident == needs.streamed


def test_batch_counts_up_to_what_a_call_may_take(bundle: Bundle) -> None:
    shape = (50, 64)  # small tokens: of the shipped tower's maps, two do not fit into one call
    tower = bundle.manifest.tower("image")
    slim = replace(tower, segments=tuple(replace(one, input=shape, output=shape) for one in tower.segments))
    one, many, more = (footprint(bundle.manifest, "ai-edge-litert", slim, batch).resident for batch in (1, 99, 1000))
    assert one < many == more < one + len(tower.segments) * WORK_BYTES


def test_file_that_is_unpacked_takes_more_than_its_size(bundle: Bundle) -> None:
    tower = bundle.manifest.tower("text")
    (segment,) = tower.segments
    dynamic, weight_only = segment.model.variants
    assert (dynamic.format, weight_only.format) == ("dynamic-int8", "weight-int8")
    takes = [
        footprint(
            replace(bundle.manifest, towers=(replace(tower, segments=(replace(segment, model=model),)),)),
            "ai-edge-litert",
            tower,
            batch=1,
        ).resident
        for model in (replace(segment.model, variants=(variant,)) for variant in (dynamic, weight_only))
    ]
    assert takes[1] - takes[0] > 5 * bundle.manifest.files[str(dynamic.path)].bytes


def test_every_segment_has_its_item_bytes_and_wide_maps_have_more(bundle: Bundle) -> None:
    sizes = item_bytes(bundle.manifest)
    assert sizes.keys() == {segment.model for tower in bundle.manifest.towers for segment in tower.segments}
    image = [sizes[segment.model] for segment in bundle.manifest.tower("image").segments]
    assert 20e6 < image[0] < 35e6  # measured: 28 MB
    assert max(image[1:]) < image[0]
