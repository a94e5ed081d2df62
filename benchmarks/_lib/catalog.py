"""Every table of `benchmarks/results`: its command, what it needs, and what its numbers depend on.

A new script that writes a table gets an entry here; a test names the ones without. In arguments,
`{runs}` is the folder of the shared runs, `{work}` a folder of the table for what a command keeps
between two calls, `{painted}` that of the table of painted tissue, `{tiatoolbox}` an interpreter
that has TIAToolbox, and `{former}` a file of an earlier commit. Minutes are rough, on two cores,
without those of the runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks._lib.runs import RUN_SOURCES
from benchmarks._lib.sources import SourceTree

DEMO_RUN = "duodenum-a/0"
SEED_RUNS = (DEMO_RUN, "duodenum-a/1", "duodenum-a/2")
OTHER_SETTINGS = ("duodenum-b/0", "duodenum-d/0")
RUN_MINUTES = 45


@dataclass(frozen=True)
class Entry:
    """A command and the tables that it writes.

    Parameters
    ----------
    name
        File of the table below `benchmarks/results`.
    module
        The module that writes it.
    minutes
        How long the command takes, roughly.
    arguments
        Its arguments, as on a command line.
    quick
        Arguments that show in a minute or two that the command works; None if there are none.
    needs
        Keys of `benchmarks._lib.needs.NEEDS`.
    runs
        The shared runs that it reads, as `<setting>/<seed>`.
    sources
        Sources that the module does not import, see `SourceTree.files`.
    also
        Further tables that the same command writes.
    launcher
        The command line that starts the module, if it is not the interpreter.
    """

    name: str
    module: str
    minutes: float
    arguments: str = ""
    quick: str | None = None
    needs: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """All tables of the command."""
        return (self.name, *self.also)

    def digest(self, tree: SourceTree) -> str:
        """Return the digest of the sources of the tables."""
        return tree.digest((self.module, *self.sources))

    def words(self, values: Mapping[str, str], *, quick: bool = False) -> list[str]:
        """Return the arguments with a value for each name in braces."""
        line = self.quick if quick and self.quick is not None else self.arguments
        return [word.format_map(values) for word in shlex.split(line)]


CENSUS = ("cacl.cli", "workflow")
"""Sources of whole censuses, which run in processes of their own."""

PAINTED = Entry(
    "real_tissue.md", "benchmarks.quality.real_tissue", 75, "{work}",
    needs=("glas",), sources=RUN_SOURCES,
)  # fmt: skip
"""The run on painted tissue, which another table reads as well."""

ENTRIES = (
    Entry(
        "quality.md", "benchmarks.quality.quality", 60, "--seeds 3 --runs {runs} --again",
        runs=SEED_RUNS, sources=(*RUN_SOURCES, "cacl.steps.benchmark"),
    ),
    Entry(
        "own.md", "benchmarks.quality.quality", 40,
        "--seeds 1 --setting duodenum-b duodenum-d --runs {runs} --again",
        runs=OTHER_SETTINGS, sources=(*RUN_SOURCES, "cacl.steps.benchmark"),
    ),
    Entry(
        "confidence.md", "benchmarks.quality.confidence", 10,
        "--runs {runs}/duodenum-a/0 {runs}/duodenum-a/1 {runs}/duodenum-a/2",
        quick="--runs {runs}/duodenum-a/0", runs=SEED_RUNS,
    ),
    Entry(
        "controls_agreement.md", "benchmarks.quality.controls_agreement", 30,
        "--run {runs}/duodenum-a/0 --work {work}",
        quick="--run {runs}/duodenum-a/0 --work {work} --steps 150", runs=(DEMO_RUN,),
    ),
    Entry(
        "spread.md", "benchmarks.quality.spread", 30, "--run {runs}/duodenum-a/0",
        quick="--run {runs}/duodenum-a/0 --seeds 1", runs=(DEMO_RUN,),
    ),
    Entry(
        "presets.md", "benchmarks.quality.presets", 15,
        "--run {runs}/duodenum-a/0 --work {work}", runs=(DEMO_RUN,),
    ),
    Entry(
        "ceiling.md", "benchmarks.quality.ceiling", 60, "--run {runs}/duodenum-a/0 --times 3",
        quick="--run {runs}/duodenum-a/0 --times 1 --steps 20", runs=(DEMO_RUN,),
    ),
    Entry(
        "ablation.md", "benchmarks.ablation.ablation", 300,
        "--run {runs}/duodenum-a/0 --jobs 1 --threads 2", runs=(DEMO_RUN,),
    ),
    Entry(
        "ablation_duodenum-d.md", "benchmarks.ablation.ablation", 5,
        "--run {runs}/duodenum-a/0 --external-set duodenum-d --only robust",
        runs=(DEMO_RUN,),
    ),
    Entry(
        "ablation_teacher.md", "benchmarks.ablation.ablation", 60,
        "--run {runs}/duodenum-a/0 --of teacher --trainings 2 --jobs 1 --threads 2",
        runs=(DEMO_RUN,),
    ),
    Entry(
        "segmentation.md", "benchmarks.speed.segmentation", 5,
        "--run {runs}/duodenum-a/0 --cores 5",
        quick="--run {runs}/duodenum-a/0 --cores 1", runs=(DEMO_RUN,),
    ),
    Entry(
        "shard.md", "benchmarks.scale.shard", 20, "{runs}/duodenum-a/0 --images 300",
        quick="{runs}/duodenum-a/0 --images 4", runs=(DEMO_RUN,),
        sources=("cacl.steps.tile", "cacl.steps.segment", "cacl.steps.measure",
                 "cacl.steps.report"),
    ),
    Entry(
        "estimate.md", "benchmarks.scale.estimate", 2,
        "{runs}/duodenum-a/0 --config config/config.yaml --config benchmarks/scale/robust.yaml",
        runs=(DEMO_RUN,),
    ),
    Entry("atlas_cost.md", "benchmarks.scale.atlas_cost", 3, sources=CENSUS),
    Entry(
        "classes.md", "benchmarks.quality.classes", 60,
        "--work {work} --antibodies 40 --alone",
    ),
    Entry("drawn.md", "benchmarks.quality.drawn", 30, "--work {work} --max-steps 4100"),
    Entry(
        "ki67.md", "benchmarks.quality.ki67", 7, "--work {work} --threads 2",
        needs=("ki67",),
    ),
    PAINTED,
    Entry(
        "thresholds.md", "benchmarks.ablation.thresholds", 25,
        "--run {runs}/duodenum-a/0 --painted {painted}", needs=("glas",), runs=(DEMO_RUN,),
    ),
    Entry(
        "cell_area.md", "benchmarks.quality.cell_area", 5, "--seeds 3 --antibodies 2",
        quick="--seeds 1 --antibodies 1",
    ),
    Entry(
        "artefacts.md", "benchmarks.quality.artefacts", 5, "--phantoms 2", quick="--phantoms 1",
        needs=("cores", "glas"),
    ),
    Entry("texture.md", "benchmarks.quality.texture", 1, needs=("cores", "ki67")),
    Entry(
        "stain_vectors.md", "benchmarks.quality.stain_vectors", 1,
        needs=("cores", "ki67", "glas"),
    ),
    Entry(
        "coverage.md", "benchmarks.quality.coverage", 5, "--draws 2000", quick="--draws 20",
    ),
    Entry(
        "p_calibration.md", "benchmarks.quality.p_calibration", 20, quick="--draws 50",
        also=("p_power.md",),
    ),
    Entry("dearray.md", "benchmarks.quality.dearray", 30, quick="--slides 1"),
    Entry(
        "tile.md", "benchmarks.io.tile", 10, "--rounds 12 --cores 5 --tiatoolbox {tiatoolbox}",
        quick="--rounds 1 --cores 1", needs=("cores", "tiatoolbox"),
        sources=("benchmarks.io.peer_tiatoolbox",),
    ),
    Entry(
        "storage.md", "benchmarks.io.storage", 5, "--cores 5 --rounds 4",
        quick="--cores 1 --rounds 1", needs=("cores",),
    ),
    Entry(
        "codec_pipeline.md", "benchmarks.io.codec_pipeline", 5, "--rounds 8 --former {former}",
        quick="--rounds 1 --cores 1", needs=("cores", "former"),
    ),
    Entry("acquire.md", "benchmarks.io.acquire", 15, quick="--images 20 200:256:20"),
    Entry(
        "bulk_xml.md", "benchmarks.io.bulk_xml", 10, "--runs 3",
        quick="--runs 1 --megabytes 5", needs=("hpa-xml",),
    ),
    Entry(
        "train_speed.md", "benchmarks.speed.train_speed", 30, "--seconds 4 --rounds 2",
        needs=("cores",),
    ),
    Entry(
        "shared_machine.md", "benchmarks.speed.shared_machine", 15, needs=("cores",),
    ),
    Entry(
        "parallel_networks.md", "benchmarks.speed.parallel_networks", 20, quick="--steps 30",
        needs=("cores",),
    ),
    Entry("gpu.md", "benchmarks.speed.gpu", 2, quick="--small", needs=("gpu",)),
    Entry("dag.md", "benchmarks.scale.dag", 60, quick="--antibodies 20 --shards 2",
          sources=CENSUS),
    Entry(
        "report.md", "benchmarks.scale.report", 15, quick="--antibodies 20", needs=("chromium",),
        sources=("cacl/report",),
    ),
    Entry(
        "image_memory.md", "benchmarks.scale.image_memory", 5, quick="500",
        sources=("benchmarks.scale.image_memory_worker",),
    ),
    Entry(
        "slide_memory.md", "benchmarks.scale.slide_memory", 30, "10000 50000 --threads 1",
        quick="2000 --threads 1", sources=("cacl.steps.tile", "cacl.steps.segment"),
    ),
    Entry("soak.md", "benchmarks.reliability.soak", 30, quick="--images 8 --shards 4"),
    Entry("bit_flips.md", "benchmarks.reliability.bit_flips", 15, quick="--flips 1"),
    Entry(
        "checksum_cost.md", "benchmarks.reliability.checksum_cost", 3,
        quick="--rounds 1 --cores 1", needs=("cores",),
    ),
    Entry("corpus.md", "benchmarks.reliability.corpus", 8),
    Entry(
        "fuzz.md", "benchmarks.reliability.fuzz", 600, "--state {work}",
        quick="--state {work} --cases 10",
    ),
    Entry(
        "chaos.md", "benchmarks.reliability.chaos", 300, needs=("root",), sources=CENSUS,
    ),
    Entry(
        "interop.md", "benchmarks.interop.interop", 5, needs=("interop",),
        sources=("tests/interop", "tests.interop.conftest", "cacl.steps.export"),
        launcher=("make", "interop"),
    ),
)  # fmt: skip
TABLES = {table: entry for entry in ENTRIES for table in entry.tables}


def entry_of(module: str, table: str) -> Entry | None:
    """Return the entry of a table that a module writes, under that name or another one."""
    if table in TABLES and TABLES[table].module == module:
        return TABLES[table]
    return next((entry for entry in ENTRIES if entry.module == module), None)
