"""Model files: round trip, and rejection of damaged, foreign or unsafe files."""

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

from benchmarks._lib.bit_flips import flips, is_flipped
from cacl.errors import CheckpointError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import load_model, read_tensors, save_model, write_tensors
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import PAPER, ROBUST
from cacl.runtime.file_digest import json_with_digest

THRESHOLDS = Thresholds(low=-1.0, high=1.5, edge_high=1.5, min_area_fraction=0.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    network = AutoEncoder(ROBUST.network)
    save_model(
        folder, [network], ROBUST, classes=(SINGLE_CLASS,), thresholds=(THRESHOLDS,), attributes={}
    )
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def describe(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_bytes(json_with_digest(description))


def test_model_round_trip_keeps_weights_thresholds_and_preset(folder: Path) -> None:
    model = load_model(folder)
    assert model.thresholds == (THRESHOLDS,)
    assert model.classes == (SINGLE_CLASS,)
    assert model.preset == ROBUST
    assert not model.networks[0].training
    tensors, _ = read_tensors(folder / "checkpoint.safetensors")
    for name, tensor in model.networks[0].state_dict().items():
        assert torch.equal(tensor, tensors[f"0.{name}"])
    assert model.digest == load_model(folder).digest
    describe(folder, lambda description: description.update(seed=1))
    assert model.digest != load_model(folder).digest


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("exploded").touch, ())


def test_reads_safetensors_whose_header_length_looks_like_a_pickle(tmp_path: Path) -> None:
    for length in range(300):
        path = tmp_path / f"{length}.safetensors"
        write_tensors(path, {"t": torch.ones(2)}, {"note": "n" * length})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert torch.equal(read_tensors(path)[0]["t"], torch.ones(2))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_rejects_a_pickle_without_unpickling_it(
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
def test_rejects_a_file_that_is_no_safetensors_file(folder: Path, content: bytes) -> None:
    (folder / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"no safetensors file.*cacl train"):
        load_model(folder)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.json"])
def test_names_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(model_version=99), "of version 99, expected 5"),
        (lambda d: d.update(preset="other"), "names the preset 'other'"),
        (lambda d: d["architecture"].update(width=64), r"another architecture \(width differ"),
        (lambda d: d.update(architecture=[]), "another architecture"),
        (lambda d: d["thresholds"].pop("high"), "lacks the thresholds low, high"),
        (lambda d: d["thresholds"].update(high="x"), "a threshold that is not a finite number"),
        (lambda d: d.update(n_ensemble=0), "an ensemble of 0 models, expected 1 to 16"),
        (lambda d: d.update(checkpoint_sha256="0"), "is not the file that model.json describes"),
    ],
)
def test_rejects_a_description_that_does_not_fit(
    folder: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    describe(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "x" * (2 << 20), "[" * 100_000 + "]" * 100_000])
def test_rejects_a_damaged_description(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        load_model(folder)


def test_rejects_weights_of_another_architecture(folder: Path) -> None:
    weights = AutoEncoder(PAPER.network).state_dict()
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        folder / "checkpoint.safetensors",
    )
    with pytest.raises(CheckpointError, match="of another architecture: it lacks"):
        load_model(folder)


def test_rejects_weights_of_another_shape_and_weights_that_are_not_finite(folder: Path) -> None:
    path = folder / "checkpoint.safetensors"
    tensors, _ = read_tensors(path)
    name = "0.codebook.codes"
    safetensors.torch.save_file(tensors | {name: torch.zeros(3, 3)}, path)
    with pytest.raises(CheckpointError, match=rf"{name} is torch\.float32 \(3, 3\), expected"):
        load_model(folder)
    safetensors.torch.save_file(tensors | {name: tensors[name] * float("nan")}, path)
    with pytest.raises(CheckpointError, match=f"not finite in {name}"):
        load_model(folder)


def test_both_presets_give_embeddings_distances_and_reconstructions() -> None:
    for preset in (ROBUST, PAPER):
        network = AutoEncoder(preset.network)
        features, distances = network(torch.full((1, 3, 16, 16), 128.0))
        assert features.shape == (1, preset.network.embedding_channels, 8, 8)
        assert distances.shape == (64, 32)
        assert network.decoder(features).shape == (1, 3, 16, 16)
    assert dataclasses.asdict(PAPER.loss)["reconstruction"] == 100.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.json"])
def test_finds_each_of_100_flipped_bits(folder: Path, name: str) -> None:
    path = folder / name
    for place in flips(path, 100):
        with is_flipped(path, place), pytest.raises(CheckpointError):
            load_model(folder)
    assert load_model(folder).preset == ROBUST


def test_digest_of_the_model_is_that_of_its_description(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_bytes())
    assert description["file_sha256"] == f"cacl-sha256:{load_model(folder).digest}"


def test_equal_tensors_and_metadata_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        metadata = {key: key for key in "zyxwv"}
        write_tensors(tmp_path / name, {"t": torch.ones(2)}, metadata)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_tensors(tmp_path / "a")[1]["w"] == "w"
