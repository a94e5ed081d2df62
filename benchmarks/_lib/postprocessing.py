"""Ablations that need no training: other ways to turn the scores of a model into masks."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.ablation.counterfactual import CounterfactualFusion
from cacl.model.checkpoint import Model
from cacl.model.data.dataset import TileDataset
from cacl.model.inference.masks import Thresholds
from cacl.model.inference.predict import predict_logits
from cacl.model.inference.thresholds import calibrate_thresholds

Postprocessing = Callable[[TileDataset, TileDataset, Model], Model]
"""Maps training tiles, held-out negative tiles and a model to a model with other masks."""
NEGATIVE_FPR = 0.001


def with_post(**changes: object) -> Postprocessing:
    """Change settings of the preset's `post`, and calibrate the thresholds again."""

    def change(training: TileDataset, negatives: TileDataset, model: Model) -> Model:
        post = dataclasses.replace(model.preset.post, **changes)  # type: ignore[arg-type]
        preset = dataclasses.replace(model.preset, post=post)
        thresholds = calibrate_thresholds(model.networks, training, negatives, preset)
        return dataclasses.replace(model, preset=preset, thresholds=thresholds)

    return change


def one_threshold(training: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Use the high threshold alone, without hysteresis."""
    thresholds = tuple(dataclasses.replace(pair, low=pair.high) for pair in model.thresholds)
    return dataclasses.replace(model, thresholds=thresholds)


def threshold_from_negatives(training: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Use one threshold that 0.1 % of the held-out negative pixels exceed, without gate."""
    indices = torch.nonzero(negatives.negative[:, 0]).flatten()
    post = model.preset.post
    logits = predict_logits(model.networks, negatives, indices, 0, post, post.n_tta)
    level = float(np.quantile(logits, 1.0 - NEGATIVE_FPR))
    thresholds = Thresholds(low=level, high=level, edge_high=level, min_area_fraction=0.0)
    return dataclasses.replace(model, thresholds=(thresholds,))


def nearest_code(training: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Use the pixels whose nearest code is a code of C, as in the paper."""
    networks = [copy.copy(network) for network in model.networks]
    for network in networks:
        network.architecture = dataclasses.replace(network.architecture, temperature=None)
    hard_assignment = dataclasses.replace(model, networks=tuple(networks))
    return with_post(high_probability=None, n_tta=1)(training, negatives, hard_assignment)


def counterfactual_fusion(training: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Add the excess of DAB over the reconstruction without C to the log odds."""
    networks = tuple(CounterfactualFusion(network).eval() for network in model.networks)
    fused = dataclasses.replace(model, networks=networks)  # type: ignore[arg-type]
    return with_post()(training, negatives, fused)


POSTPROCESSING: dict[str, Postprocessing] = {
    "one view": with_post(n_tta=1),
    "one threshold": one_threshold,
    "one threshold from negative tiles, no gate": threshold_from_negatives,
    "one high-threshold pixel per component": with_post(min_core_fraction=None),
    "a quarter of each component above the high threshold": with_post(min_core_px=None),
    "no gate": with_post(image_fnr=None),
    "soft assignment above one half, no thresholds, no gate": with_post(high_probability=None),
    "nearest code, enlarged by nearest neighbour, no gate": nearest_code,
    "fused with the counterfactual DAB": counterfactual_fusion,
}
