"""A U-Net trained on ground-truth masks: full supervision on the same antibodies.

It uses no part of CaCL: neither codebook, stain densities, local DAB maxima, thresholds nor gate.
Tiles and augmentation are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from monai.networks.nets.basic_unet import BasicUNet
from numpy.typing import NDArray
from torch import nn

from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.method import Method
from cacl.hpa.pixel_labels import PseudoLabel
from cacl.image.cell_mask import remove_small_objects
from cacl.model.config import Preset
from cacl.model.data.batches import InstanceLabels, sample_batch
from cacl.model.data.dataset import TileDataset

log = logging.getLogger(__name__)
FEATURES = (24, 24, 48, 96, 192, 24)
LEARNING_RATE = 2e-3
NAME = "U-Net trained on ground truth"


def trained_unet(tiles: TileDataset, preset: Preset, steps: int, seed: int) -> Method:
    """Train MONAI's BasicUNet on tiles with ground truth as fifth layer; Dice and cross entropy."""
    torch.manual_seed(seed)
    network = BasicUNet(
        spatial_dims=2, in_channels=3, out_channels=1, features=FEATURES, norm="batch", act="relu"
    )
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    dice_ce = DiceCELoss(sigmoid=True, batch=True)
    rng = torch.Generator().manual_seed(seed)
    labels = InstanceLabels(
        positive=tiles.positive & tiles.has_positive_pixels,
        positive_fraction=torch.zeros(tiles.positive.shape),
        relabelled=torch.zeros(1, dtype=torch.bool),
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for step in range(steps):
        batch = sample_batch(tiles, labels, preset, 0, rng, torch.device("cpu"))
        target = (batch.pseudo_label == int(PseudoLabel.POSITIVE)).float()
        loss = dice_ce(network(network_input(batch.rgb)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            log.info("u-net: step %d of %d, loss %.3f", step, steps, loss.item())
    return Method(
        f"{NAME}, {steps} steps", scorer(network.eval(), preset.post.min_object_px or 1), 0.5, False
    )


def network_input(rgb: torch.Tensor) -> torch.Tensor:
    """Return RGB levels (b, 3, y, x), 0 to 255, as network input, 0 to 1."""
    return (rgb / 255.0).contiguous(memory_format=torch.channels_last)


def scorer(network: nn.Module, min_px: int) -> Callable[[EvaluationImage], NDArray[np.float32]]:
    """Return a function from a core to its mask on cells without small objects: (y, x), 0 or 1."""

    @torch.no_grad()
    def score(core: EvaluationImage) -> NDArray[np.float32]:
        rgb = torch.from_numpy(core.rgb[None]).float()
        mask = (network(network_input(rgb))[0, 0] > 0.0).numpy() & core.cell
        return remove_small_objects(mask, min_px).astype(np.float32)

    return score
