"""`cacl.train` trains on paths and on arrays as the steps do; `import cacl` is quick."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import cacl
from cacl.config import TilesConfig
from cacl.errors import ManifestError, StrictError
from cacl.phantom.host import write_phantom

pytestmark = pytest.mark.slow

TILES = TilesConfig(source_px=125, tile_px=64)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    host = tmp_path_factory.mktemp("phantom") / "host"
    truth = host.with_name("truth")
    write_phantom(host, truth, antibodies=4, patients=1, seed=0, jobs=2, core_px=750)
    paths = sorted(host.rglob("*.jpg"))
    return pd.DataFrame(
        {
            "image_path": paths,
            "antibody_id": [path.parent.name for path in paths],
            "patient_id": "1",
            "label": ["positive", "negative"] * 2,
        }
    )


def test_paths_csv_and_arrays_give_the_same_model(
    manifest: pd.DataFrame, tmp_path: Path, lenient: None
) -> None:
    train = partial(cacl.train, tiles=TILES, preset="paper", max_steps=2, threads=1)
    table = train(manifest, tmp_path / "table")
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    csv = train(tmp_path / "manifest.csv", tmp_path / "csv")
    pixels = pd.Series([np.asarray(Image.open(path)) for path in manifest["image_path"]])
    in_memory = manifest.assign(image_path=pixels)
    arrays = train(in_memory, tmp_path / "arrays", work=tmp_path / "work")
    for name in ("table", "csv", "arrays"):
        checkpoint = tmp_path / name / "checkpoint.safetensors"
        assert checkpoint.read_bytes() == (tmp_path / "table/checkpoint.safetensors").read_bytes()
    assert [target.name for target in table.classes] == ["stain"]
    assert csv.digest == table.digest
    assert arrays.preset == table.preset
    store = cacl.open_store(tmp_path / "work" / "atlas.zarr")
    assert len(store.image_ids()) == 4


def test_bad_tables_are_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no image_path; give each image's path or its pixels"):
        cacl.train(manifest.drop(columns="image_path"), tmp_path)
    with pytest.raises(ManifestError, match="antibody_id"):
        cacl.train(manifest.drop(columns="antibody_id"), tmp_path)
    with pytest.raises(StrictError):
        cacl.train(manifest.assign(image_path="missing.jpg"), tmp_path)


def test_import_is_quick_and_names_are_complete() -> None:
    code = "import sys, cacl; print(sorted({'torch', 'numpy', 'dask'} & {*sys.modules}), dir(cacl))"
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.startswith("[] ")
    assert all(repr(name) in output for name in cacl.__all__)
    code = "import sys, cacl; cacl.segment; print('snakemake' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
