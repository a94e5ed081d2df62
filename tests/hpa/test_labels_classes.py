"""Labels of several classes: the rule of a location, the catalog's column, a manifest's own."""

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
from tests.fixtures.catalogs import said

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
    return said(cell_type, staining, location)


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
def test_a_positive_staining_must_be_at_the_location(
    staining: str, location: str, label: str, cell_type: str
) -> None:
    found = label_of([enterocytes(staining, location, cell_type)], [], NUCLEUS)
    assert found.label == label
    if staining == "high":
        assert (location or "location unknown") in found.source


def test_each_class_has_its_own_cell_type_and_location() -> None:
    rules = label_rules(RULE)
    assert list(rules) == ["microvilli", "cytoplasm", "nucleus"]
    assert rules["microvilli"].cell_type == "enterocytes - microvilli"
    assert rules["nucleus"] == NUCLEUS
    assert list(label_rules(LabelsConfig())) == [""]


def catalog_images(out: Path, labels: LabelsConfig, **source: object) -> list[ImageRow]:
    given = SourceConfig(**source)  # type: ignore[arg-type]
    catalog(out, out / "failures.csv", given, labels, shards=2)
    images = read_parquet(out / "images.parquet", ImageRow)
    shards = [read_parquet(out / f"shards/{number}.parquet", ImageRow) for number in (0, 1)]
    listed = [row for shard in shards for row in shard]
    assert sorted(listed, key=lambda row: row.image_id) == images
    return images


def test_real_genes_of_release_18_by_location(shared_data: Path, tmp_path: Path) -> None:
    place = {"kind": "mirror", "mirror": shared_data / "hpa-xml"}
    images = catalog_images(tmp_path / "several", RULE, **place)
    found = {row.antibody_id: (row.label, row.class_labels) for row in images}
    nuclear = "microvilli=;cytoplasm=negative;nucleus=positive"
    both = "microvilli=positive;cytoplasm=positive;nucleus=positive"
    assert set(found.values()) <= {
        ("", nuclear),
        ("positive", both),
        ("positive", "microvilli=positive;cytoplasm=positive;nucleus=negative"),
        ("negative", "microvilli=negative;cytoplasm=negative;nucleus=negative"),
        ("", "microvilli=;cytoplasm=;nucleus="),
    }
    assert len({text for _, text in found.values()}) >= 2
    plain = catalog_images(tmp_path / "one", LabelsConfig(), **place)
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


def test_a_phantom_has_every_class_in_both_sorts(host: Path, tmp_path: Path) -> None:
    images = catalog_images(tmp_path, RULE, kind="mirror", mirror=host)
    labels = [split_labels(row.class_labels) for row in images]
    assert len(images) == 16
    for name in ("microvilli", "cytoplasm", "nucleus"):
        sorts = [one[name] for one in labels]
        assert min(sorts.count("positive"), sorts.count("negative")) >= 3
    assert all(row.label == one["microvilli"] for row, one in zip(images, labels, strict=True))
    assert len({row.class_labels for row in images}) >= 6


def test_the_summary_counts_the_labels_of_each_class(host: Path, tmp_path: Path) -> None:
    source = SourceConfig(kind="mirror", mirror=host)
    told = str(catalog(tmp_path, tmp_path / "failures.csv", source, RULE, shards=1))
    images = read_parquet(tmp_path / "images.parquet", ImageRow)
    sorts = [split_labels(row.class_labels)["nucleus"] for row in images]
    counts = f"{sorts.count('positive')} positive, {sorts.count('negative')} negative"
    assert f"labels of nucleus: {counts}\n" in f"{told}\n"
    plain = str(catalog(tmp_path, tmp_path / "f.csv", source, LabelsConfig(), shards=1))
    assert "labels of" not in plain


def test_an_override_changes_the_first_class_alone(host: Path, tmp_path: Path) -> None:
    name = "HPA900001/900001_A_7_2"
    overrides = tmp_path / "mine.csv"
    overrides.write_text(f"image_id,label\n{name},\n")
    rule = LabelsConfig(classes=CLASSES, overrides=overrides)
    place = {"kind": "mirror", "mirror": host}
    changed = catalog_images(tmp_path / "changed", rule, **place)[0]
    before = catalog_images(tmp_path / "before", RULE, **place)[0]
    assert (before.image_id, before.label != "") == (name, True)
    assert (changed.label, changed.label_source) == ("", "mine.csv")
    kept = before.class_labels.partition(";")[2]
    assert changed.class_labels == f"microvilli=;{kept}"


def test_a_manifest_may_label_classes(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "image_path,antibody_id,patient_id,class_labels\n"
        "a.jpg,AB1,1,microvilli=Positive;nucleus=negative\n"
        "b.jpg,AB2,1,\n"
    )
    rows = catalog_images(tmp_path / "out", RULE, kind="manifest", manifest=table)
    assert [row.label for row in rows] == ["positive", ""]
    assert rows[0].class_labels == "microvilli=positive;nucleus=negative"
    assert rows[0].label_source == "mine.csv"


@pytest.mark.parametrize(
    ("label", "classes", "sentence"),
    [
        ("", "nucleus=maybe", "class_labels 'nucleus=maybe' is invalid"),
        ("negative", "nucleus=positive", "differs from the first of class_labels"),
    ],
)
def test_a_manifests_mistakes_are_named(
    tmp_path: Path, label: str, classes: str, sentence: str
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        f"image_path,antibody_id,patient_id,label,class_labels\na.jpg,AB1,1,{label},{classes}\n"
    )
    with pytest.raises(ManifestError, match=f"line 2: .*{sentence}"):
        catalog_images(tmp_path / "out", RULE, kind="manifest", manifest=table)
