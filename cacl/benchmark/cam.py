"""CAM, Grad-CAM and Guided Grad-CAM of the classifier, with MONAI.

References
----------
CAM: Zhou et al., Learning deep features for discriminative localization, CVPR 2016.
Grad-CAM and Guided Grad-CAM: Selvaraju et al., Grad-CAM, ICCV 2017.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.visualize.class_activation_maps import CAM, GradCAM
from monai.visualize.gradient_based import GuidedBackpropGrad
from numpy.typing import NDArray
from torch import Tensor, nn

from cacl.benchmark.classifier import POSITIVE_CLASS, normalise
from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.method import Method

LAYER = "layer4"
BATCH = 16

Float32 = NDArray[np.float32]
ActivationMap = Callable[[Tensor], Tensor]


class BatchedGuidedBackprop(GuidedBackpropGrad):
    """MONAI's guided backpropagation for a batch of images.

    MONAI's own class takes one image at a time. The gradient of the sum of the scores equals the
    gradient of each image, because the network treats images independently in evaluation mode.
    """

    def get_grad(
        self, x: Tensor, index: Tensor | int | None, retain_graph: bool = False, **kwargs: Any
    ) -> Tensor:
        """Return the gradient (b, 3, y, x) of the score of a class."""
        x.requires_grad = True
        self._model(x, class_idx=index, retain_graph=retain_graph, **kwargs)
        gradient: Tensor = x.grad.detach()  # type: ignore[union-attr]
        return gradient


def cam_methods(maps: Mapping[str, ActivationMap]) -> list[Method]:
    """Return two methods per activation map: the raw map, and the map scaled to 0-1 per tile.

    A threshold on the raw map can give a tile an empty mask. On the scaled map, which most papers
    show, no threshold below 1 can. The raw map of an image is computed once and cached.

    Parameters
    ----------
    maps
        From `activation_maps`.
    """
    methods = []
    for name, activation_map in maps.items():
        score = functools.cache(functools.partial(_score, activation_map))
        scaled = functools.partial(_score_scaled_per_tile, score)
        methods.append(Method(name, score, None))
        methods.append(Method(f"{name}, each tile from 0 to 1", scaled, None, in_gallery=False))
    return methods


def activation_maps(network: nn.Module) -> dict[str, ActivationMap]:
    """Return CAM, Grad-CAM and Guided Grad-CAM as functions from RGB tiles to maps.

    The functions take (b, 3, y, x) of 0 to 255 and return (b, y, x). Guided Grad-CAM is Grad-CAM
    times the largest absolute guided gradient of the three channels. MONAI's hooks stay on the
    network, so this must be called only once per network.
    """
    network.eval()
    cam = CAM(network, target_layers=LAYER, fc_layers="fc", postprocessing=_identity)
    grad_cam = GradCAM(network, target_layers=LAYER, postprocessing=_identity)
    guided_backprop = BatchedGuidedBackprop(network)

    def cam_map(rgb: Tensor) -> Tensor:
        classes = torch.full((len(rgb),), POSITIVE_CLASS)
        with torch.no_grad():
            maps: Tensor = cam(normalise(rgb), class_idx=classes)[:, 0]
        return maps

    def grad_cam_map(rgb: Tensor) -> Tensor:
        maps: Tensor = grad_cam(normalise(rgb), class_idx=POSITIVE_CLASS)[:, 0]
        return maps.detach()

    def guided_grad_cam_map(rgb: Tensor) -> Tensor:
        gradient: Tensor = guided_backprop(normalise(rgb), index=POSITIVE_CLASS)
        return grad_cam_map(rgb) * gradient.abs().amax(dim=1)

    return {"CAM": cam_map, "Grad-CAM": grad_cam_map, "Guided Grad-CAM": guided_grad_cam_map}


def _identity(maps: Tensor) -> Tensor:
    return maps


def _score(activation_map: ActivationMap, image: EvaluationImage) -> Float32:
    """Return the map (y, x) of an image, tile by tile as in training; -inf outside the tiles."""
    score = np.full(image.cell.shape, -np.inf, np.float32)
    for start in range(0, len(image.windows), BATCH):
        windows = image.windows[start : start + BATCH]
        tiles = np.stack([image.rgb[(slice(None), *window)] for window in windows])
        maps = activation_map(torch.from_numpy(tiles)).numpy()
        for window, tile in zip(windows, maps, strict=True):
            score[window] = tile
    return score


def _score_scaled_per_tile(
    raw_score: Callable[[EvaluationImage], Float32], image: EvaluationImage
) -> Float32:
    scaled = raw_score(image).copy()
    for window in image.windows:
        tile = scaled[window]
        low, high = tile.min(), tile.max()
        scaled[window] = (tile - low) / (high - low) if high > low else 0.0
    return scaled
