"""Statistics on arrays: ratios, confidence intervals, significance, agreement."""
