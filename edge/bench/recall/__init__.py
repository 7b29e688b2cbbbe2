"""Recall, latency, joules and memory of recall, against every honest baseline."""


__all__ = ["Options", "as_json", "markdown", "measure", "svg"]
