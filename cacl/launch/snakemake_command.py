"""One call of Snakemake with the workflow of this package."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cacl import config
from cacl.diagnostics.run_source import check_source
from cacl.errors import ConfigError
from cacl.hpa.named_files import check_named_files
from cacl.launch import preflight
from cacl.runtime.workflow_files import snakefile

PLUGIN = "cacl"
OTHER_WORK = ("dryrun", "touch", "report", "lint")
"""Options with which Snakemake runs no job, and prints what it has to say itself."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is asked for.

    Parameters
    ----------
    configs
        Configurations; the last one wins.
    directory
        Working directory of the run.
    cores
        CPU cores; None for those of the profile.
    profile
        Name or folder of a Snakemake profile; None for this machine.
    extra
        Further arguments of Snakemake, unchanged.
    """

    configs: Sequence[Path] = ()
    directory: Path = Path()
    cores: int | None = None
    profile: str | None = None
    extra: Sequence[str] = ()


def run_workflow(options: RunOptions) -> bool:
    """Check what a run needs and run Snakemake in this process.

    Returns
    -------
    Whether Snakemake succeeded.

    Raises
    ------
    ConfigError
        The configuration, the profile, or the results of another source.
    ManifestError
        The manifest has no usable image, or lacks the labels for a training.
    DiskError
        The folder cannot be written.
    LockedError
        A process uses the folder.
    """
    configs = preflight.find_configs(options.configs, options.directory)
    preflight.check_writable(options.directory)
    before = Path.cwd()
    arguments = snakemake_arguments(options, configs)
    options.directory.mkdir(parents=True, exist_ok=True)
    os.chdir(options.directory)  # relative paths of a configuration resolve against it
    try:
        settings = config.load(configs)
        check_source(Path(), settings.source)
        check_named_files(settings)
        if not options.extra:
            preflight.check_manifest(settings)
    finally:
        os.chdir(before)
    if preflight.release_stale_lock(options.directory):
        logging.getLogger(__name__).warning(
            "The lock of a run that was killed is removed; no process uses the folder"
        )
    return _call(arguments)


def snakemake_arguments(options: RunOptions, configs: Sequence[Path]) -> list[str]:
    """Return the command line of Snakemake, without its name.

    Parameters
    ----------
    options
        See `RunOptions`.
    configs
        Absolute paths of the configurations.
    """
    arguments = ["--snakefile", str(snakefile()), "--configfile", *map(str, configs)]
    arguments += ["--workflow-profile", str(preflight.workflow_profile())]
    if options.profile is not None:
        arguments += ["--profile", preflight.find_profile(options.profile)]
    if options.cores is not None:
        arguments += ["--cores", str(options.cores)]
    return [*arguments, "--directory", str(options.directory), *options.extra]


def _call(arguments: Sequence[str]) -> bool:
    """Run Snakemake with the display of this package; its own log goes to `.snakemake/log`."""
    from snakemake import cli
    from snakemake.exceptions import CliException
    from snakemake_interface_common.exceptions import ApiError
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    from cacl.launch import log_handler

    # The rules call `cacl`, which is beside this interpreter even where its folder is not on PATH.
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    logging.getLogger("snakemake.logging").propagate = False
    LoggerPluginRegistry().register_plugin(f"snakemake_logger_plugin_{PLUGIN}", log_handler)
    notes = io.StringIO()
    try:
        with contextlib.redirect_stderr(notes):  # Snakemake names its profiles
            parser, parsed = cli.parse_args(list(arguments))
        if not parsed.logger and not any(getattr(parsed, name) for name in OTHER_WORK):
            parsed.logger = [PLUGIN]
        return bool(cli.args_to_api(parsed, parser))
    except SystemExit:
        sys.stderr.write(notes.getvalue())
        raise
    except (ApiError, CliException) as error:
        raise ConfigError(f"Snakemake: {error}") from error
