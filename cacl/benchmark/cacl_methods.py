"""CaCL as methods of the benchmark: masks as `cacl segment` writes them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.method import Method
from cacl.model.checkpoint import Model
from cacl.model.inference.blocks import predict_masks
from cacl.model.inference.masks import Morphology

Bool = NDArray[np.bool_]
PAPER_MORPHOLOGY = Morphology("dilation", 1)
"""Deng et al. 2020, section 4."""


def cacl_methods(model: Model, paper: Model | None, morphology: Morphology) -> list[Method]:
    """Return each preset, without and with the paper's dilation by 1 px, and the run's own masks.

    Parameters
    ----------
    model
        The run's model.
    paper
        The model of the preset `paper` on the same tiles; None to omit it.
    morphology
        Morphology of the run's masks.
    """
    own = _mask_function(model)
    by_preset = {model.preset.name: own}
    if paper is not None and paper.preset.name != model.preset.name:
        by_preset = {paper.preset.name: _mask_function(paper)} | by_preset
    methods = []
    for preset, masks in by_preset.items():
        methods.append(_method(f"CaCL {preset}", masks, Morphology()))
        methods.append(_method(f"CaCL {preset} + morphology", masks, PAPER_MORPHOLOGY))
    return [*methods, _method("final method", own, morphology)]


def _mask_function(model: Model) -> Callable[[EvaluationImage], Bool]:
    """Return a cached function from an image to its mask (y, x) before morphology."""

    @functools.cache
    def mask_of(image: EvaluationImage) -> Bool:
        meta = image.store.meta(image.image_id)
        return np.asarray(predict_masks(image.store, meta, model, Morphology())[0])

    return mask_of


def _method(
    name: str, mask_of: Callable[[EvaluationImage], Bool], morphology: Morphology
) -> Method:
    def score(image: EvaluationImage) -> NDArray[np.float32]:
        return morphology.apply(mask_of(image)).astype(np.float32)

    return Method(name, score, 0.5)
