"""Reliability: fuzzing and faults."""
