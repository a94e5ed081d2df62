"""Use a model of another run in the place of training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from cacl.config import TargetClass
from cacl.model.checkpoint import DESCRIPTION, load_model, read_description
from cacl.model.model_file import copy_model, model_folder, require_classes
from cacl.model.training_data import read_training_data

log = logging.getLogger(__name__)


def reuse_model(model: Path, out: Path, classes: Sequence[TargetClass] = ()) -> None:
    """Check a model and copy its files byte by byte, so that its digest stays.

    Parameters
    ----------
    model
        Folder of a model, or a file of `write_model_file`.
    out
        Gets `checkpoint.safetensors`, `model.json` and `training.csv`.
    classes
        Target classes of this run; none for one class.

    Raises
    ------
    CheckpointError
        The model is missing, damaged, without a record of its training data, or has another
        architecture, version or list of classes.
    TableError
        Its `training.csv` has changed since it was written.
    """
    with model_folder(model) as folder:
        loaded = load_model(folder)
        require_classes(loaded, classes, model)
        read_training_data(read_description(folder / DESCRIPTION), model)
        copy_model(folder, out)
    log.info("reuse-model: %s, digest %s", model, loaded.digest)
