"""Products that Snakemake marks as unfinished: a job writes them now, or was killed.

Snakemake writes the mark when a job starts and removes it when the job ends. Its path is that of
the product in URL-safe Base64, in pieces of which all but the last begin with `@`.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARKS = Path(".snakemake/incomplete")


def is_unfinished(product: Path, folder: Path) -> bool:
    """Return whether a product of the workflow in `folder`, or a part of it, is unfinished.

    Parameters
    ----------
    product
        A file, or a folder; it need not exist.
    folder
        Working directory of the run.
    """
    product = Path(os.path.relpath(product, folder))
    return any(
        product == marked or product in marked.parents or marked in product.parents
        for marked in _unfinished_products(folder)
    )


def _unfinished_products(folder: Path) -> Iterator[Path]:
    """Yield the marked products, relative to `folder`."""
    marks = folder / MARKS
    for directory, _, names in os.walk(marks):
        for name in names:
            pieces = (Path(directory) / name).relative_to(marks).parts
            with suppress(ValueError):  # another file of Snakemake's
                yield Path(urlsafe_b64decode("".join(p.removeprefix("@") for p in pieces)).decode())
