"""A model's scores made masks in other ways: what `ablation.py` compares without training."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.ablation.counterfactual import Fused
from cacl.model.checkpoint import Model
from cacl.model.data.dataset import TileDataset
from cacl.model.inference.masks import Thresholds
from cacl.model.inference.predict import predict_logits
from cacl.model.inference.thresholds import calibrate_thresholds

Judge = Callable[[TileDataset, TileDataset, Model], Model]
ALONE = 0.001


def anew(**changes: object) -> Judge:
    """Change fields of the preset's `post`, and choose thresholds anew."""

    def judge(learning: TileDataset, negatives: TileDataset, model: Model) -> Model:
        post = dataclasses.replace(model.preset.post, **changes)  # type: ignore[arg-type]
        preset = dataclasses.replace(model.preset, post=post)
        limits = calibrate_thresholds(model.networks, learning, negatives, preset)
        return dataclasses.replace(model, preset=preset, thresholds=limits)

    return judge


def one_threshold(learning: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Let a mask hold sure pixels alone."""
    limits = tuple(dataclasses.replace(one, low=one.high) for one in model.thresholds)
    return dataclasses.replace(model, thresholds=limits)


def negatives_alone(learning: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Let a mask hold what all but 0.1 % of held-out negative pixels stay below."""
    which = torch.nonzero(negatives.negative[:, 0]).flatten()
    found = predict_logits(
        model.networks, negatives, which, 0, model.preset.post, model.preset.post.n_tta
    )
    level = float(np.quantile(found, 1.0 - ALONE))
    limits = Thresholds(low=level, high=level, edge_high=level, min_area_fraction=0.0)
    return dataclasses.replace(model, thresholds=(limits,))


def nearest_code(learning: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Let a mask hold the pixels whose nearest code is of C, as in the paper."""
    networks = [copy.copy(network) for network in model.networks]
    for network in networks:
        network.architecture = dataclasses.replace(network.architecture, temperature=None)
    chosen = dataclasses.replace(model, networks=tuple(networks))
    return anew(high_recall=None, n_tta=1)(learning, negatives, chosen)


def fused(learning: TileDataset, negatives: TileDataset, model: Model) -> Model:
    """Fuse scores with the DAB that reconstructions without C lack."""
    networks = tuple(Fused(network).eval() for network in model.networks)
    raised = dataclasses.replace(model, networks=networks)  # type: ignore[arg-type]
    return anew()(learning, negatives, raised)


JUDGED: dict[str, Judge] = {
    "one view": anew(n_tta=1),
    "one threshold": one_threshold,
    "one threshold, from negatives alone, no gate": negatives_alone,
    "one sure pixel is enough": anew(min_core_fraction=None),
    "a quarter of each part is sure, however large": anew(min_core_px=None),
    "no gate": anew(image_fnr=None),
    "half of the soft share, no thresholds, no gate": anew(high_recall=None),
    "the nearest code, enlarged by nearest neighbour, no gate": nearest_code,
    "fused with the DAB that is missing without C": fused,
}
