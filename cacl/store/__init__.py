"""The OME-Zarr store of images and masks."""

from cacl.store.ome_zarr import SAFE_NAME, ImageMeta, Store, digest_of, is_safe_name

__all__ = ["SAFE_NAME", "ImageMeta", "Store", "digest_of", "is_safe_name"]
