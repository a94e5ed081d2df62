"""The image-level classifier that the CAM methods explain: ResNet-18 on the labels of CaCL."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from monai.networks.nets.resnet import resnet18
from torch import Tensor, nn
from torch.nn import functional as F

from cacl.benchmark.evaluation_set import EvaluationSet
from cacl.errors import CheckpointError, TrainingError
from cacl.model.checkpoint import load_checked, read_tensors, write_tensors
from cacl.model.data.dataset import read_rows
from cacl.model.networks.preprocess import jitter_stain, random_dihedral
from cacl.runtime.json_text import parse_json
from cacl.runtime.progress import track
from cacl.store import Store, run_vectors
from cacl.tables.selection import LABELS, POSITIVE, Split

log = logging.getLogger(__name__)
WEIGHTS = "classifier.safetensors"
POSITIVE_CLASS = 1
STEPS = 300
BATCH = 16
LEARNING_RATE = 3e-4
STAIN_JITTER = 0.15


def make_classifier() -> nn.Module:
    """Return an untrained ResNet-18 with two classes, for (b, 3, y, x).

    MONAI's guided backpropagation replaces the modules named `relu`, but MONAI's ResNet names them
    `act`, so it would silently return the plain gradient. Therefore each `act` gets a child named
    `relu`; it does not work in place, because the hooks of the gradients need its input.
    """
    network: nn.Module = resnet18(
        spatial_dims=2, n_input_channels=3, num_classes=2, conv1_t_size=7, conv1_t_stride=2
    )
    for module in list(network.modules()):
        if isinstance(getattr(module, "act", None), nn.ReLU):
            module.act = nn.Sequential(OrderedDict(relu=nn.ReLU(inplace=False)))
    return network


def normalise(rgb: Tensor) -> Tensor:
    """Return intensities of 0 to 255 scaled to -1 to 1, the input of the classifier."""
    return rgb.float() / 127.5 - 1.0


def train_classifier(
    tiles: Path, store: Path, out: Path, *, steps: int = STEPS, seed: int = 0, threads: int = 2
) -> None:
    """Train the classifier on the positive and negative tiles of CaCL's training split.

    Half of each batch is positive. Augmentation: flips, rotations and stain jitter. Equal tiles,
    steps, seed and threads give equal weights on a CPU.

    Parameters
    ----------
    tiles
        Table of `cacl select`.
    store
        The OME-Zarr store.
    out
        Folder for `classifier.safetensors`.
    steps
        Optimiser steps of 16 tiles each, with a one-cycle schedule.
    seed
        Seed of all random numbers.
    threads
        CPU threads.

    Raises
    ------
    TrainingError
        The training split has no positive or no negative tile.
    StainError
        The images have different stain vectors.
    """
    torch.set_num_threads(threads)
    rows = read_rows(tiles)
    rows = rows[rows["selected"] & rows["label"].isin(LABELS)]
    opened = Store(store)
    pixels, positive = _read_tiles(rows[rows["split"] == Split.TRAIN], opened)
    vectors = run_vectors(opened.meta(str(each)) for each in sorted(set(rows["image_id"])))
    by_class = [torch.nonzero(positive == value).flatten() for value in (False, True)]
    if not all(len(indices) for indices in by_class):
        raise TrainingError(
            f"The training split of {tiles} has tiles of one label only, expected both of "
            f"{', '.join(LABELS)}; label more images (labels.overrides, CSV image_id,label)"
        )
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = make_classifier().train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * LEARNING_RATE, total_steps=steps)
    targets = torch.arange(BATCH) % 2
    for _ in track(range(steps), "classifier: steps", steps):
        indices = [_choose(by_class[int(target)], rng) for target in targets]
        batch = random_dihedral(pixels[torch.stack(indices)], rng)
        batch = jitter_stain(batch, STAIN_JITTER, rng, vectors)
        loss = F.cross_entropy(network(normalise(batch)), targets)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    validation = _read_tiles(rows[rows["split"] == Split.VALIDATION], opened)
    accuracy = {
        "training": describe_accuracy(network, pixels, positive),
        "validation": describe_accuracy(network, *validation),
    }
    for split, text in accuracy.items():
        log.info("classifier: %s: %s", split, text)
    write_tensors(out / WEIGHTS, network.state_dict(), {"accuracy": json.dumps(accuracy)})


def load_classifier(folder: Path) -> tuple[nn.Module, dict[str, str]]:
    """Return the trained network, and its accuracy by split as text.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or has another architecture.
    """
    tensors, metadata = read_tensors(folder / WEIGHTS)
    network = make_classifier()
    load_checked(network, tensors, folder / WEIGHTS)
    try:
        accuracy: dict[str, str] = dict(parse_json(metadata.get("accuracy", "{}")))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} is damaged ({error}); run `cacl train-classifier` again"
        ) from error
    return network.eval(), accuracy


def describe_accuracy(network: nn.Module, pixels: Tensor, positive: Tensor) -> str:
    """Return the fraction of correctly classified tiles of each label, as text.

    Parameters
    ----------
    network
        The classifier.
    pixels
        (n, 3, y, x) uint8.
    positive
        True labels, (n,) bool.
    """
    correct = predict(network, pixels) == positive
    parts = []
    for label, members in (("positive", positive), ("negative", ~positive)):
        count = int(members.sum())
        if count:
            parts.append(f"{float(correct[members].float().mean()):.3f} of {count} {label}")
    return ", ".join(parts) or "no tiles"


def describe_accuracy_on(network: nn.Module, evaluation_set: EvaluationSet) -> str:
    """Return the accuracy on the sample of an evaluation set; labels are from the ground truth."""
    sample = evaluation_set.sample
    tiles = [
        evaluation_set.images[index].rgb[(slice(None), *window)]
        for index, window in sample.positions
    ]
    positive = torch.from_numpy(sample.ground_truth.any(axis=(1, 2)))
    return describe_accuracy(network, torch.from_numpy(np.stack(tiles)), positive)


@torch.no_grad()
def predict(network: nn.Module, pixels: Tensor) -> Tensor:
    """Return (n,) bool: whether the classifier calls each tile positive."""
    network.eval()
    if not len(pixels):
        return torch.zeros(0, dtype=torch.bool)
    classes = [network(normalise(batch)).argmax(dim=1) for batch in torch.split(pixels, BATCH)]
    return torch.cat(classes) == POSITIVE_CLASS


def _choose(indices: Tensor, rng: torch.Generator) -> Tensor:
    return indices[torch.randint(len(indices), (), generator=rng)]


def _read_tiles(rows: pd.DataFrame, store: Store) -> tuple[Tensor, Tensor]:
    """Return the pixels (n, 3, y, x) uint8 of tiles, and whether each is positive, (n,)."""
    rows = rows.sort_values(["image_id", "row", "col"], kind="stable")
    positions = zip(rows["image_id"], rows["row"], rows["col"], strict=True)
    tiles = [store.tile(str(image_id), int(row), int(col)) for image_id, row, col in positions]
    pixels = np.stack(tiles) if tiles else np.zeros((0, 3, 1, 1), np.uint8)
    return torch.from_numpy(pixels), torch.tensor((rows["label"] == POSITIVE).to_numpy(bool))
