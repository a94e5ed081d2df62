"""Values of the columns `label`, `split` and `reason` of `training/tiles.parquet`."""

from __future__ import annotations

from enum import StrEnum

POSITIVE = "positive"
NEGATIVE = "negative"
LABELS = (POSITIVE, NEGATIVE)


class Split(StrEnum):
    """The part of the data to which an antibody belongs."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class SelectionReason(StrEnum):
    """Why a tile is selected or left out."""

    OVERRIDE = "override"
    DRAWN = "drawn"
    LITTLE_TISSUE = "little tissue"
    NEGATIVE_IMAGE = "negative image"
    DAB_ABOVE = "DAB share above the negatives' median"
    DAB_UPPER_HALF = "DAB share in the upper half of its own image"
    DAB_BELOW = "DAB share below the negatives' median and its own image's"
    TEST = "test: every tile with tissue"
    BALANCE = "left out to balance the classes"
    LIMIT = "left out by max_tiles"
