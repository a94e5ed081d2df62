"""Benchmarks of faults: killed runs, full disks, limits."""
