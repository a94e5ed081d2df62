"""A trained model elsewhere: a folder, or one file that holds the files of such a folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch

from cacl.config import TargetClass
from cacl.errors import CheckpointError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import (
    CHECKPOINT,
    CURVES,
    DESCRIPTION,
    METADATA,
    Model,
    load_model,
    read_tensors,
)
from cacl.tables import check_file, write_bytes, write_checked_bytes

FILES = (CHECKPOINT, CURVES, DESCRIPTION)
"""The files of a model; the description is written last."""


def write_model_file(folder: Path, path: Path) -> str:
    """Write a model as one safetensors file, which holds the bytes of its files; return its digest.

    Its metadata hold the SHA-256 of each. It has no digest of its own bytes as the files of
    `write_tensors`, whose place would be ambiguous: `model.json` in it has one.

    Parameters
    ----------
    folder
        Folder of `cacl train`.
    path
        The file.

    Raises
    ------
    CheckpointError
        The folder holds no model that can be used.
    TableError
        `training.csv` has changed since it was written.
    """
    model = load_model(folder)
    files = _read_files(folder)
    tensors = {
        name: torch.frombuffer(bytearray(data), dtype=torch.uint8) for name, data in files.items()
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    write_bytes(path, safetensors.torch.save(tensors, {METADATA: json.dumps(digests)}))
    return model.digest


def copy_model(folder: Path, out: Path) -> None:
    """Copy the files of a model byte by byte, with the digests that `cacl train` writes."""
    for name, data in _read_files(folder).items():
        write = write_checked_bytes if name == CURVES else write_bytes
        write(out / name, data)


@contextmanager
def model_folder(path: Path) -> Iterator[Path]:
    """Yield the folder of a model: `path` itself, or a temporary one with the files of one file.

    Raises
    ------
    CheckpointError
        There is neither, the file is no file of `write_model_file`, or its bytes have changed.
    """
    if path.is_dir():
        yield path
        return
    tensors, digests = read_tensors(path, check=False)
    if set(tensors) != set(FILES) or any(
        tensor.dtype != torch.uint8 or tensor.ndim != 1 for tensor in tensors.values()
    ):
        raise CheckpointError(
            f"{path} is not a model in one file; write one with `cacl export --model`, or name the "
            "model's folder"
        )
    files = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    for name, data in files.items():
        if not isinstance(digests, dict) or hashlib.sha256(data).hexdigest() != digests.get(name):
            raise CheckpointError(
                f"{path} is damaged ({name} in it has changed); write it again with `cacl export "
                "--model`"
            )
    with tempfile.TemporaryDirectory(prefix="cacl-model-") as temporary:
        for name, data in files.items():
            write_bytes(Path(temporary) / name, data)
        try:
            yield Path(temporary)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(temporary, str(path))) from error


def require_classes(model: Model, classes: Sequence[TargetClass], path: Path) -> None:
    """Check that a model has the classes of a configuration, in order and of equal shapes.

    Parameters
    ----------
    model
        The model.
    classes
        `labels.classes`; none for the single class of the paper.
    path
        Where the model comes from, for messages.

    Raises
    ------
    CheckpointError
        It has others.
    """
    found, expected = (
        [(target.name, target.shape) for target in each]
        for each in (model.classes, classes or (SINGLE_CLASS,))
    )
    if found != expected:
        raise CheckpointError(
            f"{path} has the classes {_listed(found)}, expected those of labels.classes: "
            f"{_listed(expected)}; give labels.classes the model's, or train a model of your own"
        )


def _listed(classes: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({shape})" for name, shape in classes)


def _read_files(folder: Path) -> dict[str, bytes]:
    check_file(folder / CURVES)
    try:
        return {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise CheckpointError(
            f"{folder} is no complete model ({error}); name a folder that `cacl train` wrote, or a "
            "file of `cacl export --model`"
        ) from error
