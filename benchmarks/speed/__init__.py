"""Training and segmentation, in time."""
