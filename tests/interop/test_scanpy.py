"""scanpy plots the exported table."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fixtures.hostile_names import GENES
from tests.interop.conftest import Census, Shown, cores

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

MEASURES = ["stained_to_cell_ratio", "ratio_low", "ratio_high", "border_share"]


def test_scanpy_plots_measures_by_gene_and_by_label(
    census: Census, tmp_path: Path, shown: Shown
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import scanpy

    table = scanpy.read_h5ad(census.h5ad)
    assert sorted(table.obs["gene"]) == sorted(GENES)
    ratios = dict(zip(table.obs["gene"], table[:, "stained_to_cell_ratio"].X.ravel(), strict=True))
    for core in cores():
        assert ratios[core.gene] == pytest.approx(core.stained_rows / 96)

    plot = scanpy.pl.matrixplot(table, MEASURES, groupby="gene", return_fig=True)
    axes = plot.get_axes()["mainplot_ax"]
    assert {tick.get_text() for tick in axes.get_yticklabels()} == set(GENES)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == MEASURES
    plot.savefig(tmp_path / "matrixplot.png")
    axes = scanpy.pl.violin(table, MEASURES[0], groupby="label", show=False)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["negative", "positive"]
    axes.figure.savefig(tmp_path / "violin.png")
    heatmap = scanpy.pl.heatmap(table, MEASURES, groupby="label", show=False)
    heatmap["heatmap_ax"].figure.savefig(tmp_path / "heatmap.png", bbox_inches="tight")
    for name in ("matrixplot", "violin", "heatmap"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    shown(
        "scanpy, anndata",
        f"{version('scanpy')}, {version('anndata')}",
        "`atlas.h5ad`",
        "ratios by gene; `pl.matrixplot`, `pl.violin` and `pl.heatmap` drawn",
    )
