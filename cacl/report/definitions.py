"""Definitions of the numbers of the page, which a click on a number's name shows."""

from __future__ import annotations

from collections.abc import Sequence

from cacl.report.text import BENCHMARK_TITLES
from cacl.tables.dictionary import Table, describe_columns

PAGE_TERMS = {
    "page.antibodies": ("antibodies", "antibodies with at least one measured core"),
    "page.genes": ("genes", "genes of the measured antibodies, as far as they are known"),
    "page.images": ("cores", "images with a mask and a measured cell area; one image per core"),
    "page.patients": ("patients", "different patients of the measured cores"),
    "page.flagged": (
        "with a quality flag",
        "measured cores that the quality control marks, such as blur or a tissue fold; they count "
        "in every ratio, and the section Failures lists them",
    ),
    "page.failures": (
        "failed",
        "images that a step could not use; they count in no ratio, and the section Failures lists "
        "them with the reason",
    ),
    "antibodies.tissues": ("tissues", "tissues of the measured cores, joined by '; '"),
}
BENCHMARK_MEANINGS = {
    "evaluation_set": "test antibodies: the run's test split, or an external set",
    "method": "method that made the mask",
    "dice": "2 x overlap / (mask + true mask), mean over all tiles of the sample; a tile where "
    "both are empty has 1, the paper's convention",
    "dice_positive": "mean Dice coefficient over the tiles with stain in the true mask",
    "boundary_f1": "F1 of the outlines within 2 px, mean over tiles with stain in the true mask",
    "negative_percent": "mask on all tiles without stain in the true mask, per cent of cell area",
    "ccc": "Lin's concordance correlation of the cores' stained-to-cell ratio with the true one",
}


def page_definitions(tables: Sequence[Table]) -> list[list[str]]:
    """Return the definitions of the page's numbers.

    Parameters
    ----------
    tables
        The tables beside the page.

    Returns
    -------
    Rows of (key, title, unit, meaning, file); the key is `<table>.<column>`, and the file is empty
    if the number is in no table beside the page.
    """
    rows = [
        [
            f"{table.name}.{column.name}",
            column.name.replace("_", " "),
            column.unit,
            column.meaning.replace("`", ""),
            f"{table.name}.csv",
        ]
        for table in tables
        for column in describe_columns(table.record)
    ]
    rows += [[key, title, "", meaning, ""] for key, (title, meaning) in PAGE_TERMS.items()]
    rows += [
        [f"benchmark.{name}", BENCHMARK_TITLES[name], "", meaning, ""]
        for name, meaning in BENCHMARK_MEANINGS.items()
    ]
    return rows
