"""Forms of gene names: Ensembl ids with a version, and names that a spreadsheet made dates."""

from __future__ import annotations

import re

VERSIONED_ID = re.compile(r"(ENSG\d{11})\.\d+(_PAR_Y)?", re.IGNORECASE | re.ASCII)
MARCH = "mar march mär märz mrz mars marts mrt maart marzo março"
SEPTEMBER = "sep sept september septembre septiembre set settembre setembro"
DECEMBER = "dec december dez dezember déc décembre dic diciembre dicembre dezembro"
MONTHS = {
    "MARCHF": frozenset(MARCH.split()),
    "SEPTIN": frozenset(SEPTEMBER.split()),
    "DELEC": frozenset(DECEMBER.split()),
}
"""The current symbols of the genes that spreadsheets turn into dates, by the names of the month.

MARCH1-11 are now MARCHF1-11, SEPT1-14 are SEPTIN1-14, DEC1 is DELEC1 (HGNC, 2020).
"""

MONTH_NUMBERS = {"3": "MARCHF", "9": "SEPTIN", "12": "DELEC"}
FORMER = {"MARCHF": "MARCH", "SEPTIN": "SEPT", "DELEC": "DEC"}
DAY_MONTH = re.compile(r"(\d{1,2})[-./ ]{1,2}([^\W\d_]+)\.?([-./ ]\d{2,4})?", re.IGNORECASE)
MONTH_DAY = re.compile(r"([^\W\d_]+)\.?[-./ ]{1,2}(\d{1,2})", re.IGNORECASE)
YEAR_FIRST = re.compile(r"\d{4}[-/.](\d{1,2})[-/.](\d{1,2})([ T]00:00(:00)?)?", re.ASCII)
DAY_FIRST = re.compile(r"(\d{1,2})[.](\d{1,2})[.](\d{2}|\d{4})", re.ASCII)
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})(?:/(?:\d{2}|\d{4}))?", re.ASCII)
NUMERIC = ((YEAR_FIRST, [(1, 2)]), (DAY_FIRST, [(2, 1)]), (SLASHED, [(1, 2), (2, 1)]))
"""Dates of digits, with the groups of month and day.

With slashes the month is first in the United States, the day elsewhere.
"""


def without_version(name: str) -> str:
    """Return an Ensembl gene id without its version (the `.15`), and any other name unchanged."""
    match = VERSIONED_ID.fullmatch(name)
    return match[1] if match else name


def spreadsheet_date(name: str) -> str:
    """Return the gene that a date in a list of genes was, such as "MARCHF1 (formerly MARCH1)".

    Empty for a name that is no such date; two genes for a date whose order is open.

    References
    ----------
    Ziemann, Eren, El-Osta, Genome Biol 2016, 17:177; Abeysooriya et al., PLoS Comput Biol 2021,
    17:e1008984.
    """
    genes = [
        f"{prefix}{int(day)} (formerly {FORMER[prefix]}{int(day)})"
        for prefix, day in _months_and_days(name.strip())
        if prefix and int(day) > 0
    ]
    return " or ".join(dict.fromkeys(genes))


def _months_and_days(name: str) -> list[tuple[str, str]]:
    for pattern, month_group, day_group in ((DAY_MONTH, 2, 1), (MONTH_DAY, 1, 2)):
        match = pattern.fullmatch(name)
        if match:
            month = match[month_group].lower()
            prefix = next((key for key, names in MONTHS.items() if month in names), "")
            return [(prefix, match[day_group])]
    for pattern, orders in NUMERIC:
        match = pattern.fullmatch(name)
        if match:
            return [
                (MONTH_NUMBERS.get(match[month].lstrip("0"), ""), match[day])
                for month, day in orders
            ]
    return []
