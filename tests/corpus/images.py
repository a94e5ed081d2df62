"""All image files of the corpus; `python -m tests.corpus.images` prints how they must end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.corpus import (
    images_bombs,
    images_directories,
    images_jpeg,
    images_jpeg_other,
    images_other,
    images_pages,
    images_scanners,
    images_tiff,
)
from tests.corpus.images_field import Case, Measured

CASES: tuple[Case, ...] = (
    *images_tiff.CASES,
    *images_pages.CASES,
    *images_directories.CASES,
    *images_jpeg.CASES,
    *images_jpeg_other.CASES,
    *images_scanners.CASES,
    *images_other.CASES,
    *images_bombs.CASES,
)

MAX_MB = 40
"""Limit of a case's peak memory above that before it, in MB (10^6 bytes)."""

MAX_MB_OF = {"jpeg of 9000 px.jpg": 300, "png of 9000 px.png": 120}
"""Of images whose headers exaggerate: three bytes for each pixel that libjpeg allocates, and the
rows that Pillow has decoded when the data end."""

MAX_SECONDS = 10
"""Limit of a case's CPU time; most take a tenth of a second."""


def write_corpus(folder: Path, cases: Sequence[Case] = CASES) -> Path:
    """Write the files and their manifest.

    Parameters
    ----------
    folder
        An existing folder.
    cases
        The files.

    Returns
    -------
    pathlib.Path
        The manifest, a CSV; the image of case n has the id `corpus/<n>`.
    """
    lines = ["image_path,antibody_id,patient_id,image_id,mpp"]
    for number, case in enumerate(cases):
        (folder / case.name).parent.mkdir(exist_ok=True)
        case.write(folder / case.name)
        lines.append(f'"{case.name}",corpus,p{number},{number:03},{case.mpp}')
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return manifest


def counts(cases: Sequence[Case] = CASES) -> dict[str, int]:
    """Return the number of files by their end: `measured`, or the reason of the failure."""
    ends = Counter(
        "measured" if isinstance(case.end, Measured) else str(case.end.reason) for case in cases
    )
    return dict(sorted(ends.items(), key=lambda item: (-item[1], item[0])))


def main() -> None:
    """Write the counts as a Markdown table to standard output."""
    rows = [f"| {end} | {count} |" for end, count in counts().items()]
    lines = ["| end | image files |", "|---|---|", *rows, f"| all | {len(CASES)} |", ""]
    sys.stdout.write("\n".join(lines))


if __name__ == "__main__":
    main()
