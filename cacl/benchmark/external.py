"""Names of the files of an external test set, see `cacl.steps.synthesise_external`."""

TILES, STORE, TRUTH = "tiles.parquet", "atlas.zarr", "truth"
FILES = (TILES, STORE, TRUTH)
