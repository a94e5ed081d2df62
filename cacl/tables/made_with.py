"""What a table depends on besides its inputs: the step, its parameters, the software."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from cacl import __version__
from cacl.runtime.step_versions import STEP_VERSIONS

PACKAGES = ("numpy", "scipy", "torch", "monai", "zarr", "opencv-python-headless", "plotly")


def software_versions() -> dict[str, str]:
    """Return the version of this software, of Python and of the libraries that compute."""
    libraries = {name: metadata.version(name) for name in PACKAGES}
    return {"cacl-atlas": __version__, "Python": platform.python_version(), **libraries}


def made_with(step: str, **parameters: Any) -> dict[str, Any]:
    """Return the record that `write_parquet` keeps in a table, for `cacl compare`.

    The version of a step that has one is among the parameters.

    Parameters
    ----------
    step
        Name of the step.
    parameters
        What the rows depend on; values that JSON can hold.
    """
    version = {"version": STEP_VERSIONS[step]} if step in STEP_VERSIONS else {}
    return {"step": step, "parameters": version | parameters, "software": software_versions()}
