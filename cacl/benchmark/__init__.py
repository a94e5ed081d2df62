"""Benchmark: baselines, metrics and the table that compares all methods with ground truth."""
