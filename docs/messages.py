"""Every error message of the code, with the section of the FAQ that explains it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cacl import errors

SECTIONS = {
    "ConfigError": "configuration",
    "WorkflowError": "configuration",
    "ManifestError": "manifests-and-lists",
    "DearrayError": "tma-slides",
    "CatalogError": "catalog",
    "StainError": "stain-vectors",
    "TrainingError": "training",
    "CheckpointError": "models",
    "StoreError": "tables-and-store",
    "TableError": "tables-and-store",
    "LockedError": "locks",
    "ClusterError": "clusters",
    "DiskError": "disk-memory-and-network",
    "ResourceError": "disk-memory-and-network",
    "StoppedError": "stopped-runs",
    "StrictError": "strict-runs",
    "CaclError": "strict-runs",
    "error": "manifests-and-lists",
    "ImageError": "why-is-an-image-missing-from-the-results",
}
"""Anchor in `docs/faq.md` by exception, or by the name of a parameter that holds one.

An `ImageError` leads to the anchor of its reason.
"""
MODULES = {
    "cacl/benchmark/": "masks-and-drawings",
    "cacl/cli/benchmark.py": "masks-and-drawings",
    "cacl/diagnostics/slurm_check.py": "clusters",
    "cacl/hpa/gene_list": "manifests-and-lists",
    "cacl/hpa/pixel_labels.py": "masks-and-drawings",
    "cacl/image/image_files.py": "masks-and-drawings",
    "cacl/image/polygon": "masks-and-drawings",
}
"""Anchor of `ConfigError` and `TableError` of a module, by the start of its path."""
HEAD = """\
# Messages

Generated from the code: the sentences with which a run or an image can fail, by the section of the
[questions](../faq.md) that explains them. Search for the words of yours; `…` stands for a name or a
number.
"""


@dataclass(frozen=True, order=True)
class Message:
    """A sentence of the code, the exception that carries it, and where the FAQ explains it."""

    section: str
    text: str
    exception: str
    module: str


def collect(checkout: Path) -> list[Message]:
    """Return the messages of the package and of the workflow, sorted by section and text."""
    found = set()
    for path in [*checkout.glob("cacl/**/*.py"), *checkout.glob("workflow/**/*.smk")]:
        name = path.relative_to(checkout).as_posix()
        for tree in _parsed(path.read_text(encoding="utf-8")):
            constants = dict(_constants(tree))
            for call in ast.walk(tree):
                if isinstance(call, ast.Call) and _name(call.func) in SECTIONS:
                    text = _text(call, constants)
                    if re.search(r"\w+ \w+", text):  # without words it is made elsewhere
                        found.add(Message(_section(call, name), text, _name(call.func), name))
    return sorted(found)


def page(checkout: Path) -> str:
    """Return the page of the site that lists the messages."""
    by_section: dict[str, list[str]] = defaultdict(list)
    for message in collect(checkout):
        by_section[message.section].append(message.text)
    lines = [HEAD]
    for section in dict.fromkeys([*SECTIONS.values(), *MODULES.values(), *errors.Reason]):
        texts = sorted(set(by_section.get(section, [])))
        if texts:
            is_reason = section in set(errors.Reason)
            title = f"`{section}`" if is_reason else section.replace("-", " ").capitalize()
            lines += [f"## {title}", "", f"[What to do](../faq.md#{section})", ""]
            lines += [*(f"- {_escaped(text)}" for text in texts), ""]
    return "\n".join(lines)


def _parsed(code: str) -> Iterator[ast.AST]:
    """Yield the syntax tree of a module, or those of the functions of a Snakefile."""
    try:
        yield ast.parse(code)
    except SyntaxError:  # rules
        for block in re.split(r"\n(?=\S)", code):
            if block.startswith("def "):
                yield ast.parse(block)


def _constants(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST, constants: dict[str, ast.expr]) -> str:
    """Return the words of an expression, `…` for what is known only in a run."""
    if isinstance(node, ast.Call) and _name(node.func) in SECTIONS:
        place = 1 if _name(node.func) == "ImageError" else 0
        return _text(node.args[place], constants) if len(node.args) > place else ""
    if isinstance(node, ast.Constant):
        return " ".join(str(node.value).split())
    if isinstance(node, ast.JoinedStr):
        joined = "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
        return " ".join(joined.split())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left, constants)} {_text(node.right, constants)}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        is_format = node.func.attr == "format"
        return re.sub(r"{[^}]*}", "…", _text(node.func.value, constants)) if is_format else "…"
    if isinstance(node, ast.Name) and isinstance(constants.get(node.id), ast.Constant):
        return _text(constants[node.id], constants)
    return "…"


def _section(call: ast.Call, module: str) -> str:
    exception = _name(call.func)
    if exception == "ImageError":
        reason = call.args[0]
        if isinstance(reason, ast.Attribute) and _name(reason.value) == "Reason":
            return str(errors.Reason[reason.attr])
    if exception in ("ConfigError", "TableError"):
        for start, section in MODULES.items():
            if module.startswith(start):
                return section
    return SECTIONS[exception]


def _escaped(text: str) -> str:
    """Return a text for Markdown: nothing in it is a link, a tag or emphasis."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
