"""The antibody table as AnnData: antibodies x measures, for scanpy."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cacl import __version__, tables
from cacl.errors import ConfigError
from cacl.tables.dictionary import describe_columns
from cacl.tables.schemas import AntibodyRow, MeasureRow

if TYPE_CHECKING:
    from anndata import AnnData

NAME = "antibody_id"
NUMPY_TYPES = {"integer": np.int64, "boolean": np.bool_}


def write_antibodies(report: Path, out: Path) -> tuple[int, int]:
    """Write a report's antibodies as AnnData; see `to_anndata`.

    Parameters
    ----------
    report
        Folder of `cacl report`.
    out
        The `.h5ad` to write, compressed.

    Returns
    -------
    Number of antibodies and of measures.

    Raises
    ------
    ConfigError
        The package `anndata` is not installed.
    TableError
        The folder contains no report of this version.
    """
    antibodies = tables.read_frame([report / "antibodies.parquet"], AntibodyRow)
    images = tables.read_frame([report / "images.parquet"], MeasureRow)
    table = to_anndata(antibodies, images)
    tables.write_atomically(out, lambda path: path.write_bytes(_h5ad(table)))
    return table.n_obs, table.n_vars


def _h5ad(table: AnnData) -> bytes:
    """Return the file of a table. HDF5 cannot write a file that another descriptor has locked."""
    import h5py
    from anndata.io import write_elem

    table.strings_to_categoricals()  # as AnnData.write_h5ad does
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write_elem(file, "/", table, dataset_kwargs={"compression": "gzip"})
    return buffer.getvalue()


def to_anndata(antibodies: pd.DataFrame, images: pd.DataFrame) -> AnnData:
    """Return the table antibodies x measures.

    Parameters
    ----------
    antibodies
        Columns of `AntibodyRow`, one row per antibody.
    images
        Columns of `MeasureRow`, one row per image.

    Returns
    -------
    `X`: float64, one column per measure, NaN for unknown values. `var`: unit and meaning of the
    measures. `obs`: all other columns, by antibody. `obsm["ratio_by_tissue"]`: pooled ratio by
    tissue; `uns["tissues"]` has the names of the tissues.

    Raises
    ------
    ConfigError
        The package `anndata` is not installed.
    """
    anndata = _anndata()
    columns = {column.name: column for column in describe_columns(AntibodyRow)}
    measures = [name for name, column in columns.items() if column.kind == "number"]
    other_columns = [name for name in columns if name not in measures and name != NAME]
    index = _objects(antibodies[NAME])
    obs = pd.DataFrame(
        {
            name: antibodies[name].to_numpy(dtype=NUMPY_TYPES[columns[name].kind])
            if columns[name].kind in NUMPY_TYPES
            else pd.Categorical(_objects(antibodies[name]))
            for name in other_columns
        },
        index=index,
    )
    descriptions = {
        key: _objects(getattr(columns[name], key) for name in measures)
        for key in ("unit", "meaning")
    }
    tissues, by_tissue = _by_tissue(images, antibodies[NAME].tolist())
    table: AnnData = anndata.AnnData(
        X=antibodies[measures].to_numpy(dtype=np.float64, na_value=np.nan),
        obs=obs,
        var=pd.DataFrame(descriptions, index=_objects(measures)),
        obsm={"ratio_by_tissue": by_tissue},
        uns={"cacl_atlas": __version__, "tissues": np.array(tissues, dtype=object)},
    )
    return table


def _by_tissue(
    images: pd.DataFrame, antibody_ids: list[str]
) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return the tissues, and the pooled ratio (antibodies, tissues), NaN if not measured."""
    tissues = sorted(set(images["tissue"]) - {""})
    sums = images.groupby([NAME, "tissue"])[["stained_area_px", "cell_area_px"]].sum()
    cell = sums["cell_area_px"].to_numpy(dtype=np.float64)
    stained = sums["stained_area_px"].to_numpy(dtype=np.float64)
    ratio = np.divide(stained, cell, out=np.full(cell.shape, np.nan), where=cell > 0)
    wide = pd.Series(ratio, index=sums.index).unstack("tissue")
    return tissues, wide.reindex(index=antibody_ids, columns=tissues).to_numpy(dtype=np.float64)


def _objects(values: Iterable[object]) -> pd.Index[Any]:
    """Return texts as Python strings, because anndata cannot store Arrow strings."""
    index: pd.Index[Any] = pd.Index(
        np.array([str(value) for value in values], dtype=object), dtype=object
    )
    return index


def _anndata() -> Any:
    try:
        import anndata
    except ImportError as error:
        raise ConfigError(
            "An .h5ad needs the package anndata, which is not installed; run "
            "pip install --constraint constraints.txt 'anndata', or '.[export]' in the checkout"
        ) from error
    return anndata
