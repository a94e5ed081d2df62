"""Versions of the steps that compute: a release that changes what a step writes raises its version.

A version is a parameter of the step's rule, so that a finished run makes the products again, is
part of the digests of images and masks in the store, and is recorded in the step's tables.
"""

from __future__ import annotations

MODEL_VERSION = 5
"""Version of the files of a model."""

STEP_VERSIONS = {
    "phantom": 1,
    "catalog": 1,
    "estimate_stain": 1,
    "tile": 5,
    "select": 1,
    "train": 1,
    "segment": 6,
    "measure": 1,
    "controls": 2,
    "train_classifier": 1,
    "benchmark": 1,
}
"""Version of each step, by its name."""
