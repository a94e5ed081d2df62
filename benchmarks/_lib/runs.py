"""The runs on synthetic atlases that several tables share: one of each seed, trained once.

Below one folder, the run of a seed on an atlas of a setting is `<setting>/<seed>`. A file in it
holds the digest of the sources that the run began with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks._lib.sources import SourceTree
from cacl.runtime.atomic import replaced_file
from cacl.runtime.file_digest import FILE_DIGEST, read_json_with_digest

RUNS = Path("results/benchmarks")
MODEL = Path("results/model/model.json")
PRODUCTS = (
    MODEL,
    Path("results/benchmark/antibodies.parquet"),
    Path("results/report/report.html"),
)
TARGETS = ("all", "benchmark")
RUN_SOURCES = (
    *("cacl.steps.phantom", "cacl.steps.catalog", "cacl.steps.acquire", "cacl.steps.tile"),
    *("cacl.steps.select", "cacl.steps.train", "cacl.steps.train_classifier"),
    *("cacl.steps.synthesise_external", "config/config.yaml"),
    *("workflow/rules/atlas.smk", "workflow/rules/model.smk"),
)
"""What the tiles, the external sets and the models of a run depend on."""
DIGEST_FILE = "benchmark_sources.txt"
MODEL_DIGITS = 12
"""As many as the report states of a model."""


@dataclass(frozen=True)
class SharedRun:
    """The run of a seed on an atlas of a setting, below the folder of all runs."""

    folder: Path
    setting: str
    seed: int

    @classmethod
    def of(cls, runs: Path, name: str) -> SharedRun:
        """Return the run `<setting>/<seed>` below `runs`."""
        setting, seed = name.split("/")
        return cls(runs / name, setting, int(seed))

    @property
    def is_finished(self) -> bool:
        """Whether all products exist."""
        return all((self.folder / product).exists() for product in PRODUCTS)

    @property
    def begun_with(self) -> str | None:
        """Digest of the sources that the run began with; None if it is not recorded."""
        record = self.folder / DIGEST_FILE
        return record.read_text(encoding="ascii").strip() if record.exists() else None

    def problem(self, tree: SourceTree) -> str | None:
        """Return why the run cannot be used or continued, with the remedy; None if it can."""
        if not self.folder.exists() or self.begun_with == tree.digest(RUN_SOURCES):
            return None
        why = "is of other sources" if self.begun_with else "does not say of which sources it is"
        return (
            f"the run {self.folder} {why}; remove it, name another folder with --run, or use it as "
            "it is with --accept-model"
        )

    def begin(self, tree: SourceTree) -> None:
        """Record the sources of a run that is about to begin."""
        if not self.folder.exists():
            with replaced_file(self.folder / DIGEST_FILE) as path:
                path.write_text(f"{tree.digest(RUN_SOURCES)}\n", encoding="ascii")

    def command(self, *options: str, targets: tuple[str, ...] = TARGETS) -> list[str]:
        """Return the command, run in the checkout, that makes the run or goes on with it."""
        return [
            *(sys.executable, "-m", "snakemake", "--directory", str(self.folder)),
            *("--config", f"seed={self.seed}", f"phantom={{setting: {self.setting}}}"),
            *("train={preset: robust}", *options, "--quiet", "host", "reason", "--", *targets),
        ]


def model_digest(run: Path) -> str:
    """Return the digest of a run's model, as its report states it.

    Raises
    ------
    FileNotFoundError
        The run has no model.
    DigestError
        The description of the model is damaged.
    """
    return str(read_json_with_digest((run / MODEL).read_bytes())[FILE_DIGEST])[:MODEL_DIGITS]
