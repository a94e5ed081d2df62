"""What all rules share. The checked configuration, the shards, options of commands."""

from hashlib import sha256

from cacl.config import flags, resolve
from cacl.errors import ConfigError
from cacl.diagnostics.slurm_errors import explain
from cacl.diagnostics.workflow_triggers import (
    SOURCE_COLUMNS,
    content_digest,
    training_settings,
)
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    settings = resolve(config)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used.\n{error}") from error

source, labels = settings["source"], settings["labels"]
SHARDS = [str(shard) for shard in range(settings["census"]["shards"])]
PHANTOM_HOST = "resources/phantom/host"
PHANTOM_TRUTH = "resources/phantom/truth"
TRAINED_FOR = "results/training/asked.txt"
BENCHMARK_TABLE = "results/benchmark/table.csv"

if source["kind"] == "phantom":
    source["mirror"] = PHANTOM_HOST
# What a phantom's pictures depend on besides their number.
DRAWN = (
    (settings["seed"], settings["phantom"]["setting"])
    if source["kind"] == "phantom"
    else None
)


wildcard_constraints:
    shard=r"\d+",


def some(section, *keys):
    """Return the named keys of a section as options of a command."""
    return flags({key: section[key] for key in keys})


def catalog_inputs():
    """Return the files that the catalog is made from, as far as they are files of this machine."""
    files = [labels["overrides"]] if labels["overrides"] else []
    if source["kind"] == "phantom":
        files.append("resources/phantom/done")
    if source["kind"] == "manifest":
        files.append(source["manifest"])
    return files


def per_shard(pattern):
    """Return a pattern's files over all shards."""
    return expand(pattern, shard=SHARDS)


def content(*patterns, columns=()):
    """Return a function that gives a digest of what a shard's lists hold.

    The catalog writes all lists at once, so their age says nothing: rules read them as `ancient`
    and run again when this digest has changed. Snakemake takes it again once the catalog is done.
    """

    def digest(wildcards):
        paths = [Path(pattern.format(**wildcards)) for pattern in patterns]
        return content_digest(paths, columns)

    return digest


def settled(files):
    """Return files that no longer matter once there is a model: more genes do not change it.

    They matter again as soon as anything else does that it is trained for. A manifest is its
    user's own, with labels: whatever changes in it trains anew.
    """
    asked, model = Path(TRAINED_FOR), Path("results/model/model.json")
    same = asked.exists() and asked.read_text(encoding="utf-8") == training_settings(
        settings
    )
    return (
        ancient(files)
        if same and model.exists() and source["kind"] != "manifest"
        else files
    )


def shown_benchmark():
    """Return the report's option for the benchmark's table, if one was made.

    The table is no input of the report: a plain run would make the benchmark again and again.
    """
    return f"--benchmark {BENCHMARK_TABLE}" if digest(BENCHMARK_TABLE) else ""


def digest(path):
    """Return the digest of a file's content, so that another content counts as a new parameter."""
    file = Path(path)
    return sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def failure_tables():
    """Return the failures of every step and shard."""
    stages = ["acquire", "tile", "segment", "measure"]
    shards = expand("results/failures/{stage}/{shard}.csv", stage=stages, shard=SHARDS)
    return ["results/failures/catalog.csv", *shards]


if workflow.non_local_exec:
    # profiles/default is read beside any other profile; its cores are those of this machine.
    workflow.global_resources["_cores"] = None


onerror:
    for path in log:
        for sentence in explain(Path(path), Path.cwd()):
            logger.error(sentence)
