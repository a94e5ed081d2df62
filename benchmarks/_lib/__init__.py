"""Helpers that several benchmarks use."""
