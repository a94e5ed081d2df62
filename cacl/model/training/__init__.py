"""Training: stages, loop, losses, pseudo-labels."""
