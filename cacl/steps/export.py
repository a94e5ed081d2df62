"""Export the census: masks for QuPath, tables for scanpy and Excel, the model as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl.errors import ConfigError
from cacl.export import anndata, masks, workbook
from cacl.model.model_file import write_model_file
from cacl.steps.parameters import ExportFiles


@dataclass(frozen=True)
class ExportSummary:
    """What was written; None for a format that was not requested.

    Parameters
    ----------
    table_shape
        Number of antibodies and of measures in the AnnData file.
    sheets
        Number of tables in the workbook.
    images
        Number of GeoJSON files.
    model
        Digest of the model.
    """

    table_shape: tuple[int, int] | None
    sheets: int | None
    images: int | None
    model: str | None


def export(
    report: Path,
    store: Path,
    files: ExportFiles,
    *,
    labels: Sequence[str] = (),
    antibodies: Sequence[str] = (),
    jobs: int = 1,
) -> ExportSummary:
    """Write a report's masks as GeoJSON, its tables as AnnData and workbook, the model as one file.

    Parameters
    ----------
    report
        Folder of `cacl report`; its images are exported, and the model in the folder `model` beside
        it.
    store
        The OME-Zarr store.
    files
        What to write: see `cacl.export.masks.write_masks`, `cacl.export.anndata.write_antibodies`,
        `cacl.export.workbook.write_workbook`, `cacl.model.model_file.write_model_file`.
    labels
        Masks to write as GeoJSON; all if empty.
    antibodies
        Antibodies whose masks are written; all if empty.
    jobs
        Images at a time.

    Raises
    ------
    ConfigError
        No output is named, a label or an antibody is unknown, the package `anndata` or `xlsxwriter`
        is missing, or a table has more rows than a sheet.
    StrictError
        Some masks could not be exported; the log lists the reasons, all other files are written.
    TableError
        The folder contains no report of this version.
    CheckpointError
        The folder of the model contains none that can be used.
    """
    if files == ExportFiles():
        raise ConfigError(
            "Nothing to export: name one or more of --geojson FOLDER, --h5ad FILE, --xlsx FILE, "
            "--model FILE"
        )
    digest = None
    if files.model is not None:
        digest = write_model_file(report.parent / "model", files.model)
    shape = None if files.h5ad is None else anndata.write_antibodies(report, files.h5ad)
    sheets = None if files.xlsx is None else workbook.write_workbook(report, files.xlsx)
    images = None
    if files.geojson is not None:
        images = masks.write_masks(
            report, store, files.geojson, labels=labels, antibodies=antibodies, jobs=jobs
        )
    return ExportSummary(table_shape=shape, sheets=sheets, images=images, model=digest)
