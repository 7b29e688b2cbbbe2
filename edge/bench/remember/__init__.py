"""Throughput, energy, memory and recall of remembering, against every honest baseline."""
