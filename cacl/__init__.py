"""CaCL Atlas: quantify a diffuse stain across the Human Protein Atlas from image-wise labels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cacl.api import (
        Measures,
        Model,
        Segmentation,
        Store,
        load_model,
        measure,
        open_store,
        segment,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "Measures",
    "Model",
    "Segmentation",
    "Store",
    "load_model",
    "measure",
    "open_store",
    "segment",
    "train",
]


def __getattr__(name: str) -> Any:
    """Return a name of `cacl.api`, which is imported when one is first used."""
    if name in __all__:
        return getattr(importlib.import_module("cacl.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
