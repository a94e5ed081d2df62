"""Diagnostics of a run: requirements, status, cost estimate, explanation of failures."""
