"""What all rules share. The checked configuration, the shards, options of commands."""

from cacl.config import flags, resolve
from cacl.errors import ConfigError
from snakemake.exceptions import WorkflowError

try:
    settings = resolve(config)
except ConfigError as error:
    raise WorkflowError(f"The configuration cannot be used.\n{error}") from error

source, labels = settings["source"], settings["labels"]
SHARDS = [str(shard) for shard in range(settings["census"]["shards"])]
PHANTOM_HOST = "resources/phantom/host"
PHANTOM_TRUTH = "resources/phantom/truth"

if source["kind"] == "phantom":
    source["mirror"] = PHANTOM_HOST


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


def failure_tables():
    """Return the failures of every step and shard."""
    stages = ["acquire", "tile", "segment", "measure"]
    shards = expand("results/failures/{stage}/{shard}.csv", stage=stages, shard=SHARDS)
    return ["results/failures/catalog.csv", *shards]


if workflow.non_local_exec:
    # profiles/default is read beside any other profile; its cores are those of this machine.
    workflow.global_resources["_cores"] = None
