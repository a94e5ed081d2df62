"""What differs between two runs, and why."""

from cacl.diagnostics.compare.run import Topic, compare

__all__ = ["Topic", "compare"]
