"""Export the census: masks for QuPath, the antibody table for scanpy, the model as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ConfigError
from cacl.export import anndata, masks
from cacl.model.model_file import write_model_file
from cacl.steps.parameters import ModelExport


@dataclass(frozen=True)
class ExportSummary:
    """What was written; None for a format that was not requested.

    Parameters
    ----------
    table_shape
        Number of antibodies and of measures in the AnnData file.
    images
        Number of GeoJSON files.
    model
        Digest of the model.
    """

    table_shape: tuple[int, int] | None
    images: int | None
    model: str | None


def export(
    report: Path,
    store: Path,
    *,
    geojson: Path | None = None,
    h5ad: Path | None = None,
    model: ModelExport | None = None,
    labels: Sequence[str] = (),
    antibodies: Sequence[str] = (),
    jobs: int = 1,
) -> ExportSummary:
    """Write the masks of a report as GeoJSON, its antibodies as AnnData, the model as one file.

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
    model
        The model and its file; see `cacl.model.model_file.write_model_file`.
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
    CheckpointError
        The folder of the model contains none that can be used.
    """
    if geojson is None and h5ad is None and model is None:
        raise ConfigError(
            "Nothing to export: name one or more of --geojson FOLDER, --h5ad FILE, --model FILE"
        )
    digest = None if model is None else write_model_file(model.folder, model.file)
    shape = None if h5ad is None else anndata.write_antibodies(report, h5ad)
    images = None
    if geojson is not None:
        images = masks.write_masks(
            report, store, geojson, labels=labels, antibodies=antibodies, jobs=jobs
        )
    return ExportSummary(table_shape=shape, images=images, model=digest)
