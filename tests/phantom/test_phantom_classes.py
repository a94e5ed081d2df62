"""The phantom with three structures: staining, ground truth and annotation of each."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import TypedDict, Unpack

import cv2
import numpy as np
import pytest

from cacl.benchmark.ground_truth import read_ground_truth
from cacl.image.tile_grid import TileGrid
from cacl.phantom import SETTINGS, write_phantom
from cacl.phantom.anatomy import Anatomy, draw_anatomy
from cacl.phantom.fields import generator
from cacl.phantom.imaging import MASK_VALUES, ground_truth_png
from cacl.phantom.render import render
from cacl.phantom.settings import BRUSH_BORDER_SETTINGS, Setting
from cacl.phantom.stain_maps import StainMaps
from cacl.phantom.staining import annotate, draw_staining
from tests.fixtures.phantoms import text_of, tissue_cell

SETTING = SETTINGS["patterns-a"]
CORE_PX = 500


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return draw_anatomy(generator("anatomy"), SETTING.geometry, CORE_PX)


class StainingChanges(TypedDict, total=False):
    """Fields of `Staining` that a test sets."""

    positive: bool
    cytoplasm_od: float
    nuclei_od: float
    stroma_od: float
    stroma_fraction: float


def rendered(
    anatomy: Anatomy, setting: Setting = SETTING, **changes: Unpack[StainingChanges]
) -> StainMaps:
    plain = dataclasses.replace(
        draw_staining(0, SETTING, 1),
        positive=False,
        border_od=0.9,
        cytoplasm_od=0.0,
        nuclei_od=0.0,
        stroma_od=0.8,
    )
    staining = dataclasses.replace(plain, **changes)
    return render(generator("paint"), anatomy, setting, staining, coverage=0.8)


def ground_truth(maps: StainMaps) -> np.ndarray:
    data = np.frombuffer(ground_truth_png(maps, CORE_PX), np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert mask is not None
    return mask


@pytest.mark.parametrize("stained", list(product([False, True], repeat=3)))
def test_ground_truth_contains_exactly_the_stained_structures(
    anatomy: Anatomy, stained: tuple[bool, bool, bool]
) -> None:
    border, cytoplasm, nuclei = stained
    maps = rendered(anatomy, positive=border, cytoplasm_od=0.4 * cytoplasm, nuclei_od=0.6 * nuclei)
    values = set(np.unique(ground_truth(maps)).tolist()) - {0, 1}
    expected = zip(("microvilli", "cytoplasm", "nucleus"), stained, strict=True)
    assert values == {MASK_VALUES[name] for name, is_stained in expected if is_stained}


def test_stained_structures_have_more_dab(anatomy: Anatomy) -> None:
    bare = rendered(anatomy, stroma_od=0.0)
    full = rendered(anatomy, stroma_od=0.0, cytoplasm_od=0.4, nuclei_od=0.6)
    more = full.dab - bare.dab
    assert np.median(more[full.nuclei]) > 0.3
    assert np.median(more[full.cytoplasm]) > 0.2
    neither = full.cell & ~full.nuclei & ~full.cytoplasm
    assert np.median(more[neither]) < 0.05
    assert not (full.nuclei & full.cytoplasm).any()


def test_stained_stroma_is_not_epithelial_cytoplasm(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, cytoplasm_od=0.4, stroma_fraction=1.0)
    brown_stroma = (maps.dab > 0.3) & maps.cell & ~maps.cytoplasm
    assert brown_stroma.sum() > 0.05 * maps.cell.sum()
    assert maps.cytoplasm.sum() > 0.1 * maps.cell.sum()


def test_duodenum_settings_have_only_the_border_as_ground_truth(anatomy: Anatomy) -> None:
    maps = rendered(anatomy, SETTINGS["duodenum-a"], positive=True, cytoplasm_od=0.3, nuclei_od=0.6)
    values = ground_truth(maps)
    assert set(np.unique(values).tolist()) == {0, 1, 2}
    assert tuple(f"duodenum-{letter}" for letter in "abcdef") == BRUSH_BORDER_SETTINGS


def test_structures_are_stained_independently() -> None:
    stainings = [draw_staining(1, SETTING, number) for number in range(1, 401)]
    stained = np.array(
        [
            (staining.positive, staining.cytoplasm_od > 0, staining.nuclei_od > 0)
            for staining in stainings
        ]
    )
    assert np.all((stained.mean(axis=0) > 0.4) & (stained.mean(axis=0) < 0.7))
    together = np.corrcoef(stained.T.astype(float))
    assert np.abs(together[~np.eye(3, dtype=bool)]).max() < 0.2


@pytest.mark.parametrize(
    ("cytoplasm", "nuclei", "location"),
    [
        (0.4, 0.6, "cytoplasmic/membranous,nuclear"),
        (0.4, 0.0, "cytoplasmic/membranous"),
        (0.0, 0.6, "nuclear"),
        (0.0, 0.0, "none"),
    ],
)
def test_annotation_names_the_stained_locations(
    cytoplasm: float, nuclei: float, location: str
) -> None:
    staining = dataclasses.replace(
        draw_staining(0, SETTING, 1), cytoplasm_od=cytoplasm, nuclei_od=nuclei
    )
    annotations = {line.cell_type: line for line in annotate(staining)}
    assert annotations["Enterocytes"].location == location
    assert (annotations["Enterocytes"].staining == "not detected") == (location == "none")


def test_annotation_agrees_with_ground_truth_files(tmp_path: Path) -> None:
    write_phantom(
        tmp_path / "host",
        tmp_path / "truth",
        antibodies=6,
        patients=1,
        seed=2,
        jobs=2,
        setting="patterns-a",
        core_px=CORE_PX,
    )
    grid = TileGrid(CORE_PX, CORE_PX, source_px=125, tile_px=64)
    for mask in sorted((tmp_path / "truth").rglob("*.png")):
        number = mask.stem.partition("_")[0]
        image_id = f"HPA{number}/{mask.stem}"
        cell = tissue_cell(tmp_path / "host" / f"ENSG00000{number}.xml", "Enterocytes")
        for word, name in (("cytoplasmic", "cytoplasm"), ("nuclear", "nucleus")):
            stained, cells = read_ground_truth(
                tmp_path / "truth", image_id, grid, MASK_VALUES[name]
            )
            assert (word in text_of(cell, "location")) == stained.any()
            assert not (stained & ~cells).any()
