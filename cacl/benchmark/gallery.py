"""The page of the benchmark: its tables, and tiles with the ground truth and all masks."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluate import MethodResult
from cacl.benchmark.evaluation_set import EvaluationSet
from cacl.benchmark.metric_sums import MEASURES
from cacl.benchmark.metrics import MIN_POSITIVE_PX
from cacl.image.palette import stain_colour
from cacl.tables import write_text

MASK_COLOUR, TRUTH_COLOUR = stain_colour(0), stain_colour(1)
OPACITY = 0.8
POSITIVE_TILES, NEGATIVE_TILES = 4, 2
JPEG_QUALITY = 88
TITLES = {
    "dice": "Dice",
    "recall": "recall",
    "precision": "precision",
    "bce": "BCE",
    "dice_positive": "Dice, positive tiles",
    "boundary_f1": "boundary F1, 2 px",
    "negative_percent": "stained on negative tiles, %",
    "ccc": "CCC of the ratio",
}


@dataclass(frozen=True, eq=False)
class Gallery:
    """Some tiles of an evaluation set.

    Parameters
    ----------
    evaluation_set
        Name of the set.
    columns
        Title of each column: image, ground truth, methods.
    tiles
        Title of each tile, and one data URI per column.
    """

    evaluation_set: str
    columns: tuple[str, ...]
    tiles: tuple[tuple[str, tuple[str, ...]], ...]


def make_gallery(
    evaluation_set: EvaluationSet, results: Sequence[MethodResult], seed: int
) -> Gallery:
    """Draw some tiles with a large stained area and some negative ones, at random.

    Parameters
    ----------
    evaluation_set
        Images and ground truth.
    results
        Methods; those with masks are shown.
    seed
        Seed of the choice of tiles.
    """
    masks_by_name = {result.name: result.masks for result in results if result.masks is not None}
    sample = evaluation_set.sample
    area = sample.ground_truth.sum(axis=(1, 2))
    min_area = max(MIN_POSITIVE_PX, float(np.median(area[area > 0])))
    rng = np.random.default_rng(seed)
    indices = [
        *rng.permutation(np.flatnonzero(area >= min_area))[:POSITIVE_TILES],
        *rng.permutation(np.flatnonzero(area == 0))[:NEGATIVE_TILES],
    ]
    tiles = []
    for index in indices:
        image_index, window = sample.positions[int(index)]
        image = evaluation_set.images[image_index]
        rgb = image.rgb[(slice(None), *window)]
        size = window[0].stop - window[0].start
        true_mask = sample.ground_truth[index]
        overlays = [(np.zeros_like(true_mask), TRUTH_COLOUR), (true_mask, TRUTH_COLOUR)]
        overlays += [(masks[index], MASK_COLOUR) for masks in masks_by_name.values()]
        uris = [_overlay_uri(rgb, mask, colour) for mask, colour in overlays]
        title = f"{image.image_id} ({window[0].start // size}, {window[1].start // size})"
        tiles.append((title, tuple(uris)))
    return Gallery(evaluation_set.name, ("image", "ground truth", *masks_by_name), tuple(tiles))


def write_page(
    path: Path, rows: Sequence[Any], galleries: Sequence[Gallery], facts: Mapping[str, str]
) -> None:
    """Write the tables and the galleries as one self-contained HTML file.

    Parameters
    ----------
    path
        The file.
    rows
        Of `table.BenchmarkRow`.
    galleries
        One per evaluation set.
    facts
        Further statements by their subject.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cacl.benchmark"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows_by_set: dict[str, list[Any]] = {}
    for row in rows:
        rows_by_set.setdefault(row.evaluation_set, []).append(row)
    text = environment.get_template("table.html.j2").render(
        rows_by_set=rows_by_set,
        galleries={gallery.evaluation_set: gallery for gallery in galleries},
        facts=facts,
        measures=MEASURES,
        titles=TITLES,
    )
    write_text(path, text)


def _overlay_uri(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]
) -> str:
    """Return an image with a mask laid over it, as the data URI of a JPEG."""
    image = rgb.transpose(1, 2, 0).astype(np.float32)
    image[mask] = (1 - OPACITY) * image[mask] + OPACITY * np.array(colour, np.float32)
    bgr = cv2.cvtColor(np.rint(image).astype(np.uint8), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
