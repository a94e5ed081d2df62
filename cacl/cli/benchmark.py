"""Commands of the benchmark: an atlas unseen in training, the baselines' classifier, the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import default

ChosenTiles = Annotated[Path, typer.Option(help="Table of `cacl select`.")]


def unseen(
    out: opt.Out,
    setting: Annotated[str, typer.Option(help="Setting of the phantom, such as duodenum-b.")],
    number: Annotated[int, typer.Option(min=2, help="Antibodies.")] = 16,
    patients: opt.PatientCount = 1,
    source_px: opt.SourcePx = default("tiles.source_px"),
    tile_px: opt.TilePx = default("tiles.tile_px"),
    min_tissue_fraction: opt.MinTissue = default("tiles.min_tissue_fraction"),
    seed: opt.Seed = default("seed"),
    jobs: opt.Jobs = 1,
) -> None:
    """Draw and tile a synthetic atlas that nothing is trained on.

    Example: cacl unseen --setting duodenum-b --out benchmark/unseen/duodenum-b
    """
    from cacl.benchmark.external import synthesise_external

    with opt.sentences():
        synthesise_external(
            out,
            setting=setting,
            antibodies=number,
            patients=patients,
            source_px=source_px,
            tile_px=tile_px,
            min_tissue_fraction=min_tissue_fraction,
            seed=seed,
            jobs=jobs,
        )


def classifier(
    tiles: ChosenTiles,
    store: opt.StorePath,
    out: opt.Out,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 16 tiles.")] = 300,
    seed: opt.Seed = default("seed"),
    threads: opt.Threads = 2,
) -> None:
    """Train the image-wise classifier that CAM and its kin explain.

    Example: cacl classifier --tiles chosen.parquet --store atlas.zarr --out classifier
    """
    from cacl.benchmark.classifier import train_classifier

    with opt.sentences():
        train_classifier(tiles, store, out, steps=steps, seed=seed, threads=threads)


def benchmark(
    tiles: ChosenTiles,
    store: opt.StorePath,
    model: opt.ModelPath,
    truth: Annotated[Path, typer.Option(help="Folder of true masks of `cacl phantom`.")],
    out: opt.Out,
    unseen: Annotated[list[Path] | None, typer.Option(help="Of `cacl unseen`; repeat.")] = None,
    paper: Annotated[Path | None, typer.Option(help="Model of the paper's preset.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="Folder of `cacl classifier`.")] = None,
    morphology: opt.Morphology = default("segment.morphology"),
    radius_px: opt.RadiusPx = default("segment.radius_px"),
    seed: opt.Seed = default("seed"),
    threads: opt.Threads = 2,
) -> None:
    """Compare the model and the baselines with the truth.

    Example: cacl benchmark --tiles chosen.parquet --store atlas.zarr --model model
    --truth phantom/truth --unseen benchmark/unseen/duodenum-b --out benchmark
    """
    from cacl.benchmark import table
    from cacl.benchmark.evaluation_set import OWN_SET, EvaluationSource
    from cacl.model.inference.masks import Morphology

    with opt.sentences():
        table.benchmark(
            [
                EvaluationSource(OWN_SET, tiles, store, truth),
                *(EvaluationSource.external(folder) for folder in unseen or ()),
            ],
            table.ModelFolders(model, paper, classifier),
            out,
            morphology=Morphology(morphology, radius_px),
            seed=seed,
            threads=threads,
        )
