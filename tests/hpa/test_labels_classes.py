"""Labels of several classes: location rule, column `class_labels`, manifest."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cacl.config import LabelsConfig, SourceConfig, TargetClassConfig
from cacl.errors import ManifestError
from cacl.hpa.labels import label_of, label_rules
from cacl.hpa.target_class import split_labels
from cacl.phantom import write_phantom
from cacl.steps.catalog import catalog
from cacl.tables import read_parquet
from cacl.tables.schemas import AnnotationRow, ImageRow
from tests.fixtures.catalogs import annotation_row

NUCLEUS = dataclasses.replace(
    label_rules(LabelsConfig())[""], cell_type="enterocytes", location="nuclear"
)
CLASSES = {
    "microvilli": TargetClassConfig(cell_type="Enterocytes - Microvilli"),
    "cytoplasm": TargetClassConfig(cell_type="enterocytes", location="cytoplasmic", shape="area"),
    "nucleus": TargetClassConfig(cell_type="enterocytes", location="nuclear", shape="area"),
}
RULE = LabelsConfig(classes=CLASSES)


def enterocytes(staining: str, location: str, cell_type: str = "enterocytes") -> AnnotationRow:
    return annotation_row(cell_type, staining, location)


@pytest.mark.parametrize(
    ("staining", "location", "label"),
    [
        ("high", "nuclear", "positive"),
        ("medium", "cytoplasmic/membranous,nuclear", "positive"),
        ("high", "cytoplasmic/membranous", "negative"),
        ("high", "", ""),
        ("low", "nuclear", ""),
        ("low", "cytoplasmic/membranous", ""),
        ("not detected", "none", "negative"),
        ("not detected", "", "negative"),
    ],
)
@pytest.mark.parametrize("cell_type", ["enterocytes", "glandular cells"])
def test_positive_label_requires_the_location(
    staining: str, location: str, label: str, cell_type: str
) -> None:
    result = label_of([enterocytes(staining, location, cell_type)], [], NUCLEUS)
    assert result.label == label
    if staining == "high":
        assert (location or "location unknown") in result.source


def test_each_class_has_its_own_rule() -> None:
    rules = label_rules(RULE)
    assert list(rules) == ["microvilli", "cytoplasm", "nucleus"]
    assert rules["microvilli"].cell_type == "enterocytes - microvilli"
    assert rules["nucleus"] == NUCLEUS
    assert list(label_rules(LabelsConfig())) == [""]


def catalog_images(out: Path, labels: LabelsConfig, source: SourceConfig) -> list[ImageRow]:
    catalog(out, out / "failures.csv", source, labels, shards=2)
    images = read_parquet(out / "images.parquet", ImageRow)
    shards = [read_parquet(out / f"shards/{number}.parquet", ImageRow) for number in (0, 1)]
    shard_rows = [row for shard in shards for row in shard]
    assert sorted(shard_rows, key=lambda row: row.image_id) == images
    return images


def test_class_labels_of_real_genes_of_release_18(shared_data: Path, tmp_path: Path) -> None:
    source = SourceConfig(kind="mirror", mirror=shared_data / "hpa-xml")
    images = catalog_images(tmp_path / "several", RULE, source)
    labels = {row.antibody_id: (row.label, row.class_labels) for row in images}
    nuclear = "microvilli=;cytoplasm=negative;nucleus=positive"
    both = "microvilli=positive;cytoplasm=positive;nucleus=positive"
    assert set(labels.values()) <= {
        ("", nuclear),
        ("positive", both),
        ("positive", "microvilli=positive;cytoplasm=positive;nucleus=negative"),
        ("negative", "microvilli=negative;cytoplasm=negative;nucleus=negative"),
        ("", "microvilli=;cytoplasm=;nucleus="),
    }
    assert len({text for _, text in labels.values()}) >= 2
    plain = catalog_images(tmp_path / "one", LabelsConfig(), source)
    assert [row.label for row in plain] == [row.label for row in images]
    assert {row.class_labels for row in plain} == {""}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(
        folder / "host",
        folder / "truth",
        antibodies=16,
        patients=1,
        seed=0,
        jobs=2,
        setting="patterns-a",
        core_px=250,
    )
    return folder / "host"


def test_phantom_has_both_labels_in_every_class(host: Path, tmp_path: Path) -> None:
    images = catalog_images(tmp_path, RULE, SourceConfig(kind="mirror", mirror=host))
    labels = [split_labels(row.class_labels) for row in images]
    assert len(images) == 16
    for name in ("microvilli", "cytoplasm", "nucleus"):
        values = [image_labels[name] for image_labels in labels]
        assert min(values.count("positive"), values.count("negative")) >= 3
    assert all(
        row.label == image_labels["microvilli"]
        for row, image_labels in zip(images, labels, strict=True)
    )
    assert len({row.class_labels for row in images}) >= 6


def test_summary_counts_labels_of_each_class(host: Path, tmp_path: Path) -> None:
    source = SourceConfig(kind="mirror", mirror=host)
    summary = str(catalog(tmp_path, tmp_path / "failures.csv", source, RULE, shards=1))
    images = read_parquet(tmp_path / "images.parquet", ImageRow)
    values = [split_labels(row.class_labels)["nucleus"] for row in images]
    counts = f"{values.count('positive')} positive, {values.count('negative')} negative"
    assert f"labels of nucleus: {counts}\n" in f"{summary}\n"
    plain = str(catalog(tmp_path, tmp_path / "f.csv", source, LabelsConfig(), shards=1))
    assert "labels of" not in plain


def test_override_changes_only_the_first_class(host: Path, tmp_path: Path) -> None:
    name = "HPA900001/900001_A_7_2"
    overrides = tmp_path / "mine.csv"
    overrides.write_text(f"image_id,label\n{name},\n")
    rule = LabelsConfig(classes=CLASSES, overrides=overrides)
    source = SourceConfig(kind="mirror", mirror=host)
    changed = catalog_images(tmp_path / "changed", rule, source)[0]
    before = catalog_images(tmp_path / "before", RULE, source)[0]
    assert (before.image_id, before.label != "") == (name, True)
    assert (changed.label, changed.label_source) == ("", "mine.csv")
    kept = before.class_labels.partition(";")[2]
    assert changed.class_labels == f"microvilli=;{kept}"


def test_manifest_sets_class_labels(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "image_path,antibody_id,patient_id,class_labels\n"
        "a.jpg,AB1,1,microvilli=Positive;nucleus=negative\n"
        "b.jpg,AB2,1,\n"
    )
    rows = catalog_images(tmp_path / "out", RULE, SourceConfig(kind="manifest", manifest=table))
    assert [row.label for row in rows] == ["positive", ""]
    assert rows[0].class_labels == "microvilli=positive;nucleus=negative"
    assert rows[0].label_source == "mine.csv"


@pytest.mark.parametrize(
    ("label", "classes", "message"),
    [
        ("", "nucleus=maybe", "class_labels 'nucleus=maybe' is invalid"),
        ("negative", "nucleus=positive", "differs from the first of class_labels"),
    ],
)
def test_rejects_invalid_class_labels_of_manifest(
    tmp_path: Path, label: str, classes: str, message: str
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        f"image_path,antibody_id,patient_id,label,class_labels\na.jpg,AB1,1,{label},{classes}\n"
    )
    with pytest.raises(ManifestError, match=f"line 2: .*{message}"):
        catalog_images(tmp_path / "out", RULE, SourceConfig(kind="manifest", manifest=table))
