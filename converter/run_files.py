"""Run exported files on one runtime: python -m converter.run_files JOB.json IN.npz OUT.npz (see converter.verify)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edge.runtime import open_interpreter


def main(job_path: str, inputs_path: str, outputs_path: str) -> None:
    """Run the job's calls in order, in batches, and save what each wrote."""
    job = json.loads(Path(job_path).read_text())
    with np.load(inputs_path) as inputs:
        values = {name: inputs[name] for name in inputs}
    outputs = {}
    for call in job["calls"]:
        interpreter = open_interpreter(Path(call["path"]), job["runtime"], 1)
        fed = {name: values[value] for name, value in call["reads"].items()}
        count = len(next(iter(fed.values())))
        batches = [slice(start, start + job["batch"]) for start in range(0, count, job["batch"])]
        parts = [interpreter.run({name: rows[batch] for name, rows in fed.items()}) for batch in batches]
        values[call["writes"]] = outputs[call["writes"]] = np.concatenate(parts)
    np.savez(outputs_path, allow_pickle=False, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
