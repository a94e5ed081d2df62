"""Image analysis without a model: optical density, tissue, quality control, readers."""
