"""Statistics: intervals, significance, agreement."""
