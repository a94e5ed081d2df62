"""Run the command with `python -m cacl`."""

from cacl.cli import app

app(prog_name="cacl")
