"""Find the cores of tissue microarrays on whole slides, and list them in a manifest."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cacl import tables
from cacl.dearray.array_map import JOINED, ArrayMap, Values, read_array_map
from cacl.dearray.cores import Status, find_cores
from cacl.dearray.grid import Grid, position_name, row_name, scaled_grid
from cacl.dearray.grid_file import grid_geojson, read_grid
from cacl.dearray.overview import Overview, read_overview
from cacl.dearray.picture import grid_picture
from cacl.dearray.tissue import tissue_mask
from cacl.errors import DearrayError
from cacl.hpa.pixel_size import CORE_UM_MAX, CORE_UM_MIN
from cacl.hpa.urls import image_id_of
from cacl.runtime.progress import track
from cacl.steps.parameters import DearrayOptions
from cacl.store import is_safe_name

log = logging.getLogger(__name__)

MANIFEST = "manifest.csv"
COLUMNS = (
    *("image_path", "antibody_id", "patient_id", "label", "position", "region", "status"),
    *("gene", "ensembl_id", "tissue", "image_id", "core_um"),
)
MAX_NAME = 80
"""Characters of a slide's name in ids, which have at most 100 with the position."""

MAX_SHOWN = 12


def dearray(slides: Sequence[Path], out: Path, options: DearrayOptions) -> str:
    """Write a manifest with a row per core of one or several slides, and a grid per slide.

    Nothing is copied from a slide: a row names the region of the core. A missing core is a place
    of the grid, and has no row.

    Parameters
    ----------
    slides
        Whole slides, or images, of one array each.
    out
        Folder for `manifest.csv`, and `<slide>.grid.jpg` and `<slide>.grid.geojson` of each slide;
        existing files are not overwritten.
    options
        Map, grid, antibody and diameter of the cores.

    Returns
    -------
    Sentences: what was found on each slide, and what to do next.

    Raises
    ------
    DearrayError
        No array is found, the map or grid does not fit, or a product exists.
    ImageError
        A slide cannot be read, or an antibody cannot be a file name.
    """
    names = _names(slides)
    if options.core_um is not None and not CORE_UM_MIN <= options.core_um <= CORE_UM_MAX:
        raise DearrayError(
            f"--core-um is {options.core_um:g}; expected the diameter of a core in micrometres, "
            f"{CORE_UM_MIN:g} to {CORE_UM_MAX:g}, such as 1000"
        )
    if options.grid is not None and len(slides) > 1:
        raise DearrayError(
            f"--grid is the grid of one slide, but {len(slides)} slides are named; run the "
            "command once per slide, each with an --out of its own"
        )
    products = [
        out / MANIFEST,
        *(_picture_path(out, name) for name in names),
        *(_grid_path(out, name) for name in names),
    ]
    existing = [str(path) for path in products if path.exists()]
    if existing:
        raise DearrayError(
            f"{existing[0]} is already there and not overwritten, because what you have filled in "
            "would be lost; name another folder with --out, and take over patients and labels "
            "with --map and the manifest"
        )
    array_map = ArrayMap(Path()) if options.map is None else read_array_map(options.map)
    rows: list[dict[str, str]] = []
    sentences = []
    grids: list[tuple[str, Overview, Grid]] = []
    named = zip(slides, names, strict=True)
    for slide, name in track(named, "dearray: slides", len(slides)):
        overview = read_overview(slide)
        grid = _grid(slide, overview, options.grid)
        values = array_map.of_slide(slide, grid)
        rows += _rows(slide, name, grid, values, _core_um(options, overview, grid), options)
        sentences.append(_describe(slide, grid))
        grids.append((name, overview, grid))
    for name, overview, grid in grids:
        tables.write_text(_grid_path(out, name), grid_geojson(grid))
        tables.write_bytes(_picture_path(out, name), grid_picture(overview, grid))
    tables.write_text(out / MANIFEST, _csv(rows))
    return "\n".join([*sentences, _next_step(out, rows)])


def _grid(slide: Path, overview: Overview, corrected: Path | None) -> Grid:
    if corrected is not None:
        grid = read_grid(corrected, overview.height, overview.width)
    else:
        tissue = tissue_mask(overview.pixels)
        cores = find_cores(tissue)
        grid = scaled_grid(cores, overview.scale, overview.height, overview.width)
    if all(core.status is Status.MISSING for core in grid.cores):
        raise DearrayError(
            f"No array of cores is found on {slide} ({overview.width:,} x {overview.height:,} px); "
            "if it shows one, draw the cores in QuPath (annotations named by their places, A1, A2, "
            "..., or QuPath's TMA dearrayer), export them as GeoJSON, and read that with --grid"
        )
    return grid


def _rows(
    slide: Path,
    name: str,
    grid: Grid,
    values: Mapping[tuple[int, int], Values],
    core_um: str,
    options: DearrayOptions,
) -> list[dict[str, str]]:
    regions = grid.regions()
    rows = []
    for core in grid.cores:
        if core.status is Status.MISSING:
            continue
        known = values.get((core.row, core.col), {})
        row = {column: known.get(column, "") for column in JOINED}
        position = position_name(core)
        row["antibody_id"] = options.antibody or row["antibody_id"] or name
        rows.append(
            {
                **row,
                "image_path": str(slide.absolute()),
                "position": position,
                "region": str(regions[core.row, core.col]),
                "status": str(core.status),
                "image_id": image_id_of(row["antibody_id"], f"{name}_{position}"),
                "core_um": core_um,
            }
        )
    return rows


def _core_um(options: DearrayOptions, overview: Overview, grid: Grid) -> str:
    """Return the diameter of a core in um: as given, else as measured; empty if unknown."""
    if options.core_um is not None:
        return f"{options.core_um:g}"
    if overview.mpp is None:
        return ""
    measured = round(grid.diameter * overview.mpp, -1)
    return f"{measured:g}" if CORE_UM_MIN <= measured <= CORE_UM_MAX else ""


def _describe(slide: Path, grid: Grid) -> str:
    rows, cols = grid.shape
    found, split, missing = (
        grid.of_status(status) for status in (Status.FOUND, Status.SPLIT, Status.MISSING)
    )
    return (
        f"{slide}: rows A to {row_name(rows - 1)}, columns 1 to {cols}, "
        f"{len(found) + len(split)} cores; split: {_shown(split)}; missing: {_shown(missing)}"
    )


def _next_step(out: Path, rows: Sequence[Mapping[str, str]]) -> str:
    missing = [name for name in ("patient_id", "label") if not all(row[name] for row in rows)]
    fill = f"fill in {' and '.join(missing)} in {out / MANIFEST}, then " if missing else ""
    return (
        f"Look at the pictures {_picture_path(out, '*')}; if a place is wrong, correct its "
        f".grid.geojson in QuPath and read it with --grid. Then {fill}set source.manifest to "
        f"{out / MANIFEST}"
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return f"{len(names)} ({', '.join(names[:MAX_SHOWN])}{more})" if names else "none"


def _names(slides: Sequence[Path]) -> list[str]:
    """Return a name of each slide that can be part of an id and of a file name.

    Raises
    ------
    DearrayError
        Two slides have the same.
    """
    names: dict[str, Path] = {}
    for slide in slides:
        name = safe_name(slide.stem)
        if name.lower() in map(str.lower, names):
            raise DearrayError(
                f"Two slides are called {name}: {slide} is one of them; rename one, or run the "
                "command for each with an --out of its own and another --antibody"
            )
        names[name] = slide
    return list(names)


def safe_name(text: str) -> str:
    """Return a name made of letters, digits, `.`, `_` and `-`, as ids of images need it."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:MAX_NAME]
    return name if is_safe_name(name) else f"slide_{name}".rstrip("_")


def _picture_path(out: Path, name: str) -> Path:
    return out / f"{name}.grid.jpg"


def _grid_path(out: Path, name: str) -> Path:
    return out / f"{name}.grid.geojson"


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
