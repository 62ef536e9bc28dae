"""Benchmarks: ours beside peers on the same posteriors or the same weights, ratios from one run."""
