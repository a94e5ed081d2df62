"""Estimate the stain vectors of a run from a sample of its images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cacl import tables
from cacl.config import TilesConfig
from cacl.errors import ConfigError, StainError
from cacl.hpa.provenance import check_before_reading
from cacl.hpa.slide_digests import slide_digests
from cacl.image.readers import check_size, memory_need, open_source
from cacl.image.region import parse_region
from cacl.image.stain import UInt8, optical_density
from cacl.image.stain_estimate import estimate_vectors, residual_fraction, stained_pixels
from cacl.image.tile_grid import TileGrid
from cacl.runtime.file_digest import json_with_digest, read_json_with_digest
from cacl.runtime.images import run_images
from cacl.runtime.memory import process_budget
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.stain.config import ESTIMATED, NAMES, StainConfig
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.stats.intervals import seed_of
from cacl.tables.schemas import AcquiredRow

log = logging.getLogger(__name__)

MAX_IMAGES, MAX_TRIED = 50, 100
# A core of 3000 px has 64 tiles; of a slide so many are drawn.
MAX_TILES = 64
PIXELS_PER_IMAGE = 20_000


def estimate_stain(
    acquired: Sequence[Path], out: Path, config: TilesConfig, *, seed: int = 0, jobs: int = 1
) -> None:
    """Write the stain vectors of a run as JSON, estimated from at most `MAX_IMAGES` images.

    Equal images and seed give equal bytes, whatever the number of tables and jobs. An image that
    cannot be read is replaced by another one; `cacl tile` records its failure.

    Parameters
    ----------
    acquired
        Tables of `AcquiredRow`, of all shards.
    out
        The file; see `read_estimate`.
    config
        Sides of a tile: the colours are those of analysis pixels.
    seed
        Seed of the choice of images, tiles and pixels.
    jobs
        Number of images that are read at the same time.

    Raises
    ------
    StainError
        The images hold too little stain, or no two stains like haematoxylin and DAB.
    DiskError, ResourceError
        Memory or file handles are short.
    """
    rows = [row for path in acquired for row in tables.read_parquet(path, AcquiredRow)]
    samples = _samples(rows, config, seed, jobs)
    if not samples:
        raise StainError(
            "The stain vectors cannot be estimated: no image could be read; see the messages "
            "above, or set stain.vectors to fixed"
        )
    density = optical_density(np.concatenate(samples, axis=1)).astype(np.float64)
    vectors = estimate_vectors(density)
    residuals = {
        name: round(residual_fraction(density, each), 4)
        for name, each in (("fixed", REFERENCE), (ESTIMATED, vectors))
    }
    document = {
        "estimate_version": STEP_VERSIONS["estimate_stain"],
        "seed": seed,
        "images": len(samples),
        "pixels": density.shape[1],
        "residual_fraction": residuals,
        **{name: list(getattr(vectors, name)) for name in NAMES},
    }
    tables.write_atomically(out, lambda path: path.write_bytes(json_with_digest(document)))
    log.info(
        "estimate-stain: %s; unexplained density %.3f, with the fixed vectors %.3f",
        vectors.describe(),
        residuals[ESTIMATED],
        residuals["fixed"],
    )


def read_estimate(path: Path) -> StainVectors:
    """Return the stain vectors that `estimate_stain` wrote.

    Raises
    ------
    StainError
        The file is missing or damaged.
    """
    try:
        document = read_json_with_digest(path.read_bytes())
        return StainVectors.of(*(document[name] for name in NAMES))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StainError(
            f"{path} is missing or damaged ({error}); run `cacl estimate-stain` again (`snakemake "
            "--forcerun estimate_stain`)"
        ) from error


def chosen_vectors(stain: StainConfig, estimate: Path | None) -> StainVectors:
    """Return the stain vectors of a run: the reference, those of the user, or the estimate.

    Parameters
    ----------
    stain
        The configuration.
    estimate
        File of `estimate_stain`, which only `estimated` reads.

    Raises
    ------
    ConfigError
        The vectors are to be estimated, and no file is named.
    StainError
        The file is missing or damaged.
    """
    if isinstance(stain.vectors, StainVectors):
        return stain.vectors
    if stain.vectors != ESTIMATED:
        return REFERENCE
    if estimate is None:
        raise ConfigError(
            "stain.vectors is estimated, and no estimate is named; run `cacl estimate-stain` and "
            "name its file with --estimate"
        )
    return read_estimate(estimate)


def _samples(rows: Iterable[AcquiredRow], config: TilesConfig, seed: int, jobs: int) -> list[UInt8]:
    """Return stained pixels (3, n) of images in random order, until there are enough."""

    def sample(row: AcquiredRow) -> UInt8:
        return _stained_pixels(row, config, np.random.default_rng(seed_of(row.image_id, seed)))

    remaining = sorted(rows, key=lambda row: (seed_of(row.image_id, seed), row.image_id))
    remaining = remaining[:MAX_TRIED]
    samples: list[UInt8] = []
    while remaining and (missing := MAX_IMAGES - len(samples)) > 0:
        batch, remaining = remaining[:missing], remaining[missing:]
        outcome = run_images(
            "estimate-stain", batch, sample, source=lambda row: row.path, jobs=jobs
        )
        samples += outcome.results
    return samples


def _stained_pixels(row: AcquiredRow, config: TilesConfig, rng: np.random.Generator) -> UInt8:
    """Return at most `PIXELS_PER_IMAGE` stained pixels of at most `MAX_TILES` tiles, (3, n).

    Raises
    ------
    ImageError
        The image cannot be read, is smaller than a tile, or has changed since it was acquired.
    """
    path, region = Path(row.path), parse_region(row.region)
    source_px, tile_px = config.source_px, config.tile_px
    check = check_before_reading(path, row.sha256, None if region is None else slide_digests())
    need = memory_need(path, source_px=source_px, tile_px=tile_px, region=region)
    budget = process_budget().take(need, f"estimate-stain: {row.image_id}")
    with budget, open_source(path, region) as source:
        grid = TileGrid(source.height, source.width, source_px, tile_px)
        check_size(source, grid)
        chosen = np.sort(rng.permutation(grid.rows * grid.cols)[:MAX_TILES]).tolist()
        tiles = []
        for row_index, col_index in (divmod(index, grid.cols) for index in chosen):
            ranges = range(row_index, row_index + 1), range(col_index, col_index + 1)
            tiles.append(stained_pixels(source.read(grid, *ranges)))
        check()
    pixels = np.concatenate(tiles, axis=1)
    kept = np.sort(rng.permutation(pixels.shape[1])[:PIXELS_PER_IMAGE])
    return pixels[:, kept]
