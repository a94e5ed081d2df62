"""The command `cacl`."""

from cacl.cli.app import app

__all__ = ["app"]
