"""Export the census for other software: masks for QuPath, the antibody table for scanpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ConfigError
from cacl.export import anndata, masks


@dataclass(frozen=True)
class ExportSummary:
    """What was written; None for a format that was not requested.

    Parameters
    ----------
    table_shape
        Number of antibodies and of measures in the AnnData file.
    images
        Number of GeoJSON files.
    """

    table_shape: tuple[int, int] | None
    images: int | None


def export(
    report: Path,
    store: Path,
    *,
    geojson: Path | None = None,
    h5ad: Path | None = None,
    labels: Sequence[str] = (),
    antibodies: Sequence[str] = (),
    jobs: int = 1,
) -> ExportSummary:
    """Write the masks of a report as GeoJSON, its antibodies as AnnData, or both.

    Parameters
    ----------
    report
        Folder of `cacl report`; its images are exported.
    store
        The OME-Zarr store.
    geojson
        Folder for the masks; see `cacl.export.masks.write_masks`.
    h5ad
        File for the antibodies; see `cacl.export.anndata.write_antibodies`.
    labels
        Masks to write as GeoJSON; all if empty.
    antibodies
        Antibodies whose masks are written; all if empty.
    jobs
        Images at a time.

    Raises
    ------
    ConfigError
        No output is named, a label or an antibody is unknown, or the package `anndata` is missing.
    StrictError
        Some masks could not be exported; the log lists the reasons, all other files are written.
    TableError
        The folder contains no report of this version.
    """
    if geojson is None and h5ad is None:
        raise ConfigError("Nothing to export: name --geojson FOLDER, --h5ad FILE, or both")
    shape = None if h5ad is None else anndata.write_antibodies(report, h5ad)
    images = None
    if geojson is not None:
        images = masks.write_masks(
            report, store, geojson, labels=labels, antibodies=antibodies, jobs=jobs
        )
    return ExportSummary(table_shape=shape, images=images)
