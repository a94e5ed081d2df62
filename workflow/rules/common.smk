"""Shared by all rules: the checked configuration, the shards, helpers for inputs and options."""

from cacl.config import resolve
from cacl.errors import ConfigError
from cacl.diagnostics.slurm_errors import explain
from cacl.diagnostics.workflow_triggers import (
    SOURCE_COLUMNS,
    content_digest,
    file_digest,
    training_settings,
)
from cacl.runtime.yaml_io import read_yaml
from snakemake.exceptions import WorkflowError
from snakemake.io import contains_wildcard
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

try:
    for path in workflow.configfiles:
        # Snakemake keeps the last of two equal keys; here they are an error.
        read_yaml(Path(path))
    settings = resolve(config)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used.\n{error}") from error

source, labels = settings.source, settings.labels
SHARDS = [str(shard) for shard in range(settings.census.shards)]
PHANTOM_HOST = "resources/phantom/host"
PHANTOM_TRUTH = "resources/phantom/truth"
TRAINING_CONFIG = "results/training/config.txt"
BENCHMARK_TABLE = "results/benchmark/table.csv"

# What the pixels of synthetic images depend on, besides their number.
SYNTHETIC_SETTINGS = None
if source.kind == "phantom":
    source = source.model_copy(update={"mirror": Path(PHANTOM_HOST)})
    SYNTHETIC_SETTINGS = (settings.seed, settings.phantom.setting)


wildcard_constraints:
    shard=r"\d+",


def literally(text):
    """Return a text as a parameter in which braces are no wildcards.

    Snakemake replaces wildcards in the texts of parameters, but not in what a function returns.
    """
    return lambda wildcards: text


def has_braces(path):
    """Return whether Snakemake would take a part of a path for a wildcard."""
    return contains_wildcard(str(path))


def trackable(files):
    """Return the files that can be inputs of a rule: those without braces in their paths.

    The content of the others is a parameter, see `braced_digests`.
    """
    return [file for file in files if not has_braces(file)]


def braced_digests(files):
    """Return the digests of the files that cannot be inputs of a rule, because of their paths."""
    return [file_digest(Path(file)) for file in files if has_braces(file)]


def override_files():
    """Return the file of the user's own labels, if there is one."""
    return [labels.overrides] if labels.overrides else []


def catalog_inputs():
    """Return the files on this machine that the catalog is made from."""
    files = override_files()
    if source.kind == "phantom":
        files.append("resources/phantom/done")
    if source.kind == "manifest":
        files.append(source.manifest)
    return files


def per_shard(pattern):
    """Return a pattern's files over all shards."""
    return expand(pattern, shard=SHARDS)


def batch_digest(*patterns, columns=()):
    """Return a function that returns a digest of the content of a shard's lists.

    The catalog writes all lists at once, so their modification times carry no information: rules
    read them as `ancient` and run again when this digest changes. Snakemake evaluates it again
    after the catalog is done.
    """

    def digest(wildcards):
        paths = [Path(pattern.format(**wildcards)) for pattern in patterns]
        return content_digest(paths, columns)

    return digest


def unless_trained(files):
    """Return files that are ignored once a model exists: further genes do not change it.

    They count again when any other setting that the model depends on changes. With a manifest,
    which has the user's own labels, every change leads to a new training.
    """
    recorded, model = Path(TRAINING_CONFIG), Path("results/model/model.json")
    trained = (
        source.kind != "manifest"
        and model.exists()
        and recorded.exists()
        and recorded.read_text(encoding="utf-8") == training_settings(settings)
    )
    return ancient(files) if trained else files


def benchmark_option():
    """Return the report's option for the table of the benchmark, if there is one.

    The table is not an input of the report: otherwise every run would run the benchmark again.
    """
    return f"--benchmark {BENCHMARK_TABLE}" if Path(BENCHMARK_TABLE).exists() else ""


def failure_tables():
    """Return the failures of every step and shard."""
    stages = ["acquire", "tile", "segment", "measure"]
    shards = expand("results/failures/{stage}/{shard}.csv", stage=stages, shard=SHARDS)
    return ["results/failures/catalog.csv", *shards]


if workflow.non_local_exec:
    # profiles/default is read beside any other profile; its cores are those of this machine.
    workflow.global_resources["_cores"] = None

if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    # environment.yml has the dependencies; the package itself is that of this checkout.
    # Snakemake formats a prefix: {{ and }} become braces.
    shell.prefix(
        f"export PYTHONPATH={str(CHECKOUT)!r}; " + 'cacl() {{ python -m cacl "$@"; }}; '
    )


onerror:
    for path in log:
        for sentence in explain(Path(path), Path.cwd()):
            logger.error(sentence)
