"""Training data: tiles, selection, batches."""
