"""CaCL as the benchmark sees it: masks as `segment` makes them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluation_set import Core
from cacl.benchmark.method import Method
from cacl.model.checkpoint import Model
from cacl.model.inference.masks import Morphology
from cacl.model.inference.predict import predict_masks

Bool = NDArray[np.bool_]
PAPERS = Morphology("dilation", 1)


def methods(model: Model, paper: Model | None, morphology: Morphology) -> list[Method]:
    """Return both presets, plain and dilated by 1 px as in the paper, and what `segment` writes.

    Parameters
    ----------
    model
        The run's own model.
    paper
        The paper's preset on the same tiles; None to leave it out.
    morphology
        What the run does to its masks.
    """
    own = _plain(model)
    plain = {model.preset.name: own}
    if paper is not None and paper.preset.name != model.preset.name:
        plain = {paper.preset.name: _plain(paper)} | plain
    found = []
    for preset, mask in plain.items():
        found.append(_method(f"CaCL {preset}", mask, Morphology()))
        found.append(_method(f"CaCL {preset} + morphology", mask, PAPERS))
    return [*found, _method("final method", own, morphology)]


def _plain(model: Model) -> Callable[[Core], Bool]:
    @functools.cache
    def mask(core: Core) -> Bool:
        found = predict_masks(core.store, core.store.meta(core.image_id), model, Morphology())
        return np.asarray(found[0])

    return mask


def _method(name: str, plain: Callable[[Core], Bool], morphology: Morphology) -> Method:
    def score(core: Core) -> NDArray[np.float32]:
        return morphology.apply(plain(core)).astype(np.float32)

    return Method(name, score, 0.5)
