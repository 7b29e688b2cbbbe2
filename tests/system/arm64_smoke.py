"""The shipped bundle on two processors: run by .ci/arm64.sh, not by pytest.

python tests/system/arm64_smoke.py embed OUT.npz     embeddings of a few pictures and sentences, on this processor
python tests/system/arm64_smoke.py compare A B       exit code 1 where two such files differ too much
"""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import numpy as np

from edge.bundle import Bundle
from edge.demo import DEMO_BUNDLE, DEMO_PICTURES
from edge.items import Floats
from edge.runtime import Interpreters, TowerRunner, choose_runtime

PICTURES = 5
DEPTHS = (11, 16)  # the default exit and the end
SENTENCES = ("a bird with bright feathers", "a place to swim", "someone at work")
# float16 convolutions hold; dynamic INT8 rounds differently with each processor's kernels.
LEAST_COSINE = {"image": 0.999, "text": 0.99}


def embed(out: Path) -> None:
    """Save (N, D) embeddings by "modality, depth"."""
    bundle, runtime, start = Bundle.open(DEMO_BUNDLE), choose_runtime("auto"), time.monotonic()
    invoke = Interpreters(bundle.folder, runtime, 1).invoke
    image, text = (TowerRunner(bundle.folder, bundle.manifest.tower(name), invoke) for name in ("image", "text"))
    made: dict[str, Floats] = {}
    activation = image.start_images([path.read_bytes() for path in sorted(DEMO_PICTURES.glob("*.jpg"))[:PICTURES]])
    for place in (image.spec.exit_at(depth) for depth in DEPTHS):
        activation = image.advance(activation, place.segment)
        made[f"image, depth {place.depth}"] = image.embed(activation, place)
    last = text.spec.exits[-1]
    made[f"text, depth {last.depth}"] = text.embed(text.advance(text.start_texts(SENTENCES), last.segment), last)
    np.savez(out, allow_pickle=False, **made)
    seconds = time.monotonic() - start
    print(
        f"{platform.machine()}: Python {platform.python_version()}, {runtime}, numpy {np.__version__}, {seconds:.1f} s"
    )


def compare(one: Path, other: Path) -> int:
    """Print the cosine of each row; returns the exit code."""
    failed = 0
    with np.load(one) as first, np.load(other) as second:
        for name in first.files:
            lengths = np.linalg.norm(first[name], axis=1) * np.linalg.norm(second[name], axis=1)
            cosines = (first[name] * second[name]).sum(1) / lengths
            least = LEAST_COSINE[name.partition(",")[0]]
            right = bool((cosines >= least).all())  # a NaN is not
            failed += not right
            shown = " ".join(f"{cosine:.5f}" for cosine in cosines)
            print(f"{name}: cosine {shown} {'ok' if right else 'WRONG'}, at least {least}")
    return min(failed, 1)


def main(command: str, *files: str) -> int:
    """Run one command; returns the exit code."""
    if command == "embed":
        (out,) = files
        embed(Path(out))
        return 0
    one, other = files
    return compare(Path(one), Path(other))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
