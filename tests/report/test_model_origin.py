"""What the report says of a model of another run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cacl.errors import CheckpointError
from cacl.report.model_origin import ModelOrigin, describe_origin
from cacl.runtime.file_digest import json_with_digest
from cacl.stain.vectors import StainVectors
from tests.fixtures.reports import cores, page_of, run, write_model
from tests.fixtures.small_atlas import build

TILE_PX = 100
TRAINED: dict[str, Any] = {
    "train": ["A", "B"],
    "validation": ["C"],
    "mpp": [1.0, 1.2],
    "tissue_fraction": [0.4, 0.8],
    "dab_fraction": [0.01, 0.2],
}
MODEL = {"training_data": TRAINED, "file_sha256": "0123456789abcdef"}


def images(**changes: list[object]) -> pd.DataFrame:
    """Return three images within the training ranges, with other values in some columns."""
    values: dict[str, list[object]] = {
        "image_id": ["A/a", "D/d", "E/e"],
        "antibody_id": ["A", "D", "E"],
        "mpp": [1.1, 1.1, 1.1],
        "tiles": [2, 2, 2],
        "cell_area_px": [10_000, 12_000, 14_000],
        "dab_area_px": [1000, 1000, 1000],
    }
    return pd.DataFrame(values | changes).convert_dtypes()


def warnings(frame: pd.DataFrame, **trained: object) -> tuple[str, ...]:
    model = {"training_data": TRAINED | trained}
    return describe_origin(Path("m"), model, frame, TILE_PX).warnings


def test_model_of_this_run_has_no_origin() -> None:
    assert describe_origin(None, {}, images(), TILE_PX) == ModelOrigin()


def test_sentence_names_source_digest_and_known_antibodies() -> None:
    origin = describe_origin(Path("../first/results/model"), MODEL, images(), TILE_PX)
    assert origin.warnings == ()
    assert origin.sentence == (
        "This run trained no model: weights and thresholds are those of ../first/results/model, "
        "digest 0123456789ab. That model has seen 3 antibodies, of which 1 are in this run; "
        "spike-in controls and benchmark use others only."
    )


def test_images_outside_the_training_ranges_are_named() -> None:
    (size,) = warnings(images(mpp=[0.5, 1.31, 2.0]))
    assert size == (
        "2 of 3 images differ from the model's training images in the pixel size: 0.5 um to 2 um, "
        "trained on 1 um to 1.2 um. Look at their masks (A/a, E/e)."
    )
    (tissue,) = warnings(images(cell_area_px=[7000, 12_000, 14_000]))
    assert tissue.startswith("1 of 3 images differ")
    assert "in the tissue fraction of the tiles: 35" in tissue
    (dab,) = warnings(images(dab_area_px=[1000, 1000, 4000]))
    assert "in the DAB-positive fraction of the cell area: 28.6" in dab
    assert "(E/e)" in dab


def test_values_within_ten_per_cent_of_the_range_are_no_warning() -> None:
    assert warnings(images(mpp=[0.92, 1.31, 1.1])) == ()


def test_unknown_sizes_are_no_warning_but_sizes_without_a_range_are() -> None:
    assert warnings(images(mpp=[None, None, 1.1])) == ()
    (unknown,) = warnings(images(), mpp=None)
    assert unknown.startswith("The pixel size of the model's training images is unknown")
    unknown_here = images(mpp=[None, None, None], cell_area_px=[0, 0, 0], tiles=[2, 2, 2])
    assert all("pixel size" not in text for text in warnings(unknown_here, mpp=None))


def test_other_stain_vectors_than_in_the_training_are_a_warning() -> None:
    own = StainVectors.of((0.64, 0.63, 0.44), (0.40, 0.58, 0.71))
    arguments = Path("m"), {"training_data": TRAINED}, images(), TILE_PX
    (text,) = describe_origin(*arguments, own).warnings
    assert text.startswith(
        "The stain vectors of this run (haematoxylin 0.64 0.63 0.44, DAB 0.40 0.58 0.71) differ "
        "from those of the model's training images (haematoxylin 0.65 0.70 0.29, DAB 0.27 0.57 "
        "0.78) by up to 10 degrees"
    )
    trained = {"hematoxylin": own.hematoxylin, "dab": own.dab}
    same = {"training_data": TRAINED | {"stain_vectors": trained}}
    assert describe_origin(Path("m"), same, images(), TILE_PX, own).warnings == ()
    assert len(describe_origin(Path("m"), same, images(), TILE_PX).warnings) == 1


def test_model_without_a_record_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no record of its training data .* train that"):
        describe_origin(Path("m"), {}, images(), TILE_PX)


def test_page_shows_origin_and_warnings(tmp_path: Path) -> None:
    atlas = build(tmp_path, cores())
    atlas.measure()
    write_model(atlas)
    path = atlas.path("model/model.json")
    description = json.loads(path.read_text())
    path.write_bytes(json_with_digest(description | {"training_data": TRAINED}))
    (tmp_path / "none.csv").write_text("image_id,stage,reason,message,source\n")
    folder = run(atlas, failures=[tmp_path / "none.csv"], reused_model=Path("first/<model>"))
    page = page_of(folder)
    assert "weights and thresholds are those of first/&lt;model&gt;, digest" in page
    assert "differ from the model&#39;s training images in the DAB-positive fraction" in page
    first_section = page.index("differ from the model&#39;s training images")
    assert first_section < page.index('id="model"')
    methods = (folder / "methods.md").read_text(encoding="utf-8")
    assert "with the model of another run, trained with image-wise labels only" in methods
    assert "(annotation of" not in methods
