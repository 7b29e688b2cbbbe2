"""Benchmarks: accuracy and cost from one run, through the code that the device runs."""
