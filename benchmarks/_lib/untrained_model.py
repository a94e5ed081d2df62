"""A model of the preset robust with random weights: it costs what a trained one costs."""

from __future__ import annotations

from pathlib import Path

import torch

from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import save_model
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import ROBUST


def write_untrained_model(folder: Path, threshold: float = 0.0) -> None:
    """Write the model to a new folder; its masks are where the logit exceeds `threshold`."""
    torch.manual_seed(0)
    network = AutoEncoder(ROBUST.network)
    codes = torch.randn_like(network.codebook.codes)
    network.codebook.set_codes(codes, torch.ones(len(codes), dtype=torch.bool))
    levels = {"low": threshold, "high": threshold, "edge_high": threshold}
    thresholds = (Thresholds(**levels, min_area_fraction=0.0),)
    folder.mkdir()
    save_model(
        folder, [network], ROBUST, classes=(SINGLE_CLASS,), thresholds=thresholds, attributes={}
    )
