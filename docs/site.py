"""Pages of the documentation site that are made from other files; hooks of MkDocs."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import click
import messages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click
from typer.main import get_command

from cacl.cli import app
from cacl.tables import dictionary

CHECKOUT = Path(__file__).parents[1]
BRANCH = "blob/main"
COPIES = {
    "config/README.md": "reference/configuration.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
}
"""Pages by the file of the repository that they show."""
RESULTS = "benchmarks/results"
CELL_TYPE = "the cell type of the configuration"
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)([^)]*\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files."""
    for name, page in pages_of_files().items():
        files.append(File.generated(config, page, content=(CHECKOUT / name).read_text("utf-8")))
    for page, text in (
        ("reference/commands.md", commands()),
        ("reference/tables.md", tables()),
        ("reference/messages.md", messages.page(CHECKOUT)),
    ):
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Let links to files of the repository lead to their page, or to the repository."""
    shown = page.file.src_uri
    pages = pages_of_files()
    by_page = {of_page: name for name, of_page in pages.items()}
    folder = posixpath.dirname(by_page.get(shown, f"docs/{shown}"))

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target.startswith("docs/"):
            link = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(shown) or ".")
        elif target in pages:
            link = posixpath.relpath(pages[target], posixpath.dirname(shown) or ".")
        else:
            link = posixpath.join(str(config.repo_url), BRANCH, target)
        return f"{match[1]}{link}{match[3]}"

    return LINK.sub(replace, markdown)


def pages_of_files() -> dict[str, str]:
    """Return the pages that show a file of the repository, by its path."""
    results = sorted((CHECKOUT / RESULTS).glob("*.md"))
    return COPIES | {f"{RESULTS}/{path.name}": f"results/{path.name}" for path in results}


def commands() -> str:
    """Return the reference of the command line."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=click.Context(command), name="cacl")
    return text.replace("# `cacl`", "# Commands", 1)


def tables() -> str:
    """Return the tables of the report with the meaning of every column."""
    return dictionary.markdown(dictionary.report_tables(CELL_TYPE), [])
