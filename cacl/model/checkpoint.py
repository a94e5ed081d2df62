"""A trained model on disk: `checkpoint.safetensors` beside `model.json`; never a pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from cacl import __version__
from cacl.errors import CheckpointError, ConfigError
from cacl.hpa.target_class import MAX_CLASSES, SINGLE_CLASS, TargetClass
from cacl.model.config import PRESETS, Architecture, Preset, with_classes
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.tables import write_atomically, write_text

MODEL_VERSION = 3
MOST_MEMBERS = 16
CHECKPOINT = "checkpoint.safetensors"
DESCRIPTION = "model.json"
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
HEADER_START = b"{"  # of safetensors, behind eight bytes of its length, whatever those are
MAX_DESCRIPTION_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model, ready to score.

    Parameters
    ----------
    networks
        Its members, in evaluation mode; their scores are averaged.
    preset
        How it was trained, and how its scores become masks.
    patterns
        Its classes.
    thresholds
        What turns the scores of each into a mask.
    digest
        Digest of weights and description: equal digests give equal masks.
    """

    networks: tuple[AutoEncoder, ...]
    preset: Preset
    classes: tuple[TargetClass, ...]
    thresholds: tuple[Thresholds, ...]
    digest: str


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all; equal tensors give equal bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = safetensors.torch.save(plain, metadata)
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata that `write_tensors` wrote.

    Raises
    ------
    CheckpointError
        The file is missing, a pickle, or no safetensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start.startswith(PICKLE_STARTS) and not start.endswith(HEADER_START):
            raise CheckpointError(
                f"{path} is a pickle, which may run code when it is opened, so it was not; "
                "expected safetensors: train again, or convert it where you trust it"
            )
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return {name: file.get_tensor(name) for name in sorted(file.keys())}, metadata
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path} is missing or no safetensors file ({error}); run `cacl train` again"
        ) from error


def save_model(
    folder: Path,
    networks: Sequence[AutoEncoder],
    preset: Preset,
    *,
    classes: Sequence[TargetClass],
    thresholds: Sequence[Thresholds],
    facts: dict[str, Any],
) -> None:
    """Write a model's weights and description.

    Parameters
    ----------
    folder
        Where they go.
    networks, preset, patterns, thresholds
        The model; see `Model`.
    facts
        What else the description says, such as the training data's digest.
    """
    path = folder / CHECKPOINT
    write_tensors(path, nn.ModuleList(networks).state_dict(), {"model_version": str(MODEL_VERSION)})
    description = {
        "model_version": MODEL_VERSION,
        "code_version": __version__,
        "preset": preset.name,
        "members": len(networks),
        "architecture": dataclasses.asdict(preset.architecture),
        "thresholds": dataclasses.asdict(thresholds[0]),
        **facts,
        **_classes(classes, thresholds),
        "checkpoint_sha256": _sha256(path),
    }
    write_text(folder / DESCRIPTION, json.dumps(description, indent=1) + "\n")


def _classes(
    classes: Sequence[TargetClass], thresholds: Sequence[Thresholds]
) -> dict[str, list[dict[str, Any]]]:
    """Return what the description says of classes; nothing of the only one of the paper."""
    if tuple(classes) == (SINGLE_CLASS,):
        return {}
    found = [
        {"name": one.name, "shape": one.shape, "thresholds": dataclasses.asdict(limits)}
        for one, limits in zip(classes, thresholds, strict=True)
    ]
    return {"classes": found}


def load_model(folder: Path) -> Model:
    """Read a model, checking that weights and description belong together and to this code.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, a pickle, or of another version or architecture.
    """
    description = _read_description(folder / DESCRIPTION)
    classes, thresholds = _read_classes(description, folder / DESCRIPTION)
    preset = _preset(description, len(classes), folder / DESCRIPTION)
    path = folder / CHECKPOINT
    tensors, _ = read_tensors(path)
    networks = tuple(AutoEncoder(preset.architecture).eval() for _ in range(preset.members))
    fit(nn.ModuleList(networks), tensors, path)
    found = _sha256(path)
    if description.get("checkpoint_sha256") != found:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} describes (SHA-256 {found[:12]}..., "
            f"expected {str(description.get('checkpoint_sha256'))[:12]}...); run `cacl train` again"
        )
    digest = hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    return Model(networks, preset, classes, thresholds, digest)


def fit(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors into a network of the same names, shapes and types.

    Raises
    ------
    CheckpointError
        They are of another architecture, or not finite.
    """
    expected = network.state_dict()
    missing = sorted(set(expected) - set(tensors))
    unknown = sorted(set(tensors) - set(expected))
    if missing or unknown:
        raise CheckpointError(
            f"{path} is of another architecture: it lacks {missing[:3] or 'nothing'} and has "
            f"{unknown[:3] or 'nothing'} in excess; run `cacl train` again"
        )
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise CheckpointError(
                f"{path} is of another architecture: {name} is {tensor.dtype} "
                f"{tuple(tensor.shape)}, expected {wanted.dtype} {tuple(wanted.shape)}; run "
                "`cacl train` again"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path} holds numbers that are not finite in {name}")
    network.load_state_dict(tensors)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_DESCRIPTION_BYTES:
            raise CheckpointError(f"{path} is too large to be a model's description")
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({error}); run `cacl train` again"
        ) from error
    version = description.get("model_version") if isinstance(description, dict) else None
    if version != MODEL_VERSION:
        raise CheckpointError(
            f"{path} describes a model of version {version}, expected {MODEL_VERSION}; run "
            "`cacl train` again, or use the software that wrote it"
        )
    found: dict[str, Any] = description
    return found


def _preset(description: dict[str, Any], classes: int, path: Path) -> Preset:
    named = PRESETS.get(str(description.get("preset")))
    if named is None:
        raise CheckpointError(
            f"{path} names the preset {description.get('preset')!r}, expected one of "
            f"{sorted(PRESETS)}; run `cacl train` again"
        )
    members = description.get("members")
    if not isinstance(members, int) or not 1 <= members <= MOST_MEMBERS:
        raise CheckpointError(
            f"{path} says that the model has {members!r} members, expected 1 to {MOST_MEMBERS}; "
            "run `cacl train` again"
        )
    preset = dataclasses.replace(with_classes(named, classes), members=members)
    expected = json.loads(json.dumps(dataclasses.asdict(preset.architecture)))
    found = description.get("architecture")
    if found != expected:
        found = found if isinstance(found, dict) else {}
        names = [field.name for field in dataclasses.fields(Architecture)]
        differing = [name for name in names if found.get(name) != expected[name]]
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
        return (SINGLE_CLASS,), (_thresholds(description, path),)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_CLASSES:
        raise CheckpointError(f"{path} lists no classes that can be read; run `cacl train` again")
    classes, limits = [], []
    for entry in entries:
        try:
            classes.append(TargetClass(name=entry["name"], shape=entry["shape"]))
        except (KeyError, TypeError, ConfigError) as error:
            raise CheckpointError(
                f"{path} has a class without a name and a shape ({error}); run `cacl train` again"
            ) from error
        limits.append(_thresholds(entry, path))
    return tuple(classes), tuple(limits)


def _thresholds(description: dict[str, Any], path: Path) -> Thresholds:
    found = description.get("thresholds")
    names = [field.name for field in dataclasses.fields(Thresholds)]
    if not isinstance(found, dict) or sorted(found) != sorted(names):
        raise CheckpointError(
            f"{path} lacks the thresholds {', '.join(names)}; run `cacl train` again"
        )
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in found.values()):
        raise CheckpointError(f"{path} has a threshold that is no number; run `cacl train` again")
    return Thresholds(**{name: float(found[name]) for name in names})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
