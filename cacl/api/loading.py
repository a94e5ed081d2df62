"""Open what a run wrote: a model, a store."""

from __future__ import annotations

import os
from pathlib import Path

from cacl.errors import StoreError
from cacl.model import checkpoint
from cacl.model.checkpoint import Model
from cacl.model.model_file import model_folder
from cacl.store import Store

PathLike = str | os.PathLike[str]


def load_model(path: PathLike) -> Model:
    """Read a trained model.

    Parameters
    ----------
    path
        A folder that `cacl train` wrote, such as `results/model`, or a file of
        `cacl export --model`.

    Raises
    ------
    CheckpointError
        There is no model, it is damaged, or of another version or architecture.

    Examples
    --------
    >>> import cacl
    >>> model = cacl.load_model("results/model")
    >>> [target.name for target in model.classes]
    ['stain']
    """
    with model_folder(Path(path)) as folder:
        return checkpoint.load_model(folder)


def open_store(path: PathLike) -> Store:
    """Open a store of images and masks.

    Parameters
    ----------
    path
        Folder of the store, such as `results/atlas.zarr`.

    Raises
    ------
    StoreError
        There is no store, or it is of another version.

    Examples
    --------
    >>> import cacl
    >>> store = cacl.open_store("results/atlas.zarr")
    >>> image_id = store.image_ids()[0]
    >>> store.image(image_id).shape, store.label(image_id, "stain").shape
    ((3, 1024, 1024), (1024, 1024))
    """
    root = Path(path)
    if not (root / "zarr.json").is_file():
        raise StoreError(f"{root} is not a store; name a folder such as results/atlas.zarr")
    return Store(root)
