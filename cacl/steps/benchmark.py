"""Compare CaCL and the baselines with ground truth, on test antibodies and external test sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from cacl import tables
from cacl.benchmark.cacl_methods import cacl_methods
from cacl.benchmark.cam import activation_maps, cam_methods
from cacl.benchmark.classifier import describe_accuracy_on, load_classifier
from cacl.benchmark.deconvolution import deconvolution_methods
from cacl.benchmark.evaluate import MethodResult, evaluate
from cacl.benchmark.evaluation_set import EvaluationSet, EvaluationSource, read_evaluation_set
from cacl.benchmark.gallery import Gallery, make_gallery, write_page
from cacl.benchmark.method import Method, empty_mask
from cacl.benchmark.metric_sums import MetricSums
from cacl.benchmark.table import BenchmarkRow, summarise
from cacl.config import SegmentConfig
from cacl.model.checkpoint import load_model
from cacl.model.inference.masks import Morphology
from cacl.runtime.progress import track
from cacl.steps.parameters import TrainedModels

log = logging.getLogger(__name__)


def benchmark(
    sources: Sequence[EvaluationSource],
    models: TrainedModels,
    out: Path,
    segment: SegmentConfig,
    *,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Compare all methods with ground truth: `table.csv`, `table.html`, `antibodies.parquet`.

    Baselines get the oracle threshold, which is the best on the test tiles themselves. The
    thresholds of CaCL come with its model, from training data alone.

    Parameters
    ----------
    sources
        The evaluation sets.
    models
        CaCL and the baselines that are trained.
    out
        Folder for the table.
    segment
        Postprocessing of the run's masks.
    seed
        Seed of the run, and of the samples of tiles.
    threads
        CPU threads.

    Raises
    ------
    TrainingError
        There is no test antibody, or no positive or no negative one.
    ConfigError
        The true masks cannot be used.
    StoreError
        An image is missing.
    CheckpointError
        A model cannot be used.
    """
    torch.set_num_threads(threads)
    model = load_model(models.model)
    paper = load_model(models.paper) if models.paper else None
    network, accuracy = load_classifier(models.classifier) if models.classifier else (None, {})
    morphology = Morphology(segment.morphology, segment.radius_px)
    maps = {} if network is None else activation_maps(network)
    facts = {f"Classifier, {split} tiles": text for split, text in accuracy.items()}
    sums: list[MetricSums] = []
    galleries: list[Gallery] = []
    for source in sources:
        evaluation_set = read_evaluation_set(source, seed=seed, target_class=model.classes[0].name)
        facts |= evaluation_set.facts
        if network is not None:
            facts[f"Classifier, {source.name}"] = describe_accuracy_on(network, evaluation_set)
        methods = [
            empty_mask(),
            *deconvolution_methods(),
            *cam_methods(maps),
            *cacl_methods(model, paper, morphology),
        ]
        results = _evaluate_all(methods, evaluation_set, seed)
        sums += [row for result in results for row in result.sums]
        galleries.append(make_gallery(evaluation_set, results, seed))
    for subject, text in facts.items():
        log.info("benchmark: %s: %s", subject, text)
    tables.write_parquet(out / "antibodies.parquet", sums, MetricSums)
    rows = summarise(tables.read_frame([out / "antibodies.parquet"], MetricSums))
    tables.write_csv(out / "table.csv", rows, BenchmarkRow)
    write_page(out / "table.html", rows, galleries, facts)
    for name in ("table.csv", "table.html"):
        tables.write_checked_text(out / name, (out / name).read_text(encoding="utf-8"))


def _evaluate_all(
    methods: Sequence[Method], evaluation_set: EvaluationSet, seed: int
) -> list[MethodResult]:
    tracked = track(methods, f"benchmark: {evaluation_set.name}: methods", len(methods))
    return [result for method in tracked for result in evaluate(method, evaluation_set, seed)]
