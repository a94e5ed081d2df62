"""LibreOffice keeps names, decimals and UTF-8 of the workbook, and of a CSV with the options.

Without options it guesses. What it then changes is recorded, and is the reason for the workbook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from cacl import tables
from cacl.tables.dictionary import describe_columns
from cacl.tables.schemas import AntibodyRow
from tests.fixtures.hostile_names import GENES, antibodies
from tests.interop import libreoffice
from tests.interop.conftest import Census, Shown
from tests.interop.libreoffice import DECIMAL_SIGNS, GERMAN

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

COLUMNS = describe_columns(AntibodyRow)
NUMBERS = [column.name for column in COLUMNS if column.kind == "number"]
TEXTS = [column.name for column in COLUMNS if column.kind == "string"]
PLACES_OF_TEXTS = [place for place, column in enumerate(COLUMNS, 1) if column.kind == "string"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "antibodies.csv"
    tables.write_csv(file, antibodies(), AntibodyRow)
    return file


def changed(original: Path, converted: Path, locale: str) -> tuple[list[str], list[str]]:
    """Return the names and the numbers of a CSV that differ in another one."""
    before, after = libreoffice.read_columns(original), libreoffice.read_columns(converted)
    assert list(before) == list(after)
    names = [
        f"{old} -> {new}"
        for column in TEXTS
        for old, new in zip(before[column], after[column], strict=True)
        if old != new
    ]
    numbers = [
        f"{old} -> {new}"
        for column in NUMBERS
        for old, new in zip(before[column], after[column], strict=True)
        if not is_equal(old, new, DECIMAL_SIGNS[locale])
    ]
    return names, numbers


def is_equal(old: str, new: str, decimal_sign: str) -> bool:
    if not old or not new:
        return old == new
    if "." in new and decimal_sign == ",":
        return False
    # LibreOffice writes 15 digits; the CSV has six.
    return float(new.replace(decimal_sign, ".")) == pytest.approx(float(old), rel=1e-14)


def read_cells(book: Path) -> dict[str, list[Any]]:
    """Return the cells of the first sheet by column."""
    header, *rows = openpyxl.load_workbook(book).active.iter_rows(values_only=True)
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


@pytest.mark.parametrize("locale", DECIMAL_SIGNS)
def test_csv_with_options_keeps_names_and_decimals(
    table: Path, tmp_path: Path, shown: Shown, locale: str
) -> None:
    options = libreoffice.import_options(PLACES_OF_TEXTS)
    book = libreoffice.convert(table, "xlsx", tmp_path, locale=locale, import_filter=options)
    cells = read_cells(book)
    fields = libreoffice.read_columns(table)
    for name in TEXTS:
        assert [value or "" for value in cells[name]] == fields[name]
    for name in NUMBERS:
        numbers = [float(field) if field else None for field in fields[name]]
        assert cells[name] == [n if n is None else pytest.approx(n, rel=1e-14) for n in numbers]
    back = libreoffice.convert(book, libreoffice.WRITE_CSV, tmp_path, locale=locale)
    assert changed(table, back, locale) == ([], [])
    shown(
        "LibreOffice, import with options",
        libreoffice.release(),
        f"`antibodies.csv` with {len(GENES)} hostile names, to xlsx and back, locale {locale}",
        "names, decimals, empty fields and UTF-8 as written",
    )


@pytest.mark.parametrize("locale", DECIMAL_SIGNS)
def test_workbook_keeps_names_and_decimals(
    census: Census, tmp_path: Path, shown: Shown, locale: str
) -> None:
    back = libreoffice.convert(census.xlsx, libreoffice.WRITE_CSV, tmp_path, locale=locale)
    assert sorted(libreoffice.read_columns(back)["gene"]) != sorted(GENES), "marks are kept"
    names, numbers = changed(census.report / "antibodies.csv", back, locale)
    assert names == []
    six_digits = [pair for pair in numbers if not agree_in_six_digits(pair, locale)]
    assert six_digits == []
    shown(
        "LibreOffice, `cacl export --xlsx`",
        libreoffice.release(),
        f"the workbook with {len(GENES)} hostile names, to CSV, locale {locale}",
        "names, decimals, empty fields and UTF-8 as written",
    )


def agree_in_six_digits(pair: str, locale: str) -> bool:
    """Compare a number of the CSV, which has six digits, with that of the workbook."""
    old, new = pair.split(" -> ")
    return f"{float(new.replace(DECIMAL_SIGNS[locale], '.')):.6g}" == old


@pytest.mark.parametrize("locale", DECIMAL_SIGNS)
def test_csv_without_options_is_guessed(
    table: Path, tmp_path: Path, shown: Shown, locale: str
) -> None:
    book = libreoffice.convert(table, "xlsx", tmp_path, locale=locale)
    cells, fields = read_cells(book), libreoffice.read_columns(table)
    genes = [f"{a} -> {b}" for a, b in pairs(cells, fields, "gene") if a != str(b or "")]
    numbers = [pair for name in NUMBERS for pair in pairs(cells, fields, name) if pair[0]]
    texts = [old for old, new in numbers if isinstance(new, str)]
    wrong = [f"{a} -> {b}" for a, b in numbers if a not in texts and b != pytest.approx(float(a))]
    examples = [*genes[:2], *(pair for pair in genes if pair.startswith("β"))]
    assert "2E5 -> 200000" in examples
    assert ("1.234 -> 1234" in wrong) == ("0.5" in texts) == (locale == GERMAN)
    shown(
        "LibreOffice, CSV without options",
        libreoffice.release(),
        f"`antibodies.csv` with {len(GENES)} hostile names, to xlsx, locale {locale}",
        f"NOT kept: {len(genes)} names changed ({'; '.join(examples)}), {len(wrong)} "
        f"of {len(numbers)} numbers changed{''.join(f' ({each})' for each in wrong[:1])}, "
        f"{len(texts)} became texts",
    )


def pairs(
    cells: dict[str, list[Any]], fields: dict[str, list[str]], name: str
) -> list[tuple[str, Any]]:
    return list(zip(fields[name], cells[name], strict=True))
