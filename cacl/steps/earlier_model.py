"""The splits of antibodies that a model of another run has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cacl.model.training_data import read_training_data
from cacl.runtime.file_digest import FILE_DIGEST
from cacl.steps.parameters import EarlierModel
from cacl.tables.selection import Split

NO_MODEL = EarlierModel()


@dataclass(frozen=True)
class KnownSplits:
    """What a model has seen.

    Parameters
    ----------
    splits
        Split of each antibody that it has seen: training or validation.
    parameters
        The model's digest, for the record of how the tiles were selected.
    """

    splits: dict[str, Split] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_splits(earlier: EarlierModel) -> KnownSplits:
    """Return what an earlier model has seen; nothing without one.

    Raises
    ------
    CheckpointError
        The model is missing or damaged, or has no record of its training data.
    """
    path = earlier.model or earlier.start_from
    if path is None:
        return KnownSplits()
    # Both import torch, which takes seconds; a selection without an earlier model needs it not.
    from cacl.model.checkpoint import DESCRIPTION, read_description
    from cacl.model.model_file import model_folder

    with model_folder(path) as folder:
        description = read_description(folder / DESCRIPTION)
    name = "model" if earlier.model else "start_from"
    training_data = read_training_data(description, path)
    return KnownSplits(training_data.splits, {name: description[FILE_DIGEST]})
