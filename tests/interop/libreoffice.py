"""LibreOffice without a window, in a profile with a locale of its own."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

LOCALE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Setup/L10N">
<prop oor:name="ooSetupSystemLocale" oor:op="fuse"><value>{locale}</value></prop>
</item>
</oor:items>
"""
ENGLISH, GERMAN = "en-US", "de-DE"
DECIMAL_SIGNS = {ENGLISH: ".", GERMAN: ","}

READ_UTF8 = "44,34,76,1"
"""Comma, double quote, UTF-8, from line 1: the first tokens of LibreOffice's CSV filter."""

WRITE_CSV = f"csv:Text - txt - csv (StarCalc):{READ_UTF8},,,false,false"
"""UTF-8, and numbers as they are, not as a cell displays them."""

AS_TEXT = 2
"""LibreOffice's number for a column that is imported as text."""


def import_options(text_columns: list[int]) -> str:
    """Return the options of the CSV filter: UTF-8, decimals of English, some columns as text."""
    columns = "/".join(f"{place}/{AS_TEXT}" for place in text_columns)
    return f"CSV:{READ_UTF8},{columns},1033,false,false"


def convert(
    file: Path, kind: str, folder: Path, *, locale: str, import_filter: str | None = None
) -> Path:
    """Convert a file with the filter `kind`, such as `xlsx`, and return the new one."""
    profile = folder / f"profile-{locale}"
    settings = profile / "user" / "registrymodifications.xcu"
    if not settings.exists():
        settings.parent.mkdir(parents=True)
        settings.write_text(LOCALE.format(locale=locale), encoding="utf-8")
    out = folder / f"{file.stem}-{locale}-{len(list(folder.iterdir()))}"
    options = [] if import_filter is None else [f"--infilter={import_filter}"]
    done = subprocess.run(
        [
            *("soffice", f"-env:UserInstallation={profile.as_uri()}", "--headless", *options),
            *("--convert-to", kind, "--outdir", out, file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    written = out / f"{file.stem}.{kind.split(':')[0]}"
    assert written.exists(), done.stdout + done.stderr
    return written


def read_columns(file: Path) -> dict[str, list[str]]:
    """Return the fields of a UTF-8 CSV by column."""
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def release() -> str:
    """Return the version of LibreOffice."""
    done = subprocess.run(["soffice", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]
