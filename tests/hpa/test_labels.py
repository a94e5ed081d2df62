"""The label rule, on single rows and on the annotation table of release 22."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cacl.config import LabelsConfig
from cacl.errors import ConfigError
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.labels import Override, label_of, label_rules, read_overrides
from cacl.tables.schemas import AnnotationRow
from tests.fixtures.catalogs import annotation_row

MICROVILLI = "enterocytes - microvilli"
RULE = label_rules(LabelsConfig())[""]


@pytest.mark.parametrize(
    ("staining", "label"),
    [
        ("high", "positive"),
        ("medium", "positive"),
        ("low", ""),
        ("not detected", "negative"),
        ("ascending", ""),
        ("not representative", ""),
    ],
)
def test_label_follows_microvilli_staining(staining: str, label: str) -> None:
    for antibody, gene, level in (
        ([annotation_row(MICROVILLI, staining)], [], "antibody"),
        ([], [annotation_row(MICROVILLI, staining)], "gene"),
    ):
        result = label_of(antibody, gene, RULE)
        assert (result.label, result.source) == (label, f"{MICROVILLI} {staining} ({level})")


def test_antibody_annotation_has_priority_over_gene() -> None:
    result = label_of(
        [annotation_row(MICROVILLI, "low")], [annotation_row(MICROVILLI, "high")], RULE
    )
    assert (result.label, result.source) == ("", f"{MICROVILLI} low (antibody)")


@pytest.mark.parametrize(
    ("staining", "location", "label"),
    [
        ("high", "cytoplasmic/membranous", "positive"),
        ("medium", "membranous", "positive"),
        ("high", "nuclear", ""),
        ("high", "", ""),
        ("low", "cytoplasmic/membranous", ""),
        ("not detected", "none", "negative"),
    ],
)
def test_falls_back_to_glandular_cells(staining: str, location: str, label: str) -> None:
    result = label_of([annotation_row("glandular cells", staining, location)], [], RULE)
    assert result.label == label
    assert result.source.startswith("glandular cells")


def test_no_fall_back_if_microvilli_are_annotated() -> None:
    rows = [
        annotation_row(MICROVILLI, "low"),
        annotation_row("glandular cells", "high", "membranous"),
    ]
    assert label_of(rows, [], RULE).label == ""


def test_configured_glandular_cells_need_no_location() -> None:
    rule = label_rules(LabelsConfig(cell_type="Glandular Cells"))[""]
    assert label_of([annotation_row("glandular cells", "high")], [], rule).label == "positive"


@pytest.mark.parametrize(
    ("antibody", "gene"),
    [
        ([annotation_row(MICROVILLI, "not detected")], [annotation_row(MICROVILLI, "high")]),
        ([annotation_row(MICROVILLI, "high")], [annotation_row(MICROVILLI, "not detected")]),
        ([annotation_row("glandular cells", "not detected")], [annotation_row(MICROVILLI, "high")]),
        ([annotation_row(MICROVILLI, "high"), annotation_row(MICROVILLI, "not detected")], []),
    ],
)
def test_contradictory_annotation_gives_no_label(
    antibody: list[AnnotationRow], gene: list[AnnotationRow]
) -> None:
    result = label_of(antibody, gene, RULE)
    assert result.label == ""
    assert result.source.startswith("disagree: ")


def test_no_label_without_annotation_of_the_cell_type() -> None:
    result = label_of(
        [annotation_row("goblet cells", "high")], [annotation_row("paneth cells", "high")], RULE
    )
    assert (result.label, result.source) == ("", "")


def test_staining_levels_are_case_insensitive() -> None:
    labels = LabelsConfig(positive=("High", "ASCENDING"), negative=("Low",))
    rule = label_rules(labels)[""]
    assert label_of([annotation_row(MICROVILLI, "ascending")], [], rule).label == "positive"
    assert label_of([annotation_row(MICROVILLI, "low")], [], rule).label == "negative"
    assert label_of([annotation_row(MICROVILLI, "not detected")], [], rule).label == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: LabelsConfig(positive=()),
        lambda: LabelsConfig(positive=("high",), negative=("High",)),
    ],
)
def test_rejects_invalid_label_options(make: Callable[[], LabelsConfig]) -> None:
    with pytest.raises(ConfigError, match=r"labels"):
        make()


def test_label_counts_of_release_22(shared_data: Path) -> None:
    table = shared_data / "hpa-tables" / "normal_tissue_duodenum_v22.0.tsv"
    rows = list(read_annotation_table(table, tissues=frozenset(("duodenum",))))
    levels = Counter(row.staining for row in rows if row.cell_type == MICROVILLI)
    assert levels == {"high": 118, "medium": 87, "low": 38, "not detected": 892}
    labels = Counter(label_of([], [row], RULE).label for row in rows if row.cell_type == MICROVILLI)
    assert labels == {"positive": 118 + 87, "": 38, "negative": 892}
    all_levels = Counter(row.staining for row in rows)
    assert (all_levels["ascending"], all_levels["descending"]) == (42, 21)


@pytest.mark.parametrize("version", ["18.1", "20.1"])
def test_reads_column_names_with_dots(shared_data: Path, version: str) -> None:
    table = shared_data / "hpa-tables" / f"normal_tissue_duodenum_v{version}.tsv"
    first = next(read_annotation_table(table))
    assert (first.ensembl_id, first.gene) == ("ENSG00000000003", "TSPAN6")
    assert (first.cell_type, first.staining, first.reliability) == (
        "glandular cells",
        "low",
        "approved",
    )


def overrides(tmp_path: Path, text: str) -> list[Override]:
    path = tmp_path / "overrides.csv"
    path.write_text(text)
    return read_overrides(path)


def test_reads_overrides_of_images_and_tiles(tmp_path: Path) -> None:
    text = "image_id,row,col,label\nHPA1/a,,,positive\nHPA1/b,0,7,negative\nHPA1/c,,,\n"
    assert overrides(tmp_path, text) == [
        Override("HPA1/a", None, None, "positive"),
        Override("HPA1/b", 0, 7, "negative"),
        Override("HPA1/c", None, None, ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id\nHPA1/a\n", "has no column label"),
        ("image_id,label\nHPA1/a,maybe\n", "line 2: the label 'maybe' is unknown"),
        ("image_id,row,col,label\nHPA1/a,1,,positive\n", "line 2: a tile needs both row and col"),
        ("image_id,row,col,label\nHPA1/a,-1,0,positive\n", "line 2: row is '-1'"),
        ("image_id,label\nHPA1/a,positive\nHPA1/a,negative\n", "line 3: HPA1/a is already"),
        ("image_id,lable\nHPA1/a,positive\n", "has no column label"),
        ("image_id,label,labels\nHPA1/a,positive,\n", "did you mean 'label'"),
    ],
)
def test_rejects_invalid_overrides(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        overrides(tmp_path, text)
    assert message in str(caught.value)
