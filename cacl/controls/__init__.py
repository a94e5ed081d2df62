"""Spike-in controls: DAB bands of known place, width and density, painted on negative cores."""
