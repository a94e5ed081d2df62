"""Compare CaCL and the baselines with true masks, on test antibodies and on external test sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from cacl import tables
from cacl.benchmark import cacl_methods, cam, deconvolution, external
from cacl.benchmark.classifier import accuracy_on, load_classifier
from cacl.benchmark.evaluate import Outcome, evaluate
from cacl.benchmark.evaluation_set import Atlas, read_atlas
from cacl.benchmark.gallery import Gallery, gallery, write_page
from cacl.benchmark.method import Method, nothing
from cacl.benchmark.metric_sums import Tally
from cacl.benchmark.table import BenchmarkRow, summarise
from cacl.config import SegmentConfig
from cacl.model.checkpoint import load_model
from cacl.model.inference.masks import Morphology
from cacl.runtime.progress import track
from cacl.steps.parameters import EvaluationFiles, TrainedModels

log = logging.getLogger(__name__)
OWN_TEST_SPLIT = "test split"


def benchmark(
    files: EvaluationFiles,
    models: TrainedModels,
    out: Path,
    segment: SegmentConfig,
    *,
    external_sets: Sequence[Path] = (),
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Write `table.csv`, `table.html` and `antibodies.parquet`: all methods against true masks.

    Baselines get the threshold that is best on the tiles of the test itself; CaCL's thresholds
    come with its model, from training data only.

    Parameters
    ----------
    files
        Test split of the run itself.
    models
        CaCL and the baselines that are trained.
    out
        Folder for the table.
    segment
        Postprocessing of the run's masks.
    external_sets
        Folders of `cacl benchmark-data`, each named as the table is to name it.
    seed
        Seed of the run; also of the sample of tiles and of the intervals.
    threads
        CPU threads.

    Raises
    ------
    TrainingError
        There is no test antibody, or none with the class.
    ConfigError
        A true mask is missing.
    StoreError
        An image is missing.
    CheckpointError
        A model cannot be used.
    """
    torch.set_num_threads(threads)
    trained = load_model(models.model)
    paper = load_model(models.paper) if models.paper else None
    network, facts = load_classifier(models.classifier) if models.classifier else (None, {})
    cam_maps = {} if network is None else cam.maps(network)
    facts = {f"Classifier, {split} tiles": fact for split, fact in facts.items()}
    sources = [(OWN_TEST_SPLIT, files.tiles, files.store, files.truth)]
    for folder in external_sets:
        tiles, store, truth = (folder / name for name in external.FILES)
        sources.append((folder.name, tiles, store, truth))
    morphology = Morphology(segment.morphology, segment.radius_px)
    tallies: list[Tally] = []
    galleries: list[Gallery] = []
    for name, tiles, store, truth in sources:
        evaluation_set = read_atlas(name, tiles, store, truth, seed=seed)
        if network is not None:
            facts[f"Classifier, {name}"] = accuracy_on(network, evaluation_set)
        methods = [nothing(), *deconvolution.methods(), *cam.methods(cam_maps)]
        methods += cacl_methods.methods(trained, paper, morphology)
        outcomes = _evaluate_all(methods, evaluation_set, seed)
        tallies += [tally for outcome in outcomes for tally in outcome.tallies]
        galleries.append(gallery(evaluation_set, outcomes, seed))
    for what, fact in facts.items():
        log.info("benchmark: %s: %s", what, fact)
    tables.write_parquet(out / "antibodies.parquet", tallies, Tally)
    rows = summarise(tables.read_frame([out / "antibodies.parquet"], Tally))
    tables.write_csv(out / "table.csv", rows, BenchmarkRow)
    write_page(out / "table.html", rows, galleries, facts)


def _evaluate_all(methods: Sequence[Method], evaluation_set: Atlas, seed: int) -> list[Outcome]:
    progress = track(methods, f"benchmark: {evaluation_set.name}: methods", len(methods))
    return [outcome for method in progress for outcome in evaluate(method, evaluation_set, seed)]
