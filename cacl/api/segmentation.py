"""Segment one image in memory or on disk, as `cacl tile`, `cacl segment`, `cacl measure` do."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.base
import numpy as np
from numpy.typing import NDArray

from cacl.api.arrays import Bool, UInt8, as_rgb, check_mpp
from cacl.api.measures import measure
from cacl.config import TilesConfig
from cacl.errors import ConfigError, ImageError, Reason
from cacl.hpa.pixel_size import HPA_MPP
from cacl.image.analysis_image import read_analysis_image
from cacl.image.readers import Source, open_source
from cacl.image.readers.core import CoreSource
from cacl.image.tile_grid import TileGrid
from cacl.model.checkpoint import Model
from cacl.model.inference.blocks import predict_array_masks, predict_array_scores
from cacl.model.inference.masks import MAX_VIEWS, Morphology
from cacl.model.inference.uncertainty import ViewAgreement
from cacl.steps.image_measures import Measures

DEFAULT = TilesConfig()
NO_MORPHOLOGY = Morphology()


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The masks of one image, at the analysis scale, and its measures.

    Parameters
    ----------
    image
        (y, x, 3) uint8: the image that was segmented; white beyond the edge of the source.
    cell
        (y, x) bool: cells, without background and lumen.
    masks
        (y, x) bool for each class of the model, by its name.
    measures
        Of the first class.
    confidence
        Dice of the masks of two views, over all pairs of views; None if all are empty.
    mpp
        Size of an analysis pixel, um.
    model
        The model.
    """

    image: UInt8
    cell: Bool
    masks: dict[str, Bool]
    measures: Measures
    confidence: float | None
    mpp: float
    model: Model

    @property
    def mask(self) -> Bool:
        """The mask of the first class, (y, x) bool."""
        return next(iter(self.masks.values()))

    @property
    def ratio(self) -> float | None:
        """Stained area / cell area, 0 to 1; None without cells."""
        return self.measures.stained_to_cell_ratio

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """95 % interval of the ratio over tiles."""
        return self.measures.ratio_low, self.measures.ratio_high

    @functools.cached_property
    def score(self) -> NDArray[np.float32]:
        """Score of the first class, (y, x) float32 from 0 to 1, before thresholds.

        The sigmoid of the mean logit over models and views; 0 where no mask is allowed. It is
        computed when it is first read.
        """
        planes = self.image.transpose(2, 0, 1)
        scores = predict_array_scores(
            planes, self.cell, DEFAULT.tile_px, self.model, self.model.stain_vectors
        )
        return _computed(scores, scheduler="synchronous")[0]


def segment(
    image: Any,
    model: Model,
    *,
    mpp: float | None = None,
    morphology: Morphology = NO_MORPHOLOGY,
    min_tissue_fraction: float = DEFAULT.min_tissue_fraction,
) -> Segmentation:
    """Segment the class of a model in one image, and measure it.

    The image is resampled to the pixel size that the model was trained on; a model without a record
    of it expects that of a core of the Human Protein Atlas at 375 px to 128 px. Haematoxylin and
    DAB are separated with the stain vectors of the training images.

    Parameters
    ----------
    image
        (y, x, 3) uint8, or the path of a core or a whole slide.
    model
        From `load_model`.
    mpp
        Size of a pixel of `image`, um; 0.4 for cores of the Human Protein Atlas. None takes what
        the file states.
    morphology
        Operation on each mask.
    min_tissue_fraction
        Tiles with less tissue do not count for the measures, 0 to 1.

    Raises
    ------
    ImageError
        The image cannot be read, has another type or shape, is smaller than a tile, or shows too
        little tissue.
    ConfigError
        The size of a pixel is unknown, implausible, or larger than that of the model.

    Examples
    --------
    >>> import cacl
    >>> model = cacl.load_model("results/model")
    >>> store = cacl.open_store("results/atlas.zarr")
    >>> image = store.image(store.image_ids()[0])[:].transpose(1, 2, 0)
    >>> result = cacl.segment(image, model, mpp=0.4 * 375 / 128)
    >>> result.mask.shape == result.cell.shape == result.score.shape
    True
    """
    check_mpp(mpp)
    with _opened(image, mpp) as source:
        grid = _grid(source, model, mpp)
        planes, cell = _computed(*read_analysis_image(source, grid, model.stain_vectors))
    agreement = ViewAgreement(min(MAX_VIEWS, len(model.networks) * model.preset.post.n_tta))
    lazy = predict_array_masks(
        planes,
        cell,
        grid.tile_px,
        model,
        morphology,
        agreement=agreement,
        vectors=model.stain_vectors,
    )
    masks = _computed(*lazy, scheduler="synchronous")
    rgb = np.ascontiguousarray(planes.transpose(1, 2, 0))
    return Segmentation(
        image=rgb,
        cell=cell,
        masks={target.name: mask for target, mask in zip(model.classes, masks, strict=True)},
        measures=measure(
            rgb,
            cell,
            masks[0],
            min_tissue_fraction=min_tissue_fraction,
            vectors=model.stain_vectors,
        ),
        confidence=agreement.confidence,
        mpp=(mpp or source.mpp or 0.0) * grid.downsample,
        model=model,
    )


def _computed(*arrays: Any, scheduler: str | None = None) -> tuple[NDArray[Any], ...]:
    """Return arrays of NumPy or dask as those of NumPy; what they share is computed once."""
    compute: Any = dask.base.compute
    return tuple(map(np.asarray, compute(*arrays, scheduler=scheduler)))


@contextlib.contextmanager
def _opened(image: Any, mpp: float | None) -> Iterator[Source]:
    if isinstance(image, (str, os.PathLike)):
        with open_source(Path(image)) as source:
            yield source
    else:
        yield CoreSource(as_rgb(image), mpp)


def _grid(source: Source, model: Model, mpp: float | None) -> TileGrid:
    """Return the grid whose analysis pixels have the size that the model was trained on."""
    size = mpp or source.mpp
    if size is None:
        raise ConfigError(
            "The size of a pixel is unknown: the image states none; give mpp in um per pixel, such "
            "as 0.4 for cores of the Human Protein Atlas"
        )
    low, high = model.mpp or (HPA_MPP * DEFAULT.source_px / DEFAULT.tile_px,) * 2
    source_px = round(math.sqrt(low * high) / size * DEFAULT.tile_px)
    if source_px < DEFAULT.tile_px:
        raise ConfigError(
            f"The image has {size:g} um per pixel, and the model was trained on "
            f"{math.sqrt(low * high):.3g}; segment an image of a higher resolution"
        )
    if min(source.height, source.width) < source_px:
        raise ImageError(
            Reason.TOO_SMALL,
            f"The image has {source.width} x {source.height} px, expected at least {source_px} x "
            f"{source_px} at {size:g} um per pixel; use a larger image, or correct mpp",
        )
    return TileGrid(source.height, source.width, source_px, DEFAULT.tile_px)
