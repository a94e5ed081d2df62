"""Flip single bits in every kind of product of a run; count what `cacl verify` finds.

Usage: python -m benchmarks.reliability.bit_flips [--flips N] [--seed N] [--out FILE]

A bit that is not found is harmless if all arrays of the store that its file belongs to read as
before; anything else is missed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._lib.bit_flips import flips_of, is_flipped
from benchmarks._lib.report import RESULTS, write_table
from benchmarks._lib.small_run import write_small_run
from cacl.diagnostics.verify.result import Item
from cacl.diagnostics.verify.run import items_of, problem_of
from cacl.errors import CaclError
from cacl.model.checkpoint import load_model, write_tensors
from cacl.store import Store

STORE = ("store", "image in the store")
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "acquired image (JPEG)": ("../resources/images/*/*.jpg", ("image",)),
    "provenance record (JSON)": ("../resources/images/*/*.json", ("image",)),
    "table (Parquet)": ("[!r]*/**/*.parquet", ("table",)),
    "table of the report (Parquet)": ("report/*.parquet", ("table", "report file")),
    "failures (CSV)": ("failures/**/*.csv", ("list",)),
    "losses and speed (CSV)": ("model/*.csv", ("list",)),
    "digest beside a CSV": ("**/*.sha256", ("list",)),
    "list of tables": ("tiles/tables.txt", ("list",)),
    "settings of the training": ("training/config.txt", ("list",)),
    "chunks of images": ("atlas.zarr/*/*/0/c/**/*", STORE),
    "chunks of masks": ("atlas.zarr/*/*/labels/*/0/c/**/*", STORE),
    "zarr.json of arrays": ("atlas.zarr/*/*/**/0/zarr.json", STORE),
    "zarr.json of groups": ("atlas.zarr/**/[!0]*/zarr.json", STORE),
    "weights (safetensors)": ("model/checkpoint.safetensors", ("model file",)),
    "model.json": ("model/model.json", ("model file",)),
    "saved training (safetensors)": ("model/states/*", ("model file",)),
    "report.html": ("report/report.html", ("report file",)),
    "styles, scripts and data of the page": ("report/assets/*", ("report file",)),
    "figures": ("report/figures/*", ("report file",)),
    "thumbnails": ("report/images/*/*", ("report file",)),
    "tables of the report (CSV)": ("report/*.csv", ("report file",)),
    "methods, columns (Markdown)": ("report/*.md", ("report file",)),
    "datapackage.json": ("report/datapackage.json", ("report file",)),
    "SHA256SUMS": ("report/SHA256SUMS", ("report file",)),
}
"""Files by glob below `results`, and the kinds of `cacl verify` that read them."""


@dataclass(frozen=True)
class Flips:
    """How many flipped bits of a kind of file were found."""

    kind: str
    files: int
    found: int
    harmless: int
    missed: int


def count_flips(
    results: Path, count: int, seed: int = 0, kinds: Sequence[str] = tuple(KINDS)
) -> Iterator[Flips]:
    """Flip `count` bits in each kind of product, one at a time, and count what is found.

    Parameters
    ----------
    results
        Folder of a finished run; unchanged afterwards.
    count, seed
        Number of places per kind, and their seed.
    kinds
        Keys of `KINDS`.
    """
    for kind in kinds:
        pattern, checked = KINDS[kind]
        base = results.parent / "resources" if pattern.startswith("..") else results
        paths = sorted(base.glob(pattern.removeprefix("../resources/")))
        files = [path for path in paths if path.is_file()]
        before = _arrays(results) if checked == STORE else None
        outcomes = {"found": 0, "harmless": 0, "missed": 0}
        for path, place in flips_of(files, count, seed):
            with is_flipped(path, place):
                if any(map(problem_of, _items(results, checked))):
                    outcomes["found"] += 1
                elif before is not None and _arrays(results) == before:
                    outcomes["harmless"] += 1
                else:
                    outcomes["missed"] += 1
        yield Flips(kind, len(files), **outcomes)


def save_training(results: Path) -> None:
    """Write a saved training like the one that a stopped run leaves."""
    [network] = load_model(results / "model").networks
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    metadata = {"fingerprint": "f" * 64, "progress": '{"step": 1}'}
    write_tensors(results / "model" / "states" / "0.safetensors", state, metadata)


def _items(results: Path, kinds: tuple[str, ...]) -> list[Item]:
    return [item for item in items_of(results) if item.kind in kinds]


def _arrays(results: Path) -> dict[str, bytes] | None:
    """Return the content of all arrays of the store; None if one cannot be read."""
    try:
        store = Store(results / "atlas.zarr")
        found = {}
        for folder in sorted(store.root.glob("*/*/")):
            image_id = f"{folder.parent.name}/{folder.name}"
            found[image_id] = np.asarray(store.image(image_id)).tobytes()
            for label in sorted((folder / "labels").glob("*/")):
                name = f"{image_id}/{label.name}"
                found[name] = np.asarray(store.label(image_id, label.name)).tobytes()
    except CaclError:
        return None
    return found


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "bit_flips.md")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        results = write_small_run(Path(folder))
        save_training(results)
        found = list(count_flips(results, options.flips, options.seed))
    rows = [
        [row.kind, *map(str, (row.files, options.flips, row.found, row.harmless, row.missed))]
        for row in found
    ]
    notes = [
        f"{options.flips} seeded places (byte, bit) per kind of file, seed {options.seed}, one at "
        "a time; found: `cacl verify` names it; harmless: every array reads as before",
        "outside: logs, `.snakemake`, the synthetic images below `resources/phantom`",
    ]
    header = ("kind of file", "files", "bits flipped", "found", "harmless", "missed")
    write_table(options.out, "Flipped bits", notes, header, rows)
    if any(row.missed for row in found):
        raise SystemExit("some flipped bits were missed")


if __name__ == "__main__":
    main()
