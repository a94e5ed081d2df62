"""The census as AnnData: antibodies x measures, for scanpy and its relatives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cacl import __version__
from cacl.errors import ConfigError
from cacl.tables.dictionary import describe_columns
from cacl.tables.schemas import AntibodyRow

if TYPE_CHECKING:
    from anndata import AnnData

NAME = "antibody_id"


def to_anndata(antibodies: pd.DataFrame, images: pd.DataFrame) -> AnnData:
    """Return antibodies x measures.

    Parameters
    ----------
    antibodies
        Columns of `AntibodyRow`, one row an antibody.
    images
        Columns of `MeasureRow`, one row an image.

    Returns
    -------
    `X`: float64, the measures of `var`, NaN where unknown. `var`: their unit and meaning. `obs`:
    every column that is no measure, by antibody. `obsm["ratio_by_tissue"]`: pooled ratio by
    tissue, with the tissues' names in `uns["tissues"]`.

    Raises
    ------
    ConfigError
        The package `anndata` is not installed.
    """
    anndata = _anndata()
    columns = {column.name: column for column in describe_columns(AntibodyRow)}
    measures = [name for name, column in columns.items() if column.kind == "number"]
    kept = [name for name in columns if name not in measures and name != NAME]
    index = _objects(antibodies[NAME])
    obs = pd.DataFrame(
        {
            name: antibodies[name].to_numpy(dtype=np.int64)
            if columns[name].kind == "integer"
            else pd.Categorical(_objects(antibodies[name]))
            for name in kept
        },
        index=index,
    )
    about = {
        key: _objects(getattr(columns[name], key) for name in measures)
        for key in ("unit", "meaning")
    }
    tissues, by_tissue = _by_tissue(images, antibodies[NAME].tolist())
    made: AnnData = anndata.AnnData(
        X=antibodies[measures].to_numpy(dtype=np.float64, na_value=np.nan),
        obs=obs,
        var=pd.DataFrame(about, index=_objects(measures)),
        obsm={"ratio_by_tissue": by_tissue},
        uns={"cacl_atlas": __version__, "tissues": np.array(tissues, dtype=object)},
    )
    return made


def write_h5ad(table: AnnData, path: Path) -> None:
    """Write a table as `.h5ad`, compressed."""
    table.write_h5ad(path, compression="gzip")


def _by_tissue(images: pd.DataFrame, names: list[str]) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return the tissues, and antibodies x tissues: pooled ratio, NaN where not measured."""
    tissues = sorted(set(images["tissue"]) - {""})
    sums = images.groupby([NAME, "tissue"])[["stained_area_px", "cell_area_px"]].sum()
    cell = sums["cell_area_px"].to_numpy(dtype=np.float64)
    stained = sums["stained_area_px"].to_numpy(dtype=np.float64)
    ratio = np.divide(stained, cell, out=np.full(cell.shape, np.nan), where=cell > 0)
    wide = pd.Series(ratio, index=sums.index).unstack("tissue")
    return tissues, wide.reindex(index=names, columns=tissues).to_numpy(dtype=np.float64)


def _objects(values: Iterable[object]) -> pd.Index[Any]:
    """Return text as Python strings: anndata stores no Arrow strings."""
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
