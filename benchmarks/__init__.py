"""Measurements; each table below `results/` is written by one command."""
