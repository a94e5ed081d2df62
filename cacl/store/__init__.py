"""The OME-Zarr store of images and masks."""

from cacl.runtime.digest import digest_of
from cacl.store.arrays import StoredArray
from cacl.store.metadata import ImageMeta
from cacl.store.ome_zarr import SAFE_NAME, Store, is_safe_name, list_image_ids
from cacl.store.run_vectors import run_vectors

__all__ = [
    "SAFE_NAME",
    "ImageMeta",
    "Store",
    "StoredArray",
    "digest_of",
    "is_safe_name",
    "list_image_ids",
    "run_vectors",
]
