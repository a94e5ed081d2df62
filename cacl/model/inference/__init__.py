"""Inference: logits, thresholds, masks, uncertainty."""
