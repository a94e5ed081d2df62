"""What a model was trained on, as its `model.json` records it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cacl.errors import CheckpointError
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.tables.selection import Split

ENTRY = "training_data"
Range = tuple[float, float]


class TrainingData(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The antibodies that a model has seen, and the ranges of its training images.

    Parameters
    ----------
    train, validation
        Antibodies of both splits; thresholds are calibrated on those of validation.
    mpp
        Lowest and highest size of an analysis pixel, um; None if no size is known.
    tissue_fraction, dab_fraction
        Lowest and highest fraction, 0 to 1, of an image's training tiles that is tissue, and of
        that tissue that is DAB-positive; None without tissue.
    stain_vectors
        The vectors with which haematoxylin and DAB of the images were separated.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    mpp: Range | None
    tissue_fraction: Range | None
    dab_fraction: Range | None
    stain_vectors: StainVectors = REFERENCE

    @property
    def entry(self) -> dict[str, Any]:
        """The record as `model.json` holds it, without the reference vectors."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def splits(self) -> dict[str, Split]:
        """The split of each antibody that the model has seen."""
        validation = dict.fromkeys(self.validation, Split.VALIDATION)
        return validation | dict.fromkeys(self.train, Split.TRAIN)

    def merge(self, earlier: TrainingData) -> TrainingData:
        """Return what a model has seen whose training continued from one that saw `earlier`."""
        train = {*self.train, *earlier.train}
        names = ("mpp", "tissue_fraction", "dab_fraction")
        return TrainingData(
            train=tuple(sorted(train)),
            validation=tuple(sorted({*self.validation, *earlier.validation} - train)),
            stain_vectors=self.stain_vectors,
            **{
                name: range_of([*(getattr(self, name) or ()), *(getattr(earlier, name) or ())])
                for name in names
            },
        )


def read_training_data(description: Mapping[str, Any], model: Path) -> TrainingData:
    """Return the record that a model's description holds; `model` is its path, for messages.

    Raises
    ------
    CheckpointError
        The description has no record: it is of an earlier version, or damaged.
    """
    try:
        return TrainingData.model_validate(description[ENTRY])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(
            f"{model} has no record of its training data ({ENTRY} in model.json), so nobody knows "
            "which antibodies it has seen; train that model again with this version"
        ) from error


def range_of(values: Iterable[float]) -> Range | None:
    """Return the lowest and the highest value; None without values."""
    known = list(values)
    return (min(known), max(known)) if known else None
