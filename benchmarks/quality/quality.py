"""Compare all methods over several seeds of the atlas, the training and the test antibodies.

A seed is a run of its own: `snakemake --config seed=<seed> "train={preset: robust}" -- benchmark`
in a folder of its own. Then the antibodies of all seeds are pooled. With other settings than the
demo's, the table says on which one each model is trained.

Example: python -m benchmarks.quality.quality --seeds 3
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks._lib.report import CHECKOUT, RESULTS, write_table
from benchmarks._lib.runs import SharedRun
from cacl import tables
from cacl.benchmark.metric_sums import MetricSums
from cacl.benchmark.table import ALL_SEEDS, BenchmarkRow, summarise

SHOWN_PER_SEED = ("CaCL paper", "final method")
RUNS, DEMO = Path("results/seeds"), "duodenum-a"
SHOWN = {
    "dice": "Dice, paper's",
    "dice_positive": "Dice, positive tiles",
    "boundary_f1": "boundary F1",
    "negative_percent": "negatives stained, %",
    "ccc": "CCC",
}


def compare(of_seed: SharedRun, *, again: bool) -> Path:
    """Run the benchmark of one seed unless it is finished; return its table of antibodies."""
    command = of_seed.command(*["--forcerun", "benchmark"] * again, targets=("benchmark",))
    subprocess.run(command, check=True, cwd=CHECKOUT)  # nosec B603  # a list, no shell
    return of_seed.folder / "results" / "benchmark" / "antibodies.parquet"


def line(row: BenchmarkRow) -> list[str]:
    """Return a row of the Markdown table."""
    cells = [row.evaluation_set, row.seed, row.method]
    for name in SHOWN:
        value, low, high = (getattr(row, name + end) for end in ("", "_low", "_high"))
        cells.append("" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})")
    deviations = (row.dice_sd, row.dice_positive_sd)
    return [*cells, *("" if value is None else f"{value:.3f}" for value in deviations)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, run the seeds, write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--setting", nargs="+", default=[DEMO], help="of the training atlases")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs of all seeds")
    parser.add_argument("--again", action="store_true", help="compare again in finished runs")
    parser.add_argument("--out", type=Path, help="quality.md, or own.md for other settings")
    parser.add_argument("--table", type=Path, default=Path("results/benchmark/seeds.csv"))
    options = parser.parse_args(arguments)
    seeds, cells, folders = range(options.seeds), list[list[str]](), list[Path]()
    is_demo = options.setting == [DEMO]
    for setting in options.setting:
        runs = [SharedRun.of(options.runs.resolve(), f"{setting}/{seed}") for seed in seeds]
        folders += [run.folder for run in runs]
        antibodies = [compare(run, again=options.again) for run in runs]
        rows = summarise(tables.read_frame(antibodies, MetricSums))
        suffix = "" if is_demo else f"-{setting}"
        path = options.table.with_stem(f"{options.table.stem}{suffix}")
        tables.write_csv(path, rows, BenchmarkRow)
        shown = [row for row in rows if row.seed == ALL_SEEDS or row.method in SHOWN_PER_SEED]
        rows = rows if options.seeds == 1 else shown
        cells += [[setting] * (not is_demo) + line(row) for row in rows]
    header = ["trained on"] * (not is_demo) + ["set", "seed", "method", *SHOWN.values()]
    header += ["s.d. of Dice", "s.d., positive tiles"]
    title = "Methods against ground truth" if is_demo else "Trained on another setting"
    out = options.out or RESULTS / ("quality.md" if is_demo else "own.md")
    notes = [
        f"{options.seeds} seeds: of the atlas, the training and the test antibodies",
        f"trained on {', '.join(options.setting)}; the test split is of the same atlas",
        "in brackets: 95 % bootstrap intervals over antibodies; s.d. over seeds",
        "best: at the threshold that is best on the test tiles; CaCL's comes from training data",
    ]
    write_table(out, title, notes, header, cells, runs=folders)


if __name__ == "__main__":
    main()
