"""Throughput, energy, memory and recall of remembering, against every honest baseline."""

from edge.bench.remember.bench import Options, measure
from edge.bench.remember.picture import svg
from edge.bench.remember.table import as_json, markdown

__all__ = ["Options", "as_json", "markdown", "measure", "svg"]
