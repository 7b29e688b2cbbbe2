"""What the cache is for: a question goes on from the file alone, in another process too, and ends where it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.items import Floats
from edge.memory.cache.activations import Activations
from edge.memory.cache.codes import pack, unpack
from edge.memory.cache.worth import Worth
from edge.runtime import Activation, TowerRunner

ROOT = Path(__file__).parents[2]
WORTH = Worth(recompute_ms=10, seen_at=1_760_000_000)
DEPTHS = (8, 11, 15)  # the exits of the shipped tower at which items leave early
OUTLIERS = 4

RESUME = """
import sys
from pathlib import Path
import numpy as np
from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE
from edge.memory.cache.activations import Activations
from edge.runtime import Activation, Interpreters, TowerRunner, choose_runtime

bundle = Bundle.open(DEMO_BUNDLE)
spec = bundle.manifest.tower("image")
tower = TowerRunner(bundle.folder, spec, Interpreters(bundle.folder, choose_runtime("auto"), threads=2).invoke)
cache = Activations(Path(sys.argv[1]), 10**9)
segment, tensor = cache.get(int(sys.argv[2]), bundle.manifest.segment_hashes(spec))
last = spec.exits[-1]
fine = tower.embed(tower.advance(Activation(tensor[None], segment + 1, {}), last.segment), last)
sys.stdout.buffer.write(fine.tobytes())
"""


def segment_at(tower: TowerRunner, depth: int) -> int:
    return tower.spec.exit_at(depth).segment


def fine(tower: TowerRunner, batch: Activation) -> Floats:
    last = tower.spec.exits[-1]
    return tower.embed(tower.advance(batch, last.segment), last)


@pytest.fixture(scope="module")
def start(image: TowerRunner, pictures: list[Path]) -> Activation:
    """Shipped pictures before the first segment."""
    return image.start_images([path.read_bytes() for path in pictures[:8]])


def test_activation_resumes_in_a_fresh_process_from_the_file_alone(
    image: TowerRunner, start: Activation, bundle: Bundle, tmp_path: Path
) -> None:
    hashes = bundle.manifest.segment_hashes(image.spec)
    segment = segment_at(image, 11)
    (tensor,) = image.advance(Activation(start.tensor[:1], 0, {}), segment).tensor
    assert Activations(tmp_path, 10**9).put(7, segment, hashes[segment], tensor, OUTLIERS, WORTH)
    command = [sys.executable, "-c", RESUME, str(tmp_path), "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    unpacked = unpack(pack(tensor, OUTLIERS), tensor.shape, OUTLIERS)
    here = fine(image, Activation(unpacked[None], segment + 1, {}))
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32)[None], here, atol=1e-5)
    assert 0.985 < float((here @ fine(image, Activation(start.tensor[:1], 0, {})).T).item()) < 0.99999


@pytest.mark.parametrize("outliers", [0, OUTLIERS])  # the shipped tower's number, and one that wide channels need
@pytest.mark.parametrize("depth", DEPTHS)
def test_shipped_pictures_end_close_to_where_they_would_have_without_the_cache(
    image: TowerRunner, start: Activation, bundle: Bundle, tmp_path: Path, depth: int, outliers: int
) -> None:
    hashes = bundle.manifest.segment_hashes(image.spec)
    segment = segment_at(image, depth)
    batch = image.advance(start, segment)
    cache = Activations(tmp_path, 10**9)
    for item, tensor in enumerate(batch.tensor):
        assert cache.put(item, segment, hashes[segment], tensor, outliers, WORTH)
    found = [cache.get(item, hashes) for item in range(len(batch.tensor))]
    assert [one[0] for one in found if one] == [segment] * len(batch.tensor)
    resumed = fine(image, Activation(np.stack([one[1] for one in found if one]), segment + 1, {}))
    cosine = (resumed * fine(image, batch)).sum(1)
    assert cosine.min() >= 0.985, cosine
    assert cosine.max() < 0.99999  # it is four bits, not a copy
