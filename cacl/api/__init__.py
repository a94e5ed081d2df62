"""Python API: the steps of the workflow on arrays, paths and tables of one's own.

`import cacl` offers these names; they load their libraries when they are first used.
"""

from cacl.api.loading import load_model, open_store
from cacl.api.measures import measure
from cacl.api.segmentation import Segmentation, segment
from cacl.api.training import train
from cacl.model.checkpoint import Model
from cacl.steps.image_measures import Measures
from cacl.store import Store

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
