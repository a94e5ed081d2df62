"""Write painted cores of real tissue, with ground truth and manifest, as a run's input.

The split of `cacl select` depends on labels and seed alone, so it is known before the cores are
painted: test antibodies get sections of patients that no other antibody has.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from benchmarks._lib.counterstain import (
    CYTOPLASM_OD,
    NUCLEUS_OD,
    counterstain,
    draw_camera,
    render,
    separate_he,
)
from benchmarks._lib.gland_lumens import find_glands
from benchmarks._lib.painted_tissue import SETTING, Antibody, Tissue, draw_antibody, nuclei, paint
from cacl.image.stain import Bool, UInt8
from cacl.phantom.fields import generator, within
from cacl.steps.select import split_antibodies
from cacl.tables.selection import NEGATIVE, POSITIVE, Split

MPP = 0.62
SOURCE_PX, TILE_PX = 242, 128
"""Sides of a tile: a pixel of the store is 1.17 um wide, as that of HPA's cores."""
MIN_TILES = 2
"""Smallest height and width of a section, in tiles; cores are whole tiles."""
JPEG_QUALITY = 85
TEST_PATIENTS = ("4", "9")
# Lumens cannot be told from vacuoles: the crypts of patient 3 are torn, those of patient 13 full.
LEFT_OUT_PATIENTS = ("3", "13")
MIN_BORDER_UM = 300.0
COLUMNS = ("image_path", "antibody_id", "patient_id", "label", "tissue", "mpp")


@dataclass(frozen=True, eq=False)
class Section:
    """One H&E image of a patient, and what can be stained in it."""

    name: str
    patient_id: str
    tissue: Tissue

    @property
    def border_um(self) -> float:
        """Length of the apical border, from its pixels."""
        return float(self.tissue.glands.apical.sum()) * self.tissue.mpp


@dataclass(frozen=True)
class Core:
    """A core to paint: number and id of its antibody, its section, and its number."""

    number: int
    antibody_id: str
    section: str
    index: int

    @property
    def image_id(self) -> str:
        """Identifier of the core in the run."""
        return f"{self.antibody_id}/{self.antibody_id}_{self.index}"


def read_sections(folder: Path) -> list[Section]:
    """Return the sections of GlaS that are used, in the order of its table.

    Parameters
    ----------
    folder
        `images/`, `masks/` and `grades.csv` of GlaS (Sirinukunwattana et al., Med Image Anal 2017).

    Raises
    ------
    FileNotFoundError
        The folder or an image is missing.
    """
    sections = []
    with (folder / "grades.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["patient_id"] in LEFT_OUT_PATIENTS:
                continue
            rgb = read_image(folder / "images" / f"{row['name']}.png")
            mask = read_image(folder / "masks" / f"{row['name']}.png")[..., 0] > 0
            if min(mask.shape) < MIN_TILES * SOURCE_PX:
                continue
            section = Section(row["name"], row["patient_id"], find_tissue(rgb, mask, MPP))
            if section.border_um >= MIN_BORDER_UM:
                sections.append(section)
    return sections


def read_image(path: Path) -> UInt8:
    """Return an image file as (y, x, 3) RGB.

    Raises
    ------
    FileNotFoundError
        There is no such image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(
            f"{path} is no readable image; expected the folder of GlaS with images/, masks/ and "
            "grades.csv"
        )
    return np.ascontiguousarray(image[..., ::-1])


def find_tissue(rgb: UInt8, gland: Bool, mpp: float) -> Tissue:
    """Return what can be stained in an H&E image (y, x, 3) with masks of its glands (y, x)."""
    he = separate_he(rgb)
    rng = generator("reference counterstain")
    density = counterstain(he, float(np.mean(NUCLEUS_OD)), float(np.mean(CYTOPLASM_OD)))
    stained = render(density, np.zeros_like(density), draw_camera(rng), rng)
    glands = find_glands(rgb, stained, gland, mpp)
    return Tissue(he, gland, glands, nuclei(he, glands.cell, mpp), mpp)


def plan_cores(
    positive: Mapping[int, bool],
    sections: Sequence[tuple[str, str]],
    *,
    cores: int,
    seed: int,
) -> list[Core]:
    """Return the cores of all antibodies.

    Parameters
    ----------
    positive
        Whether an antibody of a number is positive.
    sections
        Name and patient of each section.
    cores
        Cores per antibody, each of another section.
    seed
        Seed of the split of antibodies, as in `cacl select`, and of the sections.

    Returns
    -------
    Of each split, the n-th positive and the n-th negative antibody share their sections, so that
    the tissue tells nothing about the label.

    Raises
    ------
    ValueError
        There are fewer sections for an antibody than cores.
    """
    splits = splits_of(positive, seed)
    planned: list[Core] = []
    for is_test in (False, True):
        names = [name for name, patient in sections if (patient in TEST_PATIENTS) == is_test]
        if len(names) < cores:
            raise ValueError(
                f"{cores} cores need as many sections, found {len(names)} of "
                f"{'test' if is_test else 'training'} patients"
            )
        for label in (True, False):
            members = [
                number
                for number in positive
                if positive[number] == label
                and (splits[antibody_name(number)] == Split.TEST) == is_test
            ]
            hands = dealt(names, len(members), cores, seed)
            planned += [
                Core(number, antibody_name(number), name, index)
                for number, hand in zip(members, hands, strict=True)
                for index, name in enumerate(hand, start=1)
            ]
    return sorted(planned, key=lambda core: (core.number, core.index))


def splits_of(positive: Mapping[int, bool], seed: int) -> dict[str, Split]:
    """Return the split of each antibody, as `cacl select` makes it."""
    labels = {antibody_name(number): label_of(positive[number]) for number in positive}
    return split_antibodies(labels, seed)


def dealt(names: Sequence[str], hands: int, size: int, seed: int) -> list[list[str]]:
    """Return `hands` lists of `size` different names; a shuffled deck is dealt until too small."""
    result: list[list[str]] = []
    for deck in range(hands):
        order = generator("sections", seed, *names, deck).permutation(len(names))
        shuffled = [names[int(index)] for index in order]
        result += [
            shuffled[start : start + size] for start in range(0, len(names) - size + 1, size)
        ]
        if len(result) >= hands:
            break
    return result[:hands]


def write_cores(
    folder: Path, sections: Sequence[Section], *, antibodies: int, cores: int, seed: int
) -> list[Core]:
    """Write `images/`, `truth/` and `manifest.csv`; return the cores.

    Parameters
    ----------
    folder
        Working directory of the run.
    sections
        The sections.
    antibodies, cores
        Number of antibodies, every other one positive, and of cores of each.
    seed
        Seed of antibodies, split, sections and images.
    """
    by_name = {section.name: section for section in sections}
    drawn = {number: draw_antibody(seed, number) for number in range(1, antibodies + 1)}
    planned = plan_cores(
        {number: antibody.staining.positive for number, antibody in drawn.items()},
        [(section.name, section.patient_id) for section in sections],
        cores=cores,
        seed=seed,
    )
    rows = []
    for core in planned:
        antibody, section = drawn[core.number], by_name[core.section]
        rgb, truth = paint_core(section.tissue, antibody, (seed, core.number, core.index))
        image = Path("images") / f"{core.image_id}.jpg"
        _write(folder / image, simplejpeg.encode_jpeg(rgb, JPEG_QUALITY))
        _, png = cv2.imencode(".png", truth)
        _write(folder / "truth" / f"{core.image_id}.png", png.tobytes())
        label = label_of(antibody.staining.positive)
        rows.append((image, core.antibody_id, section.patient_id, label, "colon", MPP))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    return planned


def paint_core(
    tissue: Tissue, antibody: Antibody, seed: tuple[int, int, int]
) -> tuple[UInt8, UInt8]:
    """Return image (y, x, 3) and ground truth (y, x) of one core.

    The core is a cut of whole tiles from the section, at a random place, in one of eight
    symmetries.
    """
    rng = generator("painted core", *seed)
    coverage = antibody.staining.coverage * within(rng, SETTING.densities.patient_coverage)
    camera = draw_camera(rng, antibody.dab)
    hematoxylin = counterstain(tissue.he, within(rng, NUCLEUS_OD), within(rng, CYTOPLASM_OD))
    dab, truth = paint(rng, tissue, antibody, coverage)
    rgb = render(hematoxylin, dab, camera, rng)
    cut = tuple(_whole_tiles(rng, side) for side in truth.shape)
    rgb, truth = rgb[cut], truth[cut]
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    rgb, truth = np.rot90(rgb, turns), np.rot90(truth, turns)
    if mirrored:
        rgb, truth = rgb[:, ::-1], truth[:, ::-1]
    return np.ascontiguousarray(rgb), np.ascontiguousarray(truth)


def _whole_tiles(rng: np.random.Generator, side_px: int) -> slice:
    """Return as many whole tiles of a side as fit, at a random place."""
    length = side_px // SOURCE_PX * SOURCE_PX
    start = int(rng.integers(side_px - length + 1))
    return slice(start, start + length)


def antibody_name(number: int) -> str:
    """Return the id of an antibody."""
    return f"PAINT{number:04d}"


def label_of(positive: bool) -> str:
    """Return the label of an antibody's images."""
    return POSITIVE if positive else NEGATIVE


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
