"""Acquired images and annotation: provenance records, and the files that they describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from cacl.diagnostics.verify.result import Item
from cacl.errors import ImageError, Reason
from cacl.hpa.provenance import check_digest_of, provenance_path, read_provenance
from cacl.tables.schemas import AcquiredRow

IMAGE, ANNOTATION = "image", "annotation"
PHANTOM = "phantom"
REMEDY = "delete both, then `snakemake --forcerun {step}` fetches them again"


def image_items(rows: Mapping[str, AcquiredRow], run: Path) -> Iterator[Item]:
    """Yield the acquired images, and all other files that have a provenance record or lack one.

    Parameters
    ----------
    rows
        The acquired images by id; a path that is not absolute is relative to `run`.
    run
        The run's working directory. The synthetic images below its `resources` are a source, not a
        product; those that were acquired from there are checked.
    """
    expected = {run / row.path: row.sha256 for row in rows.values()}
    resources = run / "resources"
    paths = sorted(resources.rglob("*")) if resources.exists() else []
    files = [
        path
        for path in paths
        if path.is_file()
        and not path.name.startswith(".")
        and path.relative_to(resources).parts[0] != PHANTOM
    ]
    described = {provenance_path(path): path for path in files if path.suffix != ".json"}
    records = {path: described.get(path) for path in files if path.suffix == ".json"}
    for record, file in {**dict.fromkeys(described), **records, **described}.items():
        kind = IMAGE if "images" in record.relative_to(resources).parts else ANNOTATION
        sha256 = expected.pop(file, None) if file else None
        yield Item(
            kind,
            str(file or record),
            partial(_check, record, file, sha256, kind),
        )
    for file, sha256 in expected.items():
        yield Item(IMAGE, str(file), partial(check_digest_of, file, sha256))


def _check(record_path: Path, file: Path | None, sha256: str | None, kind: str) -> None:
    step = "acquire" if kind == IMAGE else "catalog"
    remedy = REMEDY.format(step=step)
    if file is None:
        raise ImageError(
            Reason.NOT_FOUND, f"{record_path} describes a file that is missing; {remedy}"
        )
    record = read_provenance(file)
    if record is None:
        raise ImageError(
            Reason.CHANGED, f"{record_path} is missing or damaged, the record of {file}; {remedy}"
        )
    if sha256 is not None and record.sha256 != sha256:
        raise ImageError(
            Reason.CHANGED,
            f"{record_path} has another digest than the table of `cacl acquire`; run `snakemake "
            "--forcerun acquire`",
        )
    check_digest_of(file, record.sha256)
