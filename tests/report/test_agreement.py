from __future__ import annotations

from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cacl import tables
from cacl.report.aggregate import antibody_rows, gene_rows
from cacl.report.agreement import agreement_rows
from cacl.report.disagreement import disagreement_rows
from cacl.tables.io import _nullable
from cacl.tables.schemas import AgreementRow, AntibodyRow, MeasureRow

STAINING = ("not detected", "low", "medium", "high")


def blank(record: type) -> dict[str, Any]:
    hints = get_type_hints(record)
    empty = {str: "", int: 0, float: 0.0}
    return {name: empty.get(hints[name]) for name in hints}


def antibody(name: str, ratio: float | None, staining: str = "", **changes: Any) -> AntibodyRow:
    values = blank(AntibodyRow) | {"antibody_id": name, "hpa_staining": staining}
    return AntibodyRow(**(values | {"stained_to_cell_ratio": ratio} | changes))


def image(antibody_id: str, stained: int, **changes: Any) -> MeasureRow:
    values = blank(MeasureRow) | {"antibody_id": antibody_id, "image_id": f"{antibody_id}/1"}
    values |= {"cell_area_px": 1000, "stained_area_px": stained}
    row = values | {"stained_to_cell_ratio": stained / 1000} | changes
    return MeasureRow(**row)


def frame(rows: list[MeasureRow]) -> pd.DataFrame:
    table = tables.to_table(rows, MeasureRow)
    converted: pd.DataFrame = table.to_pandas(types_mapper=_nullable)
    return converted


def by_measure(rows: list[AgreementRow]) -> dict[str, AgreementRow]:
    return {row.measure: row for row in rows}


def annotated(count: int, seed: int = 0) -> list[AntibodyRow]:
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 4, count)
    ratios = np.exp(0.7 * levels + rng.normal(size=count)) / 100
    quantity = ("none", "<25%", "75%-25%", ">75%")
    return [
        antibody(
            f"A{number:03d}", float(ratio), STAINING[level], hpa_quantity=quantity[level], gene="G"
        )
        for number, (level, ratio) in enumerate(zip(levels, ratios, strict=True))
    ]


def test_spearman_and_auroc_equal_scipy_and_lie_in_their_intervals() -> None:
    rows = annotated(80)
    by_name = by_measure(agreement_rows(frame([]), rows, seed=0))
    ratios = np.array([row.stained_to_cell_ratio for row in rows])
    levels = np.array([STAINING.index(row.hpa_staining) for row in rows])
    spearman = by_name["Spearman: ratio against staining"]
    assert spearman.value == pytest.approx(stats.spearmanr(ratios, levels).statistic)
    wins = stats.mannwhitneyu(ratios[levels > 0], ratios[levels == 0]).statistic
    auroc = by_name["AUROC: detected against not detected"]
    assert auroc.value == pytest.approx(wins / ((levels > 0).sum() * (levels == 0).sum()))
    for row in (spearman, auroc, by_name["Spearman: ratio against quantity"]):
        assert row.n == 80
        assert row.low is not None
        assert row.value is not None
        assert row.high is not None
        assert row.low < row.value < row.high
    assert by_name["Spearman: ratio against intensity"].value is None
    assert agreement_rows(frame([]), rows, seed=0) == list(by_name.values())


def test_incomparable_measures_are_empty_with_reason() -> None:
    full = by_measure(agreement_rows(frame([]), annotated(80), seed=0))
    for rows, reason in (
        ([], "0 antibodies have a ratio and an annotated"),
        ([antibody("A", 0.1, "high")], "1 antibody has a ratio"),
        ([antibody("A", None, "high")] * 9, "0 antibodies have a ratio"),
        ([antibody(f"A{i}", 0.1 * i, "high") for i in range(6)], "the same annotated"),
        ([antibody(f"A{i}", 0.1, STAINING[i % 4]) for i in range(6)], "the same ratio"),
    ):
        by_name = by_measure(agreement_rows(frame([]), rows, seed=0))
        assert list(by_name) == list(full)
        for row in by_name.values():
            assert (row.value, row.low, row.high) == (None, None, None)
        assert reason in by_name["AUROC: detected against not detected"].note


def test_alpha_is_1_for_identical_patients() -> None:
    rows = [image(f"A{number}", 10 * number) for number in range(8) for _ in range(3)]
    by_name = by_measure(agreement_rows(frame(rows), [], seed=0))
    assert by_name["Krippendorff's alpha: patients of one antibody"].value == 1.0
    assert by_name["Krippendorff's alpha: patients of one antibody"].n == 8


def test_disagreements_are_sorted_by_size() -> None:
    rows = [
        antibody("N1", 0.00, "not detected"),
        antibody("N2", 0.01, "not detected"),
        antibody("N3", 0.30, "not detected", ratio_low=0.2, ratio_high=0.4, gene="X"),
        antibody("M1", 0.05, "medium"),
        antibody("H1", 0.20, "high"),
        antibody("H2", 0.02, "high", ratio_low=0.001, ratio_high=0.5),
    ]
    disagreements = disagreement_rows(rows)
    assert [(row.rank, row.antibody_id) for row in disagreements] == [(1, "N3"), (2, "H2")]
    over, under = disagreements
    assert over.difference == pytest.approx(3 / 6)
    assert under.difference == pytest.approx(-2 / 6)
    assert (over.expected, under.expected) == (0.02, 0.2)
    assert over.why == (
        "annotated “not detected”, but 30.00% of the cell area is stained; expected at most 2.00%; "
        "the 95 % interval excludes this value"
    )
    assert under.why.endswith("expected at least 20.00%; the 95 % interval includes this value")


def test_agreeing_or_unannotated_antibodies_are_not_listed() -> None:
    assert disagreement_rows([]) == []
    assert disagreement_rows([antibody("A", 0.5), antibody("B", None, "high")]) == []
    assert disagreement_rows([antibody("A", 0.5, "high")]) == []
    ordered = [antibody(word, 0.1 * level, word) for level, word in enumerate(STAINING)]
    assert disagreement_rows(ordered) == []
    ties = [antibody(f"A{level}", 0.0, word) for level, word in enumerate(STAINING)]
    assert disagreement_rows(ties) == []


def test_label_replaces_missing_annotation() -> None:
    rows = [antibody("N", 0.4, label="negative"), antibody("P", 0.1, label="positive")]
    disagreements = disagreement_rows(rows)
    assert [row.antibody_id for row in disagreements] == ["N", "P"]
    assert disagreements[0].why.startswith("labelled negative, but 40.00%")


def test_pools_tissues_and_stain_intensity() -> None:
    rows = [
        image("A", 400, tissue="duodenum", stained_od=0.5, h_score=100.0),
        image("A", 100, tissue="colon", stained_od=1.0, h_score=50.0),
        image("B", 10, tissue="colon"),
    ]
    first, second = antibody_rows(frame(rows))
    assert (first.antibody_id, first.top_tissue) == ("A", "duodenum")
    assert first.tissue_tau == pytest.approx(0.75)
    assert first.stained_od == pytest.approx((400 * 0.5 + 100 * 1.0) / 500)
    assert first.h_score == pytest.approx(75.0)
    assert (second.tissue_tau, second.top_tissue) == (None, "")


def test_gene_agreement_of_equal_antibodies_is_1() -> None:
    rows = [
        image("A", 100, gene="X"),
        image("B", 100, gene="X"),
        image("C", 500, gene="Y"),
        image("D", 700, ensembl_id="ENSG1", gene="Z"),
    ]
    agreements = {row.antibody_id: row.gene_agreement for row in antibody_rows(frame(rows))}
    assert agreements == {"A": 1.0, "B": 1.0, "C": None, "D": None}
    assert {row.gene: row.agreement for row in gene_rows(frame(rows))} == {
        "X": 1.0,
        "Y": None,
        "Z": None,
    }


def test_no_images_give_no_rows() -> None:
    assert antibody_rows(frame([])) == []
    assert gene_rows(frame([])) == []


def test_undefined_ratio_and_missing_negatives_give_empty_numbers() -> None:
    rows = [image("A", 0, cell_area_px=0, stained_to_cell_ratio=None), image("B", 10)]
    first, last = antibody_rows(frame(rows))
    assert (last.antibody_id, last.stained_to_cell_ratio, last.h_score) == ("A", None, None)
    assert (first.p_value, first.q_value, first.z) == (None, None, None)
