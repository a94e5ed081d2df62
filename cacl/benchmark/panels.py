"""The page of the benchmark: its table, and tiles with truth and every method's mask."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from cacl.tables import write_text

TRUTH_RGB = (0, 158, 115)
MASK_RGB = (0, 114, 178)
OPACITY = 0.7
ENLARGE = 2

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>CaCL Atlas: benchmark</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1b;background:#fff}
table{border-collapse:collapse;margin:1rem 0}
th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}
.panels{overflow-x:auto}
.panels th,.panels td{text-align:center;border:0;padding:.15rem;font-weight:normal;font-size:12px}
img{display:block;image-rendering:pixelated}
</style></head><body>
<h1>Benchmark</h1>
<p>Masks on {{ rows[0].tiles }} tiles ({{ rows[0].positive_tiles }} with truth) of
{{ rows[0].antibodies }} antibodies that training has never seen. Dice, recall, precision and BCE
in the paper's convention: a tile without truth scores 1 if its mask is empty, else 0. Baselines
called "best" have the threshold that is best on these very tiles; CaCL's comes from negative
tiles alone.</p>
<table><thead><tr>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in cells %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
<h2>Tiles</h2>
<div class="panels"><table><thead><tr><th>image</th><th>truth</th>
{% for name in panels[0].masks %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for panel in panels %}<tr>
<td><img alt="{{ panel.title }}" src="{{ panel.image }}">{{ panel.title }}</td>
<td><img alt="truth" src="{{ panel.truth }}"></td>
{% for name, picture in panel.masks.items() %}
<td><img alt="{{ name }}" src="{{ picture }}"></td>{% endfor %}
</tr>{% endfor %}</tbody></table></div>
</body></html>
"""


@dataclass(frozen=True, eq=False)
class Panel:
    """One tile, its pictures as data URIs."""

    title: str
    image: str
    truth: str
    masks: dict[str, str]


def panel(
    title: str,
    rgb: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    masks: dict[str, NDArray[np.bool_]],
) -> Panel:
    """Return the pictures of one tile.

    Parameters
    ----------
    title
        Which tile it is.
    rgb
        (3, y, x) uint8.
    truth
        (y, x) bool.
    masks
        Name of the method to its (y, x) mask.
    """
    return Panel(
        title=title,
        image=_picture(rgb, np.zeros_like(truth), TRUTH_RGB),
        truth=_picture(rgb, truth, TRUTH_RGB),
        masks={name: _picture(rgb, mask, MASK_RGB) for name, mask in masks.items()},
    )


def write_page(path: Path, rows: Sequence[Any], panels: Sequence[Panel]) -> None:
    """Write the table and the panels as one HTML file that needs nothing else."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    names = [field.name for field in fields(rows[0])]
    cells = [[_text(value) for value in astuple(row)] for row in rows]
    page = environment.from_string(PAGE)
    write_text(path, page.render(rows=rows, names=names, cells=cells, panels=panels))


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _picture(rgb: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> str:
    """Return an image with its mask laid over it, enlarged, as a PNG's data URI."""
    image = rgb.transpose(1, 2, 0).astype(np.float32)
    image[mask] = (1 - OPACITY) * image[mask] + OPACITY * np.array(colour, np.float32)
    levels = np.rint(image).astype(np.uint8).repeat(ENLARGE, axis=0).repeat(ENLARGE, axis=1)
    _, data = cv2.imencode(".png", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode("ascii")
