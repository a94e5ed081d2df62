"""The page of the benchmark: its tables, and tiles with truth and every method's mask."""

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

from cacl.benchmark.evaluate import Outcome
from cacl.benchmark.evaluation_set import Atlas
from cacl.benchmark.metric_sums import MEASURES
from cacl.benchmark.metrics import MIN_TRUTH_PX
from cacl.tables import write_text

TRUTH_RGB = (0, 158, 115)
MASK_RGB = (0, 114, 178)
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
    """Some tiles of an atlas: each a title and one picture a column, as data URIs."""

    atlas: str
    columns: tuple[str, ...]
    tiles: tuple[tuple[str, tuple[str, ...]], ...]


def gallery(atlas: Atlas, outcomes: Sequence[Outcome], seed: int) -> Gallery:
    """Draw some tiles with much of the pattern, and some without, by seed.

    Parameters
    ----------
    atlas
        Their images and truth.
    outcomes
        Those with masks are shown.
    seed
        Which tiles.
    """
    shown = {outcome.name: outcome.masks for outcome in outcomes if outcome.masks is not None}
    sample = atlas.sample
    area = sample.truth.sum(axis=(1, 2))
    much = np.flatnonzero(area >= max(MIN_TRUTH_PX, float(np.median(area[area > 0]))))
    rng = np.random.default_rng(seed)
    chosen = [
        *rng.permutation(much)[:POSITIVE_TILES],
        *rng.permutation(np.flatnonzero(area == 0))[:NEGATIVE_TILES],
    ]
    tiles = []
    for place in chosen:
        number, window = sample.places[int(place)]
        core = atlas.cores[number]
        rgb = core.rgb[(slice(None), *window)]
        size = window[0].stop - window[0].start
        masks = [(sample.truth[place], TRUTH_RGB)]
        masks += [(mask[place], MASK_RGB) for mask in shown.values()]
        pictures = [_picture(rgb, np.zeros_like(sample.truth[place]), TRUTH_RGB)]
        pictures += [_picture(rgb, mask, colour) for mask, colour in masks]
        title = f"{core.image_id} ({window[0].start // size}, {window[1].start // size})"
        tiles.append((title, tuple(pictures)))
    return Gallery(atlas.name, ("image", "truth", *shown), tuple(tiles))


def write_page(
    path: Path, rows: Sequence[Any], galleries: Sequence[Gallery], facts: Mapping[str, str]
) -> None:
    """Write the tables and the galleries as one HTML file that needs nothing else.

    Parameters
    ----------
    path
        The file.
    rows
        Of `table.BenchmarkRow`.
    galleries
        One an atlas.
    facts
        What else is to be said, by what it is about.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cacl.benchmark"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    atlases = {row.atlas: [one for one in rows if one.atlas == row.atlas] for row in rows}
    drawn = {one.atlas: one for one in galleries}
    text = environment.get_template("table.html.j2").render(
        atlases=atlases, galleries=drawn, facts=facts, measures=MEASURES, titles=TITLES
    )
    write_text(path, text)


def _picture(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> str:
    """Return an image with its mask laid over it, as a JPEG's data URI."""
    image = rgb.transpose(1, 2, 0).astype(np.float32)
    image[mask] = (1 - OPACITY) * image[mask] + OPACITY * np.array(colour, np.float32)
    levels = cv2.cvtColor(np.rint(image).astype(np.uint8), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
