"""The stain vectors of a run: those of all of its images."""

from __future__ import annotations

from collections.abc import Iterable

from cacl.errors import StainError
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store.metadata import ImageMeta


def run_vectors(images: Iterable[ImageMeta]) -> StainVectors:
    """Return the stain vectors of the images of one run; the reference without any image.

    Raises
    ------
    StainError
        Two images have different vectors: their densities cannot be compared.
    """
    first: ImageMeta | None = None
    for meta in images:
        first = first or meta
        if meta.stain_vectors != first.stain_vectors:
            raise StainError(
                f"{first.image_id} was tiled with the stain vectors "
                f"{first.stain_vectors.describe()}, and {meta.image_id} with "
                f"{meta.stain_vectors.describe()}; run `cacl tile` again for all images with one "
                "stain.vectors"
            )
    return REFERENCE if first is None else first.stain_vectors
