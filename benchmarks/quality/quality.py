"""Compare all methods over several seeds of the atlas, the training and the test antibodies.

A seed is a run of its own: `snakemake --config seed=<seed> "train={preset: robust}" -- benchmark`
in a folder of its own. Then the antibodies of all seeds are pooled.

Example: python -m benchmarks.quality.quality --seeds 3
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks._lib.report import RESULTS, write_table
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


def folder(seed: int, setting: str) -> Path:
    """Return the working directory of a seed's run on an atlas of that setting."""
    return RUNS / setting / str(seed)


def run(seed: int, setting: str) -> Path:
    """Run the benchmark of one seed unless it is finished; return its table of antibodies."""
    directory = folder(seed, setting)
    command = [sys.executable, "-m", "snakemake", "--directory", str(directory)]
    config = ["--config", f"seed={seed}", f"phantom={{setting: {setting}}}"]
    config += ["train={preset: robust}"]
    command += [*config, "--quiet", "host", "reason", "--", "benchmark"]
    subprocess.run(command, check=True)  # nosec B603  # a list, no shell
    return directory / "results" / "benchmark" / "antibodies.parquet"


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
    parser.add_argument("--setting", default=DEMO, help="setting of the training atlas")
    parser.add_argument("--out", type=Path, default=RESULTS / "quality.md")
    parser.add_argument("--table", type=Path, default=Path("results/benchmark/seeds.csv"))
    options = parser.parse_args(arguments)
    antibodies = [run(seed, options.setting) for seed in range(options.seeds)]
    rows = summarise(tables.read_frame(antibodies, MetricSums))
    tables.write_csv(options.table, rows, BenchmarkRow)
    shown = [row for row in rows if row.seed == ALL_SEEDS or row.method in SHOWN_PER_SEED] or rows
    header = ["set", "seed", "method", *SHOWN.values(), "s.d. of Dice", "s.d., positive tiles"]
    notes = [
        f"{options.seeds} seeds: of the atlas, the training and the test antibodies",
        f"trained on {options.setting}",
        "in brackets: 95 % bootstrap intervals over antibodies; s.d. over seeds",
        "best: at the threshold that is best on the test tiles; CaCL's comes from training data",
    ]
    write_table(
        options.out, "Methods against ground truth", notes, header, [line(row) for row in shown]
    )


if __name__ == "__main__":
    main()
