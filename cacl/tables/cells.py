"""Clean a value of a table or list that a person made: missing values, spaces, spreadsheets' marks.

The same rules hold for manifests, overrides, gene lists and annotation tables.
"""

from __future__ import annotations

import re
import unicodedata

MISSING = frozenset(
    (
        *("", "na", "n/a", "n.a.", "#n/a", "#na", "#n/a n/a", "<na>", "nan", "-nan", "nat"),
        *("null", "(null)", "none", "\\n", "-", "--", "---", "\u2013", "\u2014", "."),
    )
)
"""Texts in lower case that R, pandas, databases, SAS and people write for a missing value."""

SPREADSHEET_ERRORS = frozenset(
    ("#ref!", "#value!", "#name?", "#div/0!", "#num!", "#null!", "#spill!", "#calc!", "#error!")
)
AS_TEXT = re.compile(r'="(.*)"', re.DOTALL)
SHORTENED = re.compile(r"[+-]?\d(?:[.,]\d+E[+-]?|E[+-])\d+", re.IGNORECASE | re.ASCII)
DECIMAL = re.compile(r"[+-]?\d+([.,]\d+)?(E[+-]?\d+)?", re.IGNORECASE | re.ASCII)
WHOLE = re.compile(r"(\d{1,9})([.,]0+)?", re.ASCII)
FORMULA = re.compile(r"[=@].*|[+-](?!\d+([.,]\d+)?$).+", re.DOTALL)
EVALUATED = re.compile(rf"'*(?:{FORMULA.pattern}|[\t\r].*)", re.DOTALL)
"""A formula, or one behind the apostrophes of `as_text`; a tab or carriage return can hide one."""

INVISIBLE = ("Cf", "Zs", "Zl", "Zp", "Cc")
"""Unicode categories of format and bidi marks (zero-width space, byte order mark), of spaces (also
no-break), of line ends and of control characters."""


def clean(text: str) -> str:
    """Return a value without what spreadsheets and editors add around it, empty if it is missing.

    Spaces (also no-break) and invisible characters at both ends are removed, and Excel's `="007"`
    becomes `007`. Texts of `MISSING`, in any case, are empty.
    """
    text = trim(text)
    quoted = AS_TEXT.fullmatch(text)
    if quoted:
        text = trim(quoted[1])
    return "" if text.lower() in MISSING else text


def clean_name(text: str) -> str:
    """Return a name as `clean` does, in Unicode's composed form (NFC), with plain single spaces."""
    if text.isalnum() and text.isascii():
        return "" if text.lower() in MISSING else text
    if not text:
        return ""
    categories = ((char, unicodedata.category(char)) for char in clean(text))
    kept = (" " if category == "Zs" else char for char, category in categories if category != "Cf")
    words = unicodedata.normalize("NFC", "".join(kept)).split(" ")
    return " ".join(word for word in words if word)


def trim(text: str) -> str:
    """Return a text without spaces and invisible characters at its ends."""
    text = text.strip()
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start]) in INVISIBLE:
        start += 1
    while end > start and unicodedata.category(text[end - 1]) in INVISIBLE:
        end -= 1
    return text[start:end]


def problem_of(text: str) -> str:
    """Return why a cleaned value cannot be right, as the end of a sentence; empty if it can.

    A control character or a line break would end a record for some readers of the products.
    """
    if text.lower() in SPREADSHEET_ERRORS:
        return f"is the spreadsheet's error {text}; correct the cell"
    for char in "" if text.isprintable() else text:
        if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs"):
            name = {"\r": "carriage return", "\n": "line break", "\t": "tab"}.get(char, "character")
            return f"holds a {name} (U+{ord(char):04X}): {text[:50]!r}; remove it"
    return ""


def problem_of_name(text: str) -> str:
    """Return why a cleaned name of a gene, patient, tissue or antibody cannot be right; or empty.

    A spreadsheet shortens long numbers to `1.2E+11`, and R writes 100000 as `1e+05`: different
    names become equal. A spreadsheet evaluates names that start as formulas when it opens the
    products.
    """
    if SHORTENED.fullmatch(text):
        return (
            f"is {text!r}, a number that a spreadsheet or R has shortened; format the column as "
            "text and write the names again"
        )
    if FORMULA.fullmatch(text):
        return (
            f"is {text[:50]!r}, which a spreadsheet evaluates as a formula; remove its first "
            "character"
        )
    return problem_of(text)


def as_text(text: str) -> str:
    """Return a value as a CSV holds it: with an apostrophe before what a spreadsheet evaluates.

    References
    ----------
    OWASP, CSV Injection.
    """
    return f"'{text}" if EVALUATED.fullmatch(text) else text


def without_mark(text: str) -> str:
    """Return the value that `as_text` was given."""
    return text[1:] if text.startswith("'") and EVALUATED.fullmatch(text) else text


def decimal(text: str) -> float | None:
    """Return a number with a decimal point or comma, None if the text is none.

    Thousands separators, units and the words of `float` (inf, nan, 1_0) are not accepted.
    """
    return float(text.replace(",", ".")) if DECIMAL.fullmatch(text) else None


def whole_number(text: str) -> int | None:
    """Return a whole number from 0, None if the text is none; pandas writes `3.0` for 3."""
    match = WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def printable(text: str) -> str:
    r"""Return a text in one line, with escapes such as `\r` and `\udcff`.

    Escaped are line ends, control characters, and bytes of a path that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")
        else char
        for char in text
    )
