"""CAM, Grad-CAM and Guided Grad-CAM of the classifier, through MONAI."""

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

from cacl.benchmark.classifier import POSITIVE_CLASS, scaled
from cacl.benchmark.evaluation_set import Core
from cacl.benchmark.method import Method

LAYER = "layer4"
BATCH = 16

Float32 = NDArray[np.float32]
Map = Callable[[Tensor], Tensor]


class BatchedGuidedBackprop(GuidedBackpropGrad):
    """MONAI's guided backpropagation, of many images at once.

    MONAI takes one image at a time. The gradient of a sum of scores is each image's own gradient
    as long as the network treats images apart, as it does in evaluation.
    """

    def get_grad(
        self, x: Tensor, index: Tensor | int | None, retain_graph: bool = False, **kwargs: Any
    ) -> Tensor:
        """Return the gradient (b, 3, y, x) of a class's score."""
        x.requires_grad = True
        self._model(x, class_idx=index, retain_graph=retain_graph, **kwargs)
        gradient: Tensor = x.grad.detach()  # type: ignore[union-attr]
        return gradient


def methods(attending: Mapping[str, Map]) -> list[Method]:
    """Return the three methods, each with its raw map, and with each tile's scaled to 0 to 1.

    A raw map can say that a tile holds nothing; a scaled one, as drawn in most papers, cannot
    below a threshold of 1.
    Each core's raw map is made once, and kept as long as the methods are.

    Parameters
    ----------
    attending
        From `maps`.
    """
    found = []
    for name, attend in attending.items():
        score = functools.cache(functools.partial(_tiled, attend))
        found.append(Method(name, score, None))
        found.append(
            Method(
                f"{name}, each tile from 0 to 1", functools.partial(_stretched, score), None, False
            )
        )
    return found


def maps(network: nn.Module) -> dict[str, Map]:
    """Return each method as a function from (b, 3, y, x) levels, 0 to 255, to (b, y, x).

    Guided Grad-CAM is Grad-CAM times the largest guided gradient of the three channels, by size.
    MONAI's hooks stay on the network, so call this once for each.
    """
    network.eval()
    cam = CAM(network, target_layers=LAYER, fc_layers="fc", postprocessing=_raw)
    grad_cam = GradCAM(network, target_layers=LAYER, postprocessing=_raw)
    guided = BatchedGuidedBackprop(network)

    def by_cam(rgb: Tensor) -> Tensor:
        classes = torch.full((len(rgb),), POSITIVE_CLASS)
        with torch.no_grad():
            found: Tensor = cam(scaled(rgb), class_idx=classes)[:, 0]
        return found

    def by_grad_cam(rgb: Tensor) -> Tensor:
        found: Tensor = grad_cam(scaled(rgb), class_idx=POSITIVE_CLASS)[:, 0]
        return found.detach()

    def by_both(rgb: Tensor) -> Tensor:
        gradient: Tensor = guided(scaled(rgb), index=POSITIVE_CLASS)
        return by_grad_cam(rgb) * gradient.abs().amax(dim=1)

    return {"CAM": by_cam, "Grad-CAM": by_grad_cam, "Guided Grad-CAM": by_both}


def _raw(maps: Tensor) -> Tensor:
    return maps


def _tiled(attend: Map, core: Core) -> Float32:
    """Return the map (y, x) of a core, tile by tile as the classifier learned; -inf elsewhere."""
    score = np.full(core.cell.shape, -np.inf, np.float32)
    for start in range(0, len(core.windows), BATCH):
        windows = core.windows[start : start + BATCH]
        tiles = np.stack([core.rgb[(slice(None), *window)] for window in windows])
        found = attend(torch.from_numpy(tiles)).numpy()
        for window, tile in zip(windows, found, strict=True):
            score[window] = tile
    return score


def _stretched(score: Callable[[Core], Float32], core: Core) -> Float32:
    stretched = score(core).copy()
    for window in core.windows:
        tile = stretched[window]
        low, high = tile.min(), tile.max()
        stretched[window] = (tile - low) / (high - low) if high > low else 0.0
    return stretched
