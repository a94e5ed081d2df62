"""Versions of the software that results depend on."""

from __future__ import annotations

import platform
from importlib import metadata

from cacl import __version__

PACKAGES = ("numpy", "scipy", "torch", "monai", "zarr", "opencv-python-headless", "plotly")


def software_versions() -> dict[str, str]:
    """Return the version of this software, of Python and of the libraries that compute."""
    libraries = {name: metadata.version(name) for name in PACKAGES}
    return {"cacl-atlas": __version__, "Python": platform.python_version(), **libraries}
