"""The report's figures and sentences, from rows alone."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd
import pytest

from cacl.report import figures, page_data
from cacl.report import text as words
from tests.fixtures.reports import HOSTILE, antibody
from tests.fixtures.small_atlas import CELL_TYPE


def test_networks_trained_one_after_the_other_have_a_line_each() -> None:
    curves = pd.DataFrame({"step": [1, 2, 3, 4], "network": [1, 1, 2, 2], "loss": [4.0, 3, 5, 2]})
    (figure,) = figures.training(curves)
    first, last = figure.spec["data"]
    assert (first["x"], last["x"]) == ([1, 2], [3, 4])
    assert (first["y"], last["y"]) == ([4.0, 3.0], [5.0, 2.0])
    assert (first["line"]["color"], last["line"]["color"]) == (figures.GREY, figures.BLUE)


def test_what_the_model_was_trained_on_is_told() -> None:
    images = pd.DataFrame({"label": ["positive", "positive", "negative", ""]})
    said = words.trained({"preset": "robust", "steps": 199, "positive_tiles": 1234}, images)
    assert said.startswith("Preset robust, 199 steps. Of the measured images 2 are labelled pos")
    assert said.endswith(
        "1 negative, 1 neither. In the end 1,234 training tiles were taken to show the pattern."
    )
    assert words.trained({}, images) == ""
    warned = words.trained({"preset": "paper", "steps": 9, "warnings": ["C is lost"]}, images)
    assert warned.endswith("1 neither. Warning: C is lost.")


def test_figures_show_names_as_text() -> None:
    rows = [antibody(HOSTILE, 0.1, hpa_staining=HOSTILE, border_share=0.5)]
    for figure in (
        figures.ranking(rows),
        figures.against_annotation(rows),
        figures.specificity(rows),
    ):
        assert figure is not None
        shown = json.dumps([trace | {"customdata": None} for trace in figure.spec["data"]])
        assert "<script" not in shown


def test_figures_of_many_antibodies_are_thinned() -> None:
    rows = [antibody(str(i), i / 9000, border_share=0.1) for i in range(9000)]
    assert len(figures.thinned(rows, 2000)) <= 2000
    assert figures.thinned(rows, 2000)[:1000] == rows[:1000]
    assert figures.thinned(rows[:5], 2000) == rows[:5]
    assert figures.specificity([antibody("a", None)]) is None
    assert figures.ranking([]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 %"), (0.01234, "1.23 %"), (0.1234, "12.3 %"), (1.0, "100 %")],
)
def test_per_cent(value: float | None, text: str) -> None:
    assert words.percent(value).replace(words.NO_BREAK, " ") == text


def test_question_and_answer() -> None:
    assert words.question(CELL_TYPE, ["duodenum"]) == (
        "Which antibodies stain the brush border of human duodenum?"
    )
    assert words.question("goblet cells", ["a", "b", "c", "d"]) == (
        "Which antibodies stain goblet cells in 4 human tissues?"
    )
    assert words.question("goblet cells", []) == "Which antibodies stain goblet cells?"
    negatives = [antibody(f"N{i}", 0.01 * i, label="negative") for i in range(5)]
    rows = [antibody("A", 0.5), antibody("B", 0.04), *negatives]
    assert "1 of 2 antibodies stain more of it than any of the 5" in words.answer(rows, failed=0)


def test_an_antibody_leads_to_its_gene_or_to_a_search() -> None:
    home = "https://www.proteinatlas.org"
    known = antibody("HPA011934", 0.1, ensembl_id="ENSG00000090402")
    assert words.antibody_page(known) == f"{home}/ENSG00000090402"
    assert words.antibody_page(antibody("HPA001873", 0.1)) == f"{home}/search/HPA001873"
    assert words.antibody_page(antibody("mine", 0.1, ensembl_id="javascript:alert(1)")) == ""


def test_negatives_are_named_after_what_made_them_negative() -> None:
    own = [antibody(f"N{i}", 0.01, label="negative") for i in range(5)]
    annotated = [dataclasses.replace(row, hpa_staining="not detected") for row in own]
    for rows, said in ((own, "labelled negative"), (annotated, "annotated as “not detected”")):
        assert f"the 5 antibodies {said}" in words.about_p(rows)
        assert f"any of the 5 that are {said}." in words.answer(
            [antibody("A", 0.5), *rows], failed=0
        )
    assert "antibodies labelled negative, of which 0" in words.about_p([antibody("A", 0.5)])
    figure = figures.specificity([dataclasses.replace(row, border_share=0.5) for row in own])
    assert figure is not None
    assert [trace["name"] for trace in figure.spec["data"]] == ["labelled negative"]


def test_volcano_needs_q_and_shows_its_line() -> None:
    assert figures.volcano([antibody("a", 0.1)]) is None
    rows = [antibody("a", 0.1, q_value=0.01), antibody("b", 0.2, q_value=0.0)]
    figure = figures.volcano(rows)
    assert figure is not None
    assert figure.spec["data"][0]["y"] == [0.01, figures.SMALLEST_Q]
    assert figure.spec["layout"]["shapes"][0]["y0"] == 0.05


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("", "–"), ("CaCL", "CaCL"), (0.61, "0.610"), (12.345, "12.3"), (1000, "1,000"),
     (2e-5, "2e-05"), (1.0, "1"), ("nan", "–")],
)  # fmt: skip
def test_numbers_for_a_reader(value: object, text: str) -> None:
    assert words.number(value) == text


def test_only_addresses_of_the_web_become_links() -> None:
    assert page_data.is_web_address("https://images.proteinatlas.org/1.jpg")
    assert not page_data.is_web_address("javascript:alert(1)")
    assert not page_data.is_web_address("/home/user/1.jpg")
