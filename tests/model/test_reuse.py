"""A model that another run uses again, or trains further: its record, its file, its refusals."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from cacl import tables
from cacl.cli import app
from cacl.config import TargetClass
from cacl.errors import CheckpointError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.image import stain
from cacl.model.checkpoint import (
    METADATA,
    load_model,
    read_description,
    read_tensors,
    write_tensors,
)
from cacl.model.data.dataset import TileDataset, read_rows, training_tiles
from cacl.model.data.training_record import describe_training_data
from cacl.model.device import make_fabric
from cacl.model.inference.predict import pixel_logits
from cacl.model.model_file import FILES, model_folder, write_model_file
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import QUICK, ROBUST, TEACHER, with_classes
from cacl.model.training.plan import continued_stages, stages
from cacl.model.training.run import TrainingRun
from cacl.model.training.start import as_teachers, read_start
from cacl.model.training.train import TrainingFiles, TrainingLimits, train
from cacl.model.training_data import TrainingData, read_training_data
from cacl.runtime.compute import Compute
from cacl.runtime.file_digest import json_with_digest
from cacl.steps.parameters import EarlierModel, SelectionFiles
from cacl.steps.reuse_model import reuse_model
from cacl.steps.select import select
from cacl.tables.schemas import ImageRow, TileRow
from tests.fixtures.model_atlas import ModelAtlas, image_row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LENIENT = dataclasses.replace(
    TEACHER, post=dataclasses.replace(TEACHER.post, fail_on_collapse=False)
)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    """Eight antibodies, odd ones positive, and a model of the teacher preset."""
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    made.train(preset=LENIENT, max_steps=20)
    return made


@pytest.fixture
def model(atlas: ModelAtlas, tmp_path: Path) -> Path:
    shutil.copytree(atlas.path("model"), tmp_path / "model")
    return tmp_path / "model"


def describe(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_bytes(json_with_digest(description))


def record(folder: Path) -> TrainingData:
    return read_training_data(read_description(folder / "model.json"), folder)


def test_training_records_antibodies_and_ranges(atlas: ModelAtlas) -> None:
    rows = read_rows(atlas.path("training.parquet"))
    by_split = {str(split): set(part["antibody_id"]) for split, part in rows.groupby("split")}
    data = record(atlas.path("model"))
    assert data.train == tuple(sorted(by_split["train"]))
    assert data.validation == tuple(sorted(by_split["validation"]))
    assert set(data.splits) == set(rows["antibody_id"]) - by_split["test"]
    assert data.mpp is None

    tissue, dab = [], []
    tiles = training_tiles(rows, atlas.store, 0)
    train = rows[rows["split"] == "train"].groupby("image_id")
    for image_id, group in train:
        used = group[group["selected"]]
        if len(used) < len(group) and group["label"].iloc[0] == "positive":
            used = group[group["reason"] != "little tissue"]
        cell = dab_px = 0
        for row, col in zip(used["row"], used["col"], strict=True):
            window = (slice(32 * row, 32 * row + 32), slice(32 * col, 32 * col + 32))
            mask = np.asarray(atlas.store.label(str(image_id), "cell")[window]) > 0
            rgb = np.asarray(atlas.store.image(str(image_id))[(slice(None), *window)])
            cell += int(mask.sum())
            dab_px += int((stain.dab_mask(rgb) & mask).sum())
        tissue.append(cell / (len(used) * 32 * 32))
        dab.append(dab_px / cell)
    assert int(tiles.image_index.max()) + 1 == len(tissue)
    assert data.tissue_fraction == pytest.approx((min(tissue), max(tissue)))
    assert data.dab_fraction == pytest.approx((min(dab), max(dab)))


def test_pixel_sizes_are_those_that_measure_would_give(atlas: ModelAtlas, tmp_path: Path) -> None:
    """A square of tissue is no round core, so that the size is that of the HPA's images."""
    rows = read_rows(atlas.path("training.parquet"))
    tiles = training_tiles(rows, atlas.store, 0)
    images = tables.read_parquet(atlas.path("images.parquet"), ImageRow)
    changed = [dataclasses.replace(row, hpa_version="23", core_um=1000.0) for row in images]
    tables.write_parquet(tmp_path / "images.parquet", changed, ImageRow)
    data = describe_training_data(rows, tiles, atlas.store, tmp_path / "images.parquet")
    assert data.mpp == (0.4, 0.4)
    plain = describe_training_data(rows, tiles, atlas.store, atlas.path("images.parquet"))
    assert plain.mpp is None


def test_one_file_holds_the_model_byte_by_byte(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert write_model_file(model, path) == load_model(model).digest
    for source in (path, model):
        reuse_model(source, tmp_path / source.stem / "copy")
        for name in (*FILES, "training.csv.sha256"):
            copied = tmp_path / source.stem / "copy" / name
            assert copied.read_bytes() == (model / name).read_bytes()
    again = tmp_path / "again.safetensors"
    write_model_file(model, again)
    assert again.read_bytes() == path.read_bytes()


def test_export_writes_the_file(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported.safetensors"
    options = ["export", "--model", str(out), "--report", str(model.parent / "report")]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert load_model(model).digest in result.output.replace("\n", "")
    with model_folder(out) as folder:
        assert load_model(folder).digest == load_model(model).digest


OTHERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "version": (
        lambda d: d.update(model_version=4),
        r"version 4, expected 5; run `cacl train` again, or use the software that wrote it",
    ),
    "architecture": (
        lambda d: d["architecture"].update(width=16),
        r"another architecture \(width differ from this version's preset teacher\)",
    ),
    "classes": (
        lambda d: d.update(
            classes=[{"name": "nucleus", "shape": "area", "thresholds": d["thresholds"]}]
        ),
        r"classes nucleus \(area\), expected those of labels.classes: stain \(line\); give",
    ),
    "record": (
        lambda d: d.pop("training_data"),
        r"no record of its training data .*; train that model again with this version",
    ),
    "damaged record": (
        lambda d: d["training_data"].update(mpp=["a", "b"]),
        r"no record of its training data .*; train that model again with this version",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_refuses_other_models_with_a_remedy_and_writes_nothing(
    model: Path, tmp_path: Path, name: str
) -> None:
    change, sentence = OTHERS[name]
    describe(model, change)
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match=sentence) as error:
        reuse_model(model, out)
    assert "\n" not in str(error.value)
    assert not out.exists()
    with pytest.raises(CheckpointError):
        read_start(model, TEACHER, (SINGLE_CLASS,))


def test_classes_of_the_configuration_must_be_those_of_the_model(
    model: Path, tmp_path: Path
) -> None:
    border = TargetClass(name="border", shape="line")
    with pytest.raises(CheckpointError, match=r"stain \(line\), expected .* border \(line\)"):
        reuse_model(model, tmp_path / "out", [border])


def test_file_that_is_no_model_is_refused(model: Path, tmp_path: Path) -> None:
    path = model / "checkpoint.safetensors"
    with pytest.raises(CheckpointError, match="not a model in one file; write one with `cacl exp"):
        reuse_model(path, tmp_path / "out")
    whole = tmp_path / "whole.safetensors"
    write_model_file(model, whole)
    tensors, _ = read_tensors(whole, check=False)
    for content in (torch.zeros(3), torch.zeros((), dtype=torch.uint8)):
        write_tensors(tmp_path / "odd.safetensors", tensors | {"model.json": content}, {})
        with pytest.raises(CheckpointError, match="not a model in one file"):
            reuse_model(tmp_path / "odd.safetensors", tmp_path / "out")
    data = bytearray(whole.read_bytes())
    data[-1000] ^= 1
    whole.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"is damaged \(.* in it has changed\); write it"):
        reuse_model(whole, tmp_path / "out")
    (model / "training.csv").unlink()
    with pytest.raises(CheckpointError, match=r"no complete model .*; name a folder that `cacl tr"):
        reuse_model(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_error_in_a_file_names_the_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model_file(model, path)
    tensors, digests = read_tensors(path, check=False)
    tensors["model.json"] = torch.frombuffer(bytearray(b"{}"), dtype=torch.uint8)
    digests["model.json"] = hashlib.sha256(b"{}").hexdigest()
    path.write_bytes(safetensors.torch.save(tensors, {METADATA: json.dumps(digests)}))
    with pytest.raises(CheckpointError, match=f"^{path}/model.json describes a model of version"):
        reuse_model(path, tmp_path / "out")


def select_with(atlas: ModelAtlas, out: Path, images: Path, **earlier: Path) -> pd.DataFrame:
    files = SelectionFiles(
        images=images, tiles=[atlas.path("tiles.parquet")], store=atlas.path("atlas.zarr")
    )
    select(files, out, min_tissue_fraction=0.2, seed=0, earlier=EarlierModel(**earlier))
    return tables.read_frame([out], TileRow)


def test_selection_for_its_own_model_is_equal(atlas: ModelAtlas, tmp_path: Path) -> None:
    own = read_rows(atlas.path("training.parquet"))
    model, images = atlas.path("model"), atlas.path("images.parquet")
    for number, earlier in enumerate(({"model": model}, {})):
        made = select_with(atlas, tmp_path / f"{number}.parquet", images, **earlier)
        pd.testing.assert_frame_equal(made, own)


def test_antibodies_that_the_model_has_not_seen_are_test_antibodies(
    atlas: ModelAtlas, model: Path, tmp_path: Path
) -> None:
    seen = {"train": ["HPA000001"], "validation": ["HPA000002"]}
    describe(model, lambda d: d["training_data"].update(seen))
    rows = select_with(atlas, tmp_path / "a.parquet", atlas.path("images.parquet"), model=model)
    splits = dict(zip(rows["antibody_id"], rows["split"], strict=True))
    assert {name for name, split in splits.items() if split != "test"} == {"HPA000001", "HPA000002"}
    assert (splits["HPA000001"], splits["HPA000002"]) == ("train", "validation")


def test_training_that_continues_tests_on_no_antibody_that_the_model_has_seen(
    atlas: ModelAtlas, model: Path, tmp_path: Path
) -> None:
    own = read_rows(atlas.path("training.parquet"))
    tested = sorted(set(own.loc[own["split"] == "test", "antibody_id"]))
    describe(model, lambda d: d["training_data"].update(train=tested))
    images = atlas.path("images.parquet")
    rows = select_with(atlas, tmp_path / "a.parquet", images, start_from=model)
    assert set(rows.loc[rows["antibody_id"].isin(tested), "split"]) == {"train"}


def test_no_label_is_needed_for_a_model_of_another_run(atlas: ModelAtlas, tmp_path: Path) -> None:
    images = tables.read_parquet(atlas.path("images.parquet"), ImageRow)
    for name, kept in (("none", ()), ("negative", ("negative",))):
        rows = [image_row(row.image_id, row.label if row.label in kept else "") for row in images]
        tables.write_parquet(tmp_path / name, rows, ImageRow)
        made = select_with(atlas, tmp_path / "o", tmp_path / name, model=atlas.path("model"))
        assert set(made["label"]) == set(kept)
        assert made["selected"].any() == bool(kept)


def test_continued_training_has_a_quarter_of_the_steps_and_no_teachers() -> None:
    from_scratch = sum(planned.steps for planned in stages(ROBUST, None))
    (planned,) = continued_stages(ROBUST, None)
    assert (planned.preset, planned.steps) == (ROBUST, from_scratch // 4)
    assert [each.steps for each in continued_stages(ROBUST, 7)] == [7]
    twice = dataclasses.replace(ROBUST, n_ensemble=2)
    assert [each.steps for each in continued_stages(twice, None)] == [planned.steps] * 2


def test_teachers_of_a_class_have_the_logits_of_the_network_in_it() -> None:
    torch.manual_seed(0)
    preset = with_classes(ROBUST, 2)
    network = AutoEncoder(preset.network).eval()
    network.codebook.set_codes(
        torch.randn_like(network.codebook.codes), torch.ones(len(network.codebook.codes)) > 0
    )
    rgb = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = pixel_logits([network], rgb, 1)
        first, second = as_teachers(network, torch.device("cpu"))
        for class_index, (teacher,) in enumerate((first, second)):
            logits = pixel_logits([teacher], rgb, 1)
            assert logits.shape[1] == 1
            torch.testing.assert_close(logits[:, 0], expected[:, class_index], rtol=1e-3, atol=1e-3)
        assert network.codebook.codebook_id.max() == 2


@pytest.fixture(scope="module")
def robust(atlas: ModelAtlas) -> Path:
    """A student of two teachers."""
    assert ROBUST.distill is not None
    distill = dataclasses.replace(ROBUST.distill, n_teachers=2, top_k=1)
    preset = dataclasses.replace(ROBUST, distill=distill)
    return atlas.train("robust", preset=preset, max_steps=160)


def continue_from(atlas: ModelAtlas, model: Path, out: str, seed: int = 0) -> Path:
    train(
        TrainingFiles(atlas.path("training.parquet"), atlas.path("atlas.zarr"), start_from=model),
        atlas.path(out),
        limits=TrainingLimits(20),
        seed=seed,
        compute=Compute(threads=1),
    )
    return atlas.path(out)


def test_training_continues_from_the_weights_without_teachers(
    atlas: ModelAtlas, robust: Path, tmp_path: Path
) -> None:
    describe(robust, lambda d: d["training_data"].update(train=["HPA000001", "OTHER"]))
    whole = tmp_path / "robust.safetensors"
    write_model_file(robust, whole)
    folder = continue_from(atlas, whole, "continued")
    description = read_description(folder / "model.json")
    assert description["start_from"] == load_model(robust).digest
    assert (description["preset"], description["steps"]) == ("robust", 20)
    own, earlier = record(atlas.path("model")), record(robust)
    assert record(folder).train == tuple(sorted({*own.train, *earlier.train}))
    before, after = (pd.read_csv(each / "training.csv") for each in (robust, folder))
    assert after["network"].unique().tolist() == [1]
    assert after["pseudo_label_bce"].notna().all()
    student = before[before["network"] == before["network"].max()]
    assert after["reconstruction"].iloc[0] < 0.5 * student["reconstruction"].iloc[0]
    again = continue_from(atlas, robust, "again")
    for name in ("checkpoint.safetensors", "model.json", "training.csv"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_run_starts_with_the_weights_and_codes_of_the_model(robust: Path) -> None:
    (start,) = load_model(robust).networks
    fabric = make_fabric(1)
    tiles = TileDataset(
        pixels=torch.zeros(2, 5, 32, 32, dtype=torch.uint8),
        positive=torch.tensor([[True], [False]]),
        negative=torch.tensor([[False], [True]]),
        selected=torch.tensor([True, True]),
        image_index=torch.tensor([0, 1]),
        manual=torch.zeros(2, 1, dtype=torch.bool),
        classes=(SINGLE_CLASS,),
    )
    run = TrainingRun.create(ROBUST, tiles, fabric, 0, start)
    for network in (run.network, run.final_network):
        for name, tensor in start.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor), name


def test_training_does_not_continue_from_other_presets_and_ensembles(
    model: Path, robust: Path
) -> None:
    classes = (SINGLE_CLASS,)
    with pytest.raises(CheckpointError, match=r"preset 'teacher', but train.preset is robust;"):
        read_start(model, ROBUST, classes)
    assert read_start(robust, QUICK, classes).model.preset == QUICK
    twice = dataclasses.replace(ROBUST, n_ensemble=2)
    with pytest.raises(CheckpointError, match=r"1 network\(s\), .* is 2; set train.seeds to 1"):
        read_start(robust, twice, classes)
