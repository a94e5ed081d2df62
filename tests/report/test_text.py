"""Sentences and figures of the report, from rows."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from cacl.image import palette
from cacl.report import figures, page_data, text
from tests.fixtures.reports import HOSTILE, antibody
from tests.fixtures.small_atlas import CELL_TYPE


def test_every_network_has_its_own_training_curve() -> None:
    curves = pd.DataFrame({"step": [1, 2, 3, 4], "network": [1, 1, 2, 2], "loss": [4.0, 3, 5, 2]})
    (figure,) = figures.training(curves)
    first, last = figure.spec["data"]
    assert (first["x"], last["x"]) == ([1, 2], [3, 4])
    assert (first["y"], last["y"]) == ([4.0, 3.0], [5.0, 2.0])
    assert (first["line"]["color"], last["line"]["color"]) == (
        palette.hex_code(palette.GREY),
        palette.hex_code(palette.BLUE),
    )


def test_describes_labels_and_warnings_of_the_training() -> None:
    images = pd.DataFrame({"label": ["positive", "positive", "negative", ""]})
    sentences = text.describe_training(
        {"preset": "robust", "steps": 199, "positive_tiles": 1234}, images
    )
    assert sentences == (
        "Preset robust, 199 steps. Labels of the measured images: 2 positive, 1 negative, 1 "
        "without a label. At the end of training, 1,234 tiles counted as positive."
    )
    assert text.describe_training({}, images) == ""
    warned = text.describe_training(
        {"preset": "paper", "steps": 9, "warnings": ["C is lost"]}, images
    )
    assert warned.endswith("1 without a label. Warning: C is lost.")
    continued = text.describe_training(
        {"preset": "robust", "steps": 9, "start_from": "0123456789abcdef"}, images
    )
    assert continued.startswith("Preset robust, 9 steps, continued from the model of digest 01234")


def test_long_lists_of_a_description_are_cut_short() -> None:
    leaves = dict(text.flatten({"few": [1, 2], "many": {"names": list("abcdefghijklmnopqrstuvw")}}))
    assert leaves["few"] == "1, 2"
    assert (
        leaves["many.names"]
        == "a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, ... (23)"
    )


def test_figures_escape_names() -> None:
    rows = [antibody(HOSTILE, 0.1, hpa_staining=HOSTILE, border_share=0.5)]
    for figure in (
        figures.ranking(rows),
        figures.against_annotation(rows),
        figures.specificity(rows),
    ):
        assert figure is not None
        shown = json.dumps([trace | {"customdata": None} for trace in figure.spec["data"]])
        assert "<script" not in shown


@pytest.mark.slow
def test_thins_figures_of_many_antibodies() -> None:
    rows = [antibody(str(i), i / 9000, border_share=0.1) for i in range(9000)]
    assert len(figures.thin(rows, 2000)) <= 2000
    assert figures.thin(rows, 2000)[:1000] == rows[:1000]
    assert figures.thin(rows[:5], 2000) == rows[:5]
    assert figures.specificity([antibody("a", None)]) is None
    assert figures.ranking([]) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (0.0, "0 %"), (0.01234, "1.23 %"), (0.1234, "12.3 %"), (1.0, "100 %")],
)
def test_formats_fractions_as_per_cent(value: float | None, expected: str) -> None:
    assert text.percent(value).replace(text.NO_BREAK, " ") == expected


def test_question_and_headline() -> None:
    assert text.question(CELL_TYPE, ["duodenum"]) == (
        "Which antibodies stain the brush border of human duodenum?"
    )
    assert text.question("goblet cells", ["a", "b", "c", "d"]) == (
        "Which antibodies stain goblet cells in 4 human tissues?"
    )
    assert text.question("goblet cells", []) == "Which antibodies stain goblet cells?"
    negatives = [antibody(f"N{i}", 0.01 * i, label="negative") for i in range(5)]
    rows = [antibody("A", 0.5), antibody("B", 0.04), *negatives]
    assert "1 of 2 other antibodies have a higher ratio than all 5" in text.headline(
        rows, failures=0
    )


def test_hpa_url_is_the_gene_or_a_search() -> None:
    home = "https://www.proteinatlas.org"
    known = antibody("HPA011934", 0.1, ensembl_id="ENSG00000090402")
    assert text.hpa_url(known) == f"{home}/ENSG00000090402"
    assert text.hpa_url(antibody("HPA001873", 0.1)) == f"{home}/search/HPA001873"
    assert text.hpa_url(antibody("mine", 0.1, ensembl_id="javascript:alert(1)")) == ""


def test_negatives_are_named_by_annotation_or_label() -> None:
    own = [antibody(f"N{i}", 0.01, label="negative") for i in range(5)]
    annotated = [dataclasses.replace(row, hpa_staining="not detected") for row in own]
    for rows, description in (
        (own, "labelled negative"),
        (annotated, "annotated as “not detected”"),
    ):
        assert f"the 5 antibodies {description}" in text.explain_p_values(rows)
        assert f"than all 5 antibodies {description}." in text.headline(
            [antibody("A", 0.5), *rows], failures=0
        )
    assert "5 measured antibodies labelled negative; this run has 0." in text.explain_p_values(
        [antibody("A", 0.5)]
    )
    figure = figures.specificity([dataclasses.replace(row, border_share=0.5) for row in own])
    assert figure is not None
    assert [trace["name"] for trace in figure.spec["data"]] == ["labelled negative"]


def test_volcano_needs_p_values_and_draws_the_threshold_of_q() -> None:
    assert figures.volcano([antibody("a", 0.1)]) is None
    rows = [
        antibody("a", 0.3, p_value=0.01, q_value=0.03),
        antibody("b", 0.2, p_value=0.02, q_value=0.03),
        antibody("c", 0.1, p_value=0.9, q_value=0.9),
    ]
    figure = figures.volcano(rows)
    assert figure is not None
    assert figure.spec["data"][0]["y"] == [0.01, 0.02, 0.9]
    (threshold,) = figure.spec["layout"]["shapes"]
    assert threshold["y0"] == pytest.approx(0.05 * 2 / 3)
    assert "dotted" not in figure.caption
    assert figures.significant_p(rows[2:]) == 0.05


def test_extrapolated_p_values_are_named_and_marked() -> None:
    negatives = [
        antibody(f"N{i}", 0.01, label="negative", p_value=1.0, q_value=1.0) for i in range(5)
    ]
    counted = antibody("A", 0.01, p_value=1.0, q_value=1.0)
    beyond = antibody("B", 0.2, p_value=0.01, q_value=0.07, p_extrapolated=True)
    assert "extrapolated" not in text.explain_p_values([counted, *negatives])
    sentence = text.explain_p_values([beyond, counted, *negatives])
    assert "For 1 antibody above the highest ratio of the negatives (1.00\u00a0%)" in sentence
    assert "at most as heavy as a power law" in sentence
    figure = figures.volcano([beyond, counted, *negatives])
    assert figure is not None
    threshold, smallest = (shape["y0"] for shape in figure.spec["layout"]["shapes"])
    assert (threshold, smallest) == pytest.approx((0.05 / 7, 1 / 6))
    assert "Above the dotted line, p is extrapolated." in figure.caption


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), ("", "–"), ("CaCL", "CaCL"), (0.61, "0.610"), (12.345, "12.3"), (1000, "1,000"),
     (2e-5, "2e-05"), (1.0, "1"), ("nan", "–")],
)  # fmt: skip
def test_formats_numbers(value: object, expected: str) -> None:
    assert text.format_number(value) == expected


def test_only_web_addresses_become_links() -> None:
    assert page_data.is_web_address("https://images.proteinatlas.org/1.jpg")
    assert not page_data.is_web_address("javascript:alert(1)")
    assert not page_data.is_web_address("/home/user/1.jpg")
