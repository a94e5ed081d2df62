"""The image-wise classifier behind CAM and its kin: ResNet-18 on the labels that CaCL gets."""

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

from cacl.benchmark.evaluation_set import Atlas
from cacl.errors import TrainingError
from cacl.model.checkpoint import load_checked, read_tensors, write_tensors
from cacl.model.data.dataset import read_rows
from cacl.model.data.selection import LABELS, POSITIVE, Split
from cacl.model.networks.preprocess import jitter_stain, random_dihedral
from cacl.runtime.progress import track
from cacl.store import Store

log = logging.getLogger(__name__)
WEIGHTS = "classifier.safetensors"
POSITIVE_CLASS = 1
STEPS = 300
BATCH = 16
LEARNING_RATE = 3e-4
JITTER = 0.15


def network() -> nn.Module:
    """Return an untrained ResNet-18 of two classes, for (b, 3, y, x).

    MONAI's guided backpropagation replaces modules that are called relu; MONAI's own ResNet calls
    them act, so that it would silently return the plain gradient. Each act is given a child of
    that name here, and one that does not work in place, which gradients' hooks need.
    """
    made: nn.Module = resnet18(
        spatial_dims=2, n_input_channels=3, num_classes=2, conv1_t_size=7, conv1_t_stride=2
    )
    for module in list(made.modules()):
        if isinstance(getattr(module, "act", None), nn.ReLU):
            module.act = nn.Sequential(OrderedDict(relu=nn.ReLU(inplace=False)))
    return made


def scaled(rgb: Tensor) -> Tensor:
    """Return levels from 0 to 255 as the classifier sees them, -1 to 1."""
    return rgb.float() / 127.5 - 1.0


def train_classifier(
    tiles: Path, store: Path, out: Path, *, steps: int = STEPS, seed: int = 0, threads: int = 2
) -> None:
    """Learn to tell positive from negative tiles, from the training split that CaCL gets.

    Batches are half positive; tiles are flipped, turned and their stains jittered. Equal tiles,
    steps, seed and threads give equal weights on a CPU.

    Parameters
    ----------
    tiles
        Table of `cacl select`.
    store
        The store.
    out
        Folder that gets `classifier.safetensors`.
    steps
        Of 16 tiles each, with a one-cycle schedule.
    seed, threads
        Of everything random; CPU threads.

    Raises
    ------
    TrainingError
        A class has no tile.
    """
    torch.set_num_threads(threads)
    rows = read_rows(tiles)
    rows = rows[rows["kept"] & rows["label"].isin(LABELS)]
    pixels, positive = _read(rows[rows["split"] == Split.TRAIN], Store(store))
    classes = [torch.nonzero(positive == number).flatten() for number in (False, True)]
    if not all(len(members) for members in classes):
        raise TrainingError(
            f"The training split of {tiles} holds tiles of one label only, expected both of "
            f"{', '.join(LABELS)}; label more images (labels.overrides, CSV image_id,label)"
        )
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = network().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * LEARNING_RATE, total_steps=steps)
    targets = torch.arange(BATCH) % 2
    for _ in track(range(steps), "classifier: steps", steps):
        drawn = [
            classes[int(k)][torch.randint(len(classes[int(k)]), (), generator=rng)] for k in targets
        ]
        batch = jitter_stain(random_dihedral(pixels[torch.stack(drawn)], rng), JITTER, rng)
        loss = F.cross_entropy(model(scaled(batch)), targets)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    held_out = _read(rows[rows["split"] == Split.VALIDATION], Store(store))
    facts = {
        "training": accuracy(model, pixels, positive),
        "validation": accuracy(model, *held_out),
    }
    for name, fact in facts.items():
        log.info("classifier: %s: %s", name, fact)
    # One key alone: safetensors writes several in any order.
    write_tensors(out / WEIGHTS, model.state_dict(), {"accuracy": json.dumps(facts)})


def load_classifier(folder: Path) -> tuple[nn.Module, dict[str, str]]:
    """Return the trained network, and how well it did on training and validation tiles.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or no such network.
    """
    tensors, description = read_tensors(folder / WEIGHTS)
    model = network()
    load_checked(model, tensors, folder / WEIGHTS)
    return model.eval(), json.loads(description.get("accuracy", "{}"))


def accuracy(model: nn.Module, pixels: Tensor, positive: Tensor) -> str:
    """Say which share of each class's tiles (n, 3, y, x) is recognised."""
    right = predicted(model, pixels) == positive
    words = []
    for name, chosen in (("positive", positive), ("negative", ~positive)):
        number = int(chosen.sum())
        words.append(
            f"{float(right[chosen].float().mean()):.3f} of {number} {name}" if number else ""
        )
    return ", ".join(word for word in words if word) or "no tiles"


def accuracy_on(model: nn.Module, atlas: Atlas) -> str:
    """Say the same of an atlas's sample, whose tiles' labels are the truth."""
    tiles = [atlas.cores[core].rgb[(slice(None), *window)] for core, window in atlas.sample.places]
    present = torch.from_numpy(atlas.sample.truth.any(axis=(1, 2)))
    return accuracy(model, torch.from_numpy(np.stack(tiles)), present)


@torch.no_grad()
def predicted(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return (n,) bool: which tiles the classifier calls positive."""
    model.eval()
    if not len(pixels):
        return torch.zeros(0, dtype=torch.bool)
    parts = [model(scaled(part)).argmax(dim=1) for part in torch.split(pixels, BATCH)]
    return torch.cat(parts) == POSITIVE_CLASS


def _read(rows: pd.DataFrame, store: Store) -> tuple[Tensor, Tensor]:
    rows = rows.sort_values(["image_id", "row", "col"], kind="stable")
    places = zip(rows["image_id"], rows["row"], rows["col"], strict=True)
    tiles = [store.tile(str(image_id), int(row), int(col)) for image_id, row, col in places]
    pixels = np.stack(tiles) if tiles else np.zeros((0, 3, 1, 1), np.uint8)
    return torch.from_numpy(pixels), torch.tensor((rows["label"] == POSITIVE).to_numpy(bool))
