"""A model on disk: what is refused, and that nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from cacl.errors import CheckpointError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import load_model, read_tensors, save_model, write_tensors
from cacl.model.config import PAPER, ROBUST
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder

LIMITS = Thresholds(likely=-1.0, sure=1.5, rim=1.5, least=0.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = AutoEncoder(ROBUST.network)
    save_model(folder, [network], ROBUST, classes=(SINGLE_CLASS,), thresholds=(LIMITS,), facts={})
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def describe(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def test_a_model_comes_back_as_it_was(folder: Path) -> None:
    model = load_model(folder)
    assert model.thresholds == (LIMITS,)
    assert model.classes == (SINGLE_CLASS,)
    assert model.preset == ROBUST
    assert not model.networks[0].training
    tensors, _ = read_tensors(folder / "checkpoint.safetensors")
    for name, tensor in model.networks[0].state_dict().items():
        assert torch.equal(tensor, tensors[f"0.{name}"])
    assert model.digest == load_model(folder).digest
    describe(folder, lambda found: found.update(seed=1))
    assert model.digest != load_model(folder).digest


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    for length in range(300):
        path = tmp_path / f"{length}.safetensors"
        write_tensors(path, {"t": torch.ones(2)}, {"note": "n" * length})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert torch.equal(read_tensors(path)[0]["t"], torch.ones(2))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_is_refused_and_never_opened(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path = folder / "checkpoint.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        torch.save({"bomb": Bomb()}, path)
    with pytest.raises(CheckpointError, match="is a pickle"):
        load_model(folder)
    assert not (folder / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"\xff" * 64])
def test_other_bytes_are_refused(folder: Path, content: bytes) -> None:
    (folder / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"no safetensors file.*cacl train"):
        load_model(folder)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(model_version=99), "of version 99, expected 3"),
        (lambda d: d.update(preset="other"), "names the preset 'other'"),
        (lambda d: d["architecture"].update(width=64), r"another architecture \(width differ"),
        (lambda d: d.update(architecture=[]), "another architecture"),
        (lambda d: d["thresholds"].pop("sure"), "lacks the thresholds likely, sure"),
        (lambda d: d["thresholds"].update(sure="x"), "a threshold that is no number"),
        (lambda d: d.update(checkpoint_sha256="0"), "is not the file that model.json describes"),
    ],
)
def test_a_wrong_description_is_explained(
    folder: Path, change: Callable[[dict[str, object]], object], sentence: str
) -> None:
    describe(folder, change)
    with pytest.raises(CheckpointError, match=sentence):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "x" * (2 << 20)])
def test_a_damaged_description_is_explained(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        load_model(folder)


def test_weights_of_another_architecture_are_refused(folder: Path) -> None:
    weights = AutoEncoder(PAPER.network).state_dict()
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        folder / "checkpoint.safetensors",
    )
    with pytest.raises(CheckpointError, match="of another architecture: it lacks"):
        load_model(folder)


def test_weights_of_another_shape_or_not_finite_are_refused(folder: Path) -> None:
    path = folder / "checkpoint.safetensors"
    tensors, _ = read_tensors(path)
    name = "0.codebook.codes"
    safetensors.torch.save_file(tensors | {name: torch.zeros(3, 3)}, path)
    with pytest.raises(CheckpointError, match=rf"{name} is torch\.float32 \(3, 3\), expected"):
        load_model(folder)
    safetensors.torch.save_file(tensors | {name: tensors[name] * float("nan")}, path)
    with pytest.raises(CheckpointError, match=f"not finite in {name}"):
        load_model(folder)


def test_presets_share_one_code() -> None:
    for preset in (ROBUST, PAPER):
        network = AutoEncoder(preset.network)
        features, distances = network(torch.full((1, 3, 16, 16), 128.0))
        assert features.shape == (1, preset.network.embedding_channels, 8, 8)
        assert distances.shape == (64, 32)
        assert network.decoder(features).shape == (1, 3, 16, 16)
    assert dataclasses.asdict(PAPER.loss)["reconstruction"] == 100.0
