"""Recall, latency, joules and memory of recall, against every honest baseline."""

from edge.bench.recall.bench import Options, measure
from edge.bench.recall.picture import svg
from edge.bench.recall.table import as_json, markdown

__all__ = ["Options", "as_json", "markdown", "measure", "svg"]
