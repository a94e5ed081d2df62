"""Stain vectors: the value type on which configuration, images, store and model agree."""
