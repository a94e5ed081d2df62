"""Shared by all rules: the checked configuration, the shards, helpers for inputs and options."""

import shlex

from cacl import __version__
from cacl.benchmark.truth_index import mask_names
from cacl.config import resolve
from cacl.errors import ConfigError, Reason
from cacl.diagnostics.retries import Retries
from cacl.diagnostics.run_source import record_source
from cacl.diagnostics.slurm_errors import explain
from cacl.diagnostics.workflow_lock import explain_lock, record_run, remove_record
from cacl.diagnostics.workflow_triggers import (
    SOURCE_COLUMNS,
    content_digest,
    drawings_digest,
    file_digest,
    files_digest,
    folder_digest,
    model_digest,
    named_files_digest,
    training_settings,
)
from cacl.hpa.gene_list_files import list_files
from cacl.hpa.local_path import exists
from cacl.hpa.mirror import Mirror
from cacl.hpa.named_files import check_named_files
from cacl.model.presets import PAPER, preset_digest
from cacl.runtime.step_versions import MODEL_VERSION, STEP_VERSIONS
from cacl.runtime.yaml_io import read_yaml
from cacl.stain.config import ESTIMATED
from snakemake.exceptions import WorkflowError
from snakemake.io import contains_wildcard
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

if contains_wildcard(str(Path.cwd())):
    raise WorkflowError(
        f"The folder {Path.cwd()} cannot hold a run: Snakemake takes the braces in its name for "
        "wildcards and misses its own locks. Rename it, or name another one with --directory"
    )

try:
    for path in workflow.configfiles:
        # Snakemake keeps the last of two equal keys; here they are an error.
        read_yaml(Path(path))
    settings = resolve(config)
    check_named_files(settings)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used.\n{error}") from error

source, labels = settings.source, settings.labels
SHARDS = [str(shard) for shard in range(settings.census.shards)]
PHANTOM_HOST = "resources/phantom/host"
PHANTOM_TRUTH = "resources/phantom/truth"
TRAINING_CONFIG = "results/training/config.txt"
MODEL = "results/model"
ESTIMATE = "results/stain/vectors.json"
BENCHMARK_TABLE = "results/benchmark/table.csv"
CATALOG_FAILURES = "results/failures/catalog.csv"
ATTEMPTS = "results/attempts"

# A damaged annotation file of a mirror is read again when it changes, see `annotation_digest`.
retries = Retries(
    Path(ATTEMPTS),
    ignored=frozenset(() if source.kind == "hpa" else (Reason.BAD_ANNOTATION,)),
)

# What the pixels of synthetic images depend on, besides their number.
SYNTHETIC_SETTINGS = None
if source.kind == "phantom":
    source = source.model_copy(update={"mirror": Path(PHANTOM_HOST)})
    SYNTHETIC_SETTINGS = (
        settings.seed,
        settings.phantom.setting,
        STEP_VERSIONS["phantom"],
    )


wildcard_constraints:
    shard=r"\d+",


def literally(text):
    """Return a text as a parameter in which braces are no wildcards.

    Snakemake replaces wildcards in the texts of parameters, but not in what a function returns.
    """

    def value(wildcards):
        return text

    return value


def as_inputs(files):
    """Return the user's files as inputs of a rule whose content alone counts, as a parameter.

    A file with braces in its path is left out: Snakemake takes them for wildcards.
    """
    return [ancient(path) for path in files if not contains_wildcard(str(path))]


def override_files():
    """Return the file of the user's own labels, if there is one."""
    return [labels.overrides] if labels.overrides else []


def user_lists():
    """Return the user's files that the catalog is made from: manifest, labels, gene lists."""
    files = [path for path in list_files(source.genes) if exists(path)]
    files += override_files()
    files += [source.manifest] if source.kind == "manifest" else []
    return files


def catalog_inputs(wildcards):
    """Return the files on this machine that the catalog is made from.

    Only the content of the user's files counts, see `lists_digest` of the catalog.
    """
    return as_inputs(user_lists()) + (
        ["resources/phantom/done"] if source.kind == "phantom" else []
    )


def annotation_digest(wildcards):
    """Return a digest of the names, sizes and times of a mirror's annotation files."""
    if source.kind != "mirror" or not source.mirror.is_dir():
        return ""
    return folder_digest(Mirror(source.mirror).annotation_files())


def true_masks(wildcards):
    """Return what the phantom writes after its true masks, as an input of the benchmark.

    The masks themselves count by content, see `truth_digest`.

    Raises
    ------
    WorkflowError
        There are no true masks; Snakemake finds out before it trains anything.
    """
    truth = settings.benchmark.truth
    if truth is None and source.kind != "phantom":
        raise WorkflowError(
            f"The benchmark compares masks with true masks, which images of source.kind "
            f"{source.kind} do not have. Set benchmark.truth to a folder of your own masks, see "
            "docs/guides/evaluate_on_own_masks.md"
        )
    if truth is not None and not truth.is_dir():
        raise WorkflowError(
            f"benchmark.truth: there is no folder {truth}; name one with one true mask per image"
        )
    return [] if truth else ["resources/phantom/done"]


def truth_option():
    """Return the option that names the true masks."""
    if settings.benchmark.truth is None:
        return f"--phantom-truth {PHANTOM_TRUTH}"
    return settings.benchmark.cli_args()


def truth_digest(wildcards):
    """Return a digest of the names and bytes of the true masks; empty as long as there are none.

    Snakemake evaluates it before a run and, if the phantom writes its masks in the run, afterwards.
    """
    truth = settings.benchmark.truth or Path(PHANTOM_TRUTH)
    return named_files_digest(truth, mask_names(truth)) if truth.is_dir() else ""


def attempt(step):
    """Return a function that returns the number of the attempt of a step at a shard.

    It grows by 1 when an image of the shard has changed, or has failed for a reason that can pass.
    A job with another number than the last one runs again.
    """

    def number(wildcards):
        return retries.attempt_number(step, wildcards.get("shard", "all"))

    return number


def drawings(wildcards):
    """Return a digest of the drawings, of names and bytes, as a parameter.

    Raises
    ------
    WorkflowError
        The folder does not exist; Snakemake finds out before it runs anything.
    """
    if labels.drawn is not None and not labels.drawn.is_dir():
        raise WorkflowError(
            f"labels.drawn: there is no folder {labels.drawn}; name one with one GeoJSON file per "
            "drawn image, see docs/guides/qupath_round_trip.md"
        )
    return drawings_digest(labels.drawn)


def earlier_model(wildcards):
    """Return a digest of the model that is used again or trained further; empty without one.

    Raises
    ------
    WorkflowError
        It does not exist, or is this run's own; Snakemake finds out before it runs anything.
    """
    model = settings.train.model or settings.train.start_from
    if model is None:
        return ""
    key = "model" if settings.train.model else "start_from"
    if not model.exists():
        raise WorkflowError(
            f"train.{key}: there is no model {model}; name the folder results/model of another "
            "run, or a file of `cacl export --model`"
        )
    if model.resolve().is_relative_to(Path(MODEL).resolve()):
        raise WorkflowError(
            f"train.{key}: {model} is this run's own model, which the run replaces; write it to a "
            f"file first with `cacl export --model model.safetensors`, and name that file"
        )
    return model_digest(model)


def reused_model_option():
    """Return the report's option that says where the model comes from, if it is used again."""
    model = settings.train.model
    return f"--reused-model {shlex.quote(str(model))}" if model else ""


def per_shard(pattern):
    """Return a pattern's files over all shards."""
    return expand(pattern, shard=SHARDS)


def batch_digest(*patterns, columns=()):
    """Return a function that returns a digest of the content of a shard's tables.

    A step writes all its tables at once, also when it runs again and nothing has changed, so their
    modification times carry no information: rules read them as `ancient` and run again when this
    digest changes. Snakemake evaluates it again after the step, a checkpoint, is done.
    """

    def digest(wildcards):
        paths = [Path(pattern.format(**wildcards)) for pattern in patterns]
        return content_digest(paths, columns)

    return digest


def digest_of_all(paths):
    """Return a function that returns a digest of the bytes of files, as `batch_digest`."""

    def digest(wildcards):
        return files_digest(map(Path, paths))

    return digest


def digest_with_manifest(path):
    """Return a function that returns a file's digest with a manifest, as `batch_digest`, else None."""

    def digest(wildcards):
        return file_digest(Path(path)) if source.kind == "manifest" else None

    return digest


def has_model():
    """Return whether a model exists that was trained with these settings, see `training_inputs`."""
    recorded, model = Path(TRAINING_CONFIG), Path("results/model/model.json")
    return (
        model.exists()
        and recorded.exists()
        and recorded.read_text(encoding="utf-8") == training_settings(settings)
    )


def training_inputs(files):
    """Return what a model is trained from, as inputs whose modification times may not count.

    With a manifest, which has the user's own labels, every change of their content leads to a new
    training, see `digest_with_manifest`. With another source they are ignored once a model exists:
    further genes do not change it. They count again when any other setting that the model depends
    on changes.
    """
    return ancient(files) if source.kind == "manifest" or has_model() else files


def estimate_inputs():
    """Return what the stain vectors are estimated from: the tables of acquired images.

    As for a model, further genes do not change an estimate with which a model was trained. With a
    manifest every change of the images does, as it leads to a new training.
    """
    files = per_shard("results/acquired/{shard}.parquet")
    return ancient(files) if source.kind != "manifest" and has_model() else files


def estimate_option():
    """Return the option that names the estimated stain vectors, if the run estimates them."""
    return f"--estimate {ESTIMATE}" if settings.stain.vectors == ESTIMATED else ""


def benchmark_option():
    """Return the report's option for the table of the benchmark, if there is one.

    The table is not an input of the report: otherwise every run would run the benchmark again.
    """
    return f"--benchmark {BENCHMARK_TABLE}" if Path(BENCHMARK_TABLE).exists() else ""


def failure_tables(*stages):
    """Return the failures of steps, over all shards."""
    return expand("results/failures/{stage}/{shard}.csv", stage=stages, shard=SHARDS)


if workflow.non_local_exec:
    # profiles/default is read beside any other profile; its cores are those of this machine.
    workflow.global_resources["_cores"] = None

if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    if not (CHECKOUT / "cacl").is_dir():
        raise WorkflowError(
            "Conda environments need a checkout of the repository, and this workflow is that of an "
            "installed package; leave out --software-deployment-method, or run snakemake in a "
            "checkout"
        )
    # environment.yml has the dependencies; the package itself is that of this checkout.
    # Snakemake formats a prefix: {{ and }} become braces.
    shell.prefix(
        f"export PYTHONPATH={str(CHECKOUT)!r}; " + 'cacl() {{ python -m cacl "$@"; }}; '
    )


if workflow.is_main_process and not workflow.dryrun:
    # Snakemake stops at a lock before any of its handlers; its own message does not say whose.
    lock = explain_lock(Path.cwd())
    if lock:
        logger.error(lock)


onstart:
    record_run(Path.cwd())
    record_source(Path.cwd(), settings.source)


onsuccess:
    remove_record(Path.cwd())


onerror:
    remove_record(Path.cwd())
    for path in log:
        for sentence in explain(Path(path), Path.cwd()):
            logger.error(sentence)
