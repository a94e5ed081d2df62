"""A trained model on disk: `checkpoint.safetensors` beside `model.json`; never a pickle.

`model.json` holds the SHA-256 of the checkpoint and that of its own bytes; the second is the digest
of the model, which the masks record and the report prints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cacl import __version__
from cacl.config import MAX_CLASSES, TargetClass
from cacl.errors import CheckpointError, ConfigError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.config import NetworkConfig, Preset
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import PRESETS, TEACHER, with_classes
from cacl.model.training_data import ENTRY, Range, read_training_data
from cacl.runtime.file_digest import (
    BLANK_DIGEST,
    FILE_DIGEST,
    check_digest,
    embed_digest,
    json_with_digest,
    read_json_with_digest,
)
from cacl.runtime.json_text import parse_json
from cacl.runtime.step_versions import MODEL_VERSION
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.tables import write_atomically
from cacl.tables.made_with import software_versions

MAX_ENSEMBLE = 16
CHECKPOINT = "checkpoint.safetensors"
DESCRIPTION = "model.json"
CURVES = "training.csv"
METADATA = "cacl"
"""The only key of the metadata of a safetensors file; JSON."""
PICKLE_MAGIC = (b"\x80", b"PK\x03\x04")
# A safetensors file starts with eight bytes, the length of its JSON header, which may be any.
HEADER_START = b"{"
MAX_DESCRIPTION_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model for prediction.

    Parameters
    ----------
    networks
        Networks of the ensemble, in evaluation mode; their logits are averaged.
    preset
        Settings of the training and of the masks.
    classes
        Target classes.
    thresholds
        Thresholds of each class.
    digest
        The digest that `model.json` holds, of weights and description: equal digests give equal
        masks.
    mpp
        Lowest and highest size of an analysis pixel in the training, um; None if not recorded.
    stain_vectors
        Stain vectors of the training images.
    """

    networks: tuple[AutoEncoder, ...]
    preset: Preset
    classes: tuple[TargetClass, ...]
    thresholds: tuple[Thresholds, ...]
    digest: str
    mpp: Range | None = None
    stain_vectors: StainVectors = REFERENCE


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with its own digest; equal tensors give equal bytes."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # A single key: safetensors writes several keys in random order.
    entries = {METADATA: json.dumps({**metadata, FILE_DIGEST: BLANK_DIGEST})}
    data = embed_digest(safetensors.torch.save(contiguous, entries))
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def read_tensors(path: Path, *, check: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a file of `write_tensors`.

    Parameters
    ----------
    path
        The file.
    check
        Check the digest that the file holds; not needed where another file records its digest.

    Raises
    ------
    CheckpointError
        The file is missing, a pickle, no safetensors file, or its bytes have changed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start.startswith(PICKLE_MAGIC) and not start.endswith(HEADER_START):
            raise CheckpointError(
                f"{path} is a pickle, expected safetensors; it was not opened, because a pickle "
                "can run any code. Train again, or convert the file if you trust its source"
            )
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = parse_json((file.metadata() or {}).get(METADATA, "{}"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if check:
            check_digest(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path} is missing or no safetensors file ({error}); run `cacl train` again"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); run `cacl train` again") from error
    return tensors, metadata


def save_model(
    folder: Path,
    networks: Sequence[AutoEncoder],
    preset: Preset,
    *,
    classes: Sequence[TargetClass],
    thresholds: Sequence[Thresholds],
    attributes: dict[str, Any],
) -> None:
    """Write a model's weights and description.

    Parameters
    ----------
    folder
        Folder of the model.
    networks, preset, classes, thresholds
        The model; see `Model`.
    attributes
        Further entries of the description, such as the digest of the training data.
    """
    path = folder / CHECKPOINT
    write_tensors(path, nn.ModuleList(networks).state_dict(), {"model_version": str(MODEL_VERSION)})
    description = {
        "model_version": MODEL_VERSION,
        "code_version": __version__,
        "software": software_versions(),
        "preset": preset.name,
        "n_ensemble": len(networks),
        "architecture": dataclasses.asdict(preset.network),
        "thresholds": dataclasses.asdict(thresholds[0]),
        **attributes,
        **_describe_classes(classes, thresholds),
        "checkpoint_sha256": _sha256(path),
    }
    data = json_with_digest(description)
    write_atomically(folder / DESCRIPTION, lambda temporary: temporary.write_bytes(data))


def _describe_classes(
    classes: Sequence[TargetClass], thresholds: Sequence[Thresholds]
) -> dict[str, list[dict[str, Any]]]:
    """Return the `classes` entry of the description; none for the single class of the paper."""
    if tuple(classes) == (SINGLE_CLASS,):
        return {}
    entries = [
        {"name": target.name, "shape": target.shape, "thresholds": dataclasses.asdict(values)}
        for target, values in zip(classes, thresholds, strict=True)
    ]
    return {"classes": entries}


def load_model(folder: Path, preset: Preset | None = None) -> Model:
    """Read a model, and check that weights, description and this version fit together.

    Parameters
    ----------
    folder
        Folder that `save_model` wrote.
    preset
        The preset of the training; None for the preset that the description names.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, a pickle, or of another version or architecture.
    """
    path, description_path = folder / CHECKPOINT, folder / DESCRIPTION
    description = read_description(description_path)
    classes, thresholds = _read_classes(description, description_path)
    preset = _read_preset(description, preset, len(classes), description_path)
    tensors, _ = read_tensors(path, check=False)
    networks = tuple(AutoEncoder(preset.network).eval() for _ in range(preset.n_ensemble))
    load_checked(nn.ModuleList(networks), tensors, path)
    expected, actual = str(description.get("checkpoint_sha256")), _sha256(path)
    if actual != expected:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} describes (SHA-256 {actual[:12]}..., "
            f"expected {expected[:12]}...); run `cacl train` again"
        )
    model = Model(networks, preset, classes, thresholds, description[FILE_DIGEST])
    if ENTRY not in description:
        return model
    data = read_training_data(description, folder)
    return dataclasses.replace(model, mpp=data.mpp, stain_vectors=data.stain_vectors)


def load_checked(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors into a network after a check of their names, shapes, types and values.

    Parameters
    ----------
    network
        Changed in place.
    tensors
        State of a network of the same architecture, by name.
    path
        File of the tensors, for messages.

    Raises
    ------
    CheckpointError
        The tensors belong to another architecture, or are not finite.
    """
    check_tensors(tensors, network.state_dict(), path)
    network.load_state_dict(tensors)


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> None:
    """Compare names, shapes and types of tensors from a file with those of a network.

    Parameters
    ----------
    tensors
        Tensors of the file, by name.
    expected
        Tensors of the names, shapes and types that the file must have; their values do not count.
    path
        The file, for messages.

    Raises
    ------
    CheckpointError
        The tensors belong to another architecture, or are not finite.
    """
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise CheckpointError(
            f"{path} is of another architecture: it lacks {missing[:3] or 'nothing'} and has "
            f"{unknown[:3] or 'nothing'} in excess; run `cacl train` again"
        )
    for name, tensor in tensors.items():
        like = expected[name]
        if tensor.shape != like.shape or tensor.dtype != like.dtype:
            raise CheckpointError(
                f"{path} is of another architecture: {name} is {tensor.dtype} "
                f"{tuple(tensor.shape)}, expected {like.dtype} {tuple(like.shape)}; run "
                "`cacl train` again"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path} has values that are not finite in {name}; run `cacl train` again"
            )


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of `model.json`; `file_sha256` is the digest of the model.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or of another version.
    """
    try:
        if path.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise CheckpointError(
                f"{path} is larger than {MAX_DESCRIPTION_BYTES} bytes, so it is no description of "
                "a model; run `cacl train` again"
            )
        data = path.read_bytes()
        content = parse_json(data)
        version = content.get("model_version") if isinstance(content, dict) else None
        if version == MODEL_VERSION:
            content = read_json_with_digest(data)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({error}); run `cacl train` again"
        ) from error
    if version != MODEL_VERSION:
        raise CheckpointError(
            f"{path} describes a model of version {version}, expected {MODEL_VERSION}; run "
            "`cacl train` again, or use the software that wrote it"
        )
    description: dict[str, Any] = content
    return description


def _read_preset(
    description: dict[str, Any], preset: Preset | None, n_classes: int, path: Path
) -> Preset:
    known = PRESETS | {TEACHER.name: TEACHER}
    preset = preset or known.get(str(description.get("preset")))
    if preset is None:
        raise CheckpointError(
            f"{path} names the preset {description.get('preset')!r}, expected one of "
            f"{sorted(PRESETS)}; run `cacl train` again"
        )
    n_ensemble = description.get("n_ensemble")
    if not isinstance(n_ensemble, int) or not 1 <= n_ensemble <= MAX_ENSEMBLE:
        raise CheckpointError(
            f"{path} describes an ensemble of {n_ensemble!r} models, expected 1 to {MAX_ENSEMBLE}; "
            "run `cacl train` again"
        )
    preset = dataclasses.replace(with_classes(preset, n_classes), n_ensemble=n_ensemble)
    expected = json.loads(json.dumps(dataclasses.asdict(preset.network)))
    architecture = description.get("architecture")
    if architecture != expected:
        architecture = architecture if isinstance(architecture, dict) else {}
        names = [field.name for field in dataclasses.fields(NetworkConfig)]
        differing = [name for name in names if architecture.get(name) != expected[name]]
        raise CheckpointError(
            f"{path} is of another architecture ({', '.join(differing)} differ from this "
            f"version's preset {preset.name}); run `cacl train` again"
        )
    return preset


def _read_classes(
    description: dict[str, Any], path: Path
) -> tuple[tuple[TargetClass, ...], tuple[Thresholds, ...]]:
    entries = description.get("classes")
    if entries is None:
        return (SINGLE_CLASS,), (_read_thresholds(description, path),)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_CLASSES:
        raise CheckpointError(
            f"{path} has no readable list of 1 to {MAX_CLASSES} classes; run `cacl train` again"
        )
    classes, thresholds = [], []
    for entry in entries:
        try:
            classes.append(TargetClass(name=entry["name"], shape=entry["shape"]))
        except (KeyError, TypeError, ConfigError) as error:
            raise CheckpointError(
                f"{path} has a class without a name and a shape ({error}); run `cacl train` again"
            ) from error
        thresholds.append(_read_thresholds(entry, path))
    return tuple(classes), tuple(thresholds)


def _read_thresholds(description: dict[str, Any], path: Path) -> Thresholds:
    values = description.get("thresholds")
    names = [field.name for field in dataclasses.fields(Thresholds)]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise CheckpointError(
            f"{path} lacks the thresholds {', '.join(names)}; run `cacl train` again"
        )
    if not all(
        isinstance(value, int | float) and math.isfinite(value) for value in values.values()
    ):
        raise CheckpointError(
            f"{path} has a threshold that is not a finite number; run `cacl train` again"
        )
    return Thresholds(**{name: float(values[name]) for name in names})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
