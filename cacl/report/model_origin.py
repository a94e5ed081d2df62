"""A model of another run: where it comes from, and where this run's images differ from its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cacl.model.training_data import Range, TrainingData, read_training_data
from cacl.report.text import percent
from cacl.runtime.file_digest import FILE_DIGEST
from cacl.stain.vectors import REFERENCE, StainVectors

TOLERANCE = 1.1
MAX_ANGLE_DEG = 5.0
"""Larger angles between stain vectors are worth a warning."""

MAX_NAMED = 3


@dataclass(frozen=True)
class ModelOrigin:
    """What the report says of a model of another run; empty for a model of this run.

    Parameters
    ----------
    sentence
        Where it comes from.
    warnings
        One for each measure in which images of this run differ from its training images.
    """

    sentence: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Measure:
    """A measure of this run's images, and its range in the training images."""

    name: str
    values: pd.Series
    trained: Range | None

    def text(self, value: float) -> str:
        return f"{value:.3g} um" if self.name == "pixel size" else percent(value)


def describe_origin(
    source: Path | None,
    model: Mapping[str, Any],
    images: pd.DataFrame,
    tile_px: int | None,
    vectors: StainVectors = REFERENCE,
) -> ModelOrigin:
    """Return where a model comes from, and warnings.

    Parameters
    ----------
    source
        `train.model`; None if this run trained its model.
    model
        Content of `model.json`.
    images
        Columns of `MeasureRow`.
    tile_px
        Side of a tile in analysis pixels; None if there is no image.
    vectors
        Stain vectors of this run.

    Raises
    ------
    CheckpointError
        The model has no record of its training data.
    """
    if source is None:
        return ModelOrigin()
    data = read_training_data(model, source)
    seen = set(data.splits)
    known = len(seen & set(images["antibody_id"]))
    sentence = (
        f"This run trained no model: weights and thresholds are those of {source}, digest "
        f"{str(model.get(FILE_DIGEST))[:12]}. That model has seen {len(seen):,} antibodies, of "
        f"which {known:,} are in this run; spike-in controls and benchmark use others only."
    )
    return ModelOrigin(
        sentence,
        (
            *_stain_warnings(data.stain_vectors, vectors),
            *_warnings(data, images, tile_px),
        ),
    )


def _stain_warnings(trained: StainVectors, own: StainVectors) -> Iterator[str]:
    """Yield a warning if the network sees other stain densities than in its training."""
    degrees = own.difference(trained)
    if degrees > MAX_ANGLE_DEG:
        yield (
            f"The stain vectors of this run ({own.describe()}) differ from those of the model's "
            f"training images ({trained.describe()}) by up to {degrees:.0f} degrees, so the "
            "same stain can have another density than in the training. Look at the masks, or set "
            "stain.vectors to those of the model."
        )


def _warnings(data: TrainingData, images: pd.DataFrame, tile_px: int | None) -> Iterator[str]:
    frame = images.set_index("image_id")
    cell = frame["cell_area_px"].astype("Float64")
    tile_area = frame["tiles"].astype("Float64") * (tile_px or 1) ** 2
    measures = (
        _Measure("pixel size", frame["mpp"].astype("Float64"), data.mpp),
        _Measure("tissue fraction of the tiles", cell / tile_area, data.tissue_fraction),
        _Measure(
            "DAB-positive fraction of the cell area",
            frame["dab_area_px"].astype("Float64") / cell.where(cell > 0),
            data.dab_fraction,
        ),
    )
    for measure in measures:
        values = measure.values.dropna()
        if values.empty:
            continue
        if measure.trained is None:
            yield (
                f"The {measure.name} of the model's training images is unknown, so nobody knows "
                "whether the model fits these images: look at the masks."
            )
            continue
        low, high = measure.trained
        outside = values[(values * TOLERANCE < low) | (values > high * TOLERANCE)]
        if outside.empty:
            continue
        names = ", ".join(map(str, outside.index[:MAX_NAMED]))
        more = ", ..." if len(outside) > MAX_NAMED else ""
        yield (
            f"{len(outside):,} of {len(values):,} images differ from the model's training images "
            f"in the {measure.name}: {measure.text(float(outside.min()))} to "
            f"{measure.text(float(outside.max()))}, trained on {measure.text(low)} to "
            f"{measure.text(high)}. Look at their masks ({names}{more})."
        )
