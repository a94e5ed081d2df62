"""The model from which a training continues; it also takes the place of the teachers."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cacl.config import TargetClass
from cacl.errors import CheckpointError
from cacl.model.checkpoint import DESCRIPTION, Model, load_model, read_description
from cacl.model.config import Preset
from cacl.model.device import prepare_for_device
from cacl.model.model_file import model_folder, require_classes
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import PRESETS, with_classes
from cacl.model.training_data import TrainingData, read_training_data


@dataclass(frozen=True, eq=False)
class Start:
    """A model, and what it was trained on."""

    model: Model
    training_data: TrainingData


def read_start(path: Path, preset: Preset, classes: Sequence[TargetClass]) -> Start:
    """Read the model from which the training of a preset continues.

    Parameters
    ----------
    path
        Its folder, or a file of `write_model_file`.
    preset
        Preset of the training, with its classes.
    classes
        Target classes of the training.

    Raises
    ------
    CheckpointError
        The model is missing, damaged, without a record of its training data, or has another
        preset, architecture, list of classes or number of networks.
    """
    with model_folder(path) as folder:
        description = read_description(folder / DESCRIPTION)
        name = description.get("preset")
        if name != preset.name and not _has_networks_of(str(name), preset):
            raise CheckpointError(
                f"{path} is of the preset {name!r}, but train.preset is {preset.name}; training "
                "continues with presets of equal networks only: set train.preset to that of the "
                "model"
            )
        model = load_model(folder, preset)
        training_data = read_training_data(description, path)
    require_classes(model, classes, path)
    if len(model.networks) != preset.n_ensemble:
        raise CheckpointError(
            f"{path} has {len(model.networks)} network(s), but train.seeds is {preset.n_ensemble}; "
            f"set train.seeds to {len(model.networks)}"
        )
    return Start(model, training_data)


def _has_networks_of(name: str, preset: Preset) -> bool:
    """Return whether the preset of a name has the networks of `preset`, with its classes."""
    other = PRESETS.get(name)
    classes = len(preset.network.class_codes)
    return other is not None and with_classes(other, classes).network == preset.network


def as_teachers(network: AutoEncoder, device: torch.device) -> list[list[AutoEncoder]]:
    """Return a copy of a network for each of its classes, with the codes of the others as shared.

    Their logits are those of the network in that class. They are in evaluation mode, for
    `add_pseudo_labels`.
    """
    class_codes = network.architecture.class_codes
    teachers = []
    for class_id, codes in enumerate(class_codes, start=1):
        teacher = copy.deepcopy(network).eval()
        is_class = teacher.codebook.codebook_id == class_id
        teacher.codebook.codebook_id.copy_(is_class.to(teacher.codebook.codebook_id.dtype))
        teacher.architecture = dataclasses.replace(network.architecture, class_codes=(codes,))
        teachers.append([prepare_for_device(teacher, device)])
    return teachers
