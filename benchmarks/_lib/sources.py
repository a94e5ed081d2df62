"""The source files that the numbers of a table depend on, and their digest.

A table depends on the module that writes it, on every module of the checkout that this one imports,
directly or through others, and on what the catalog names besides: steps that run in processes of
their own, and files that are no modules. Comments and docstrings do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from cacl.runtime.digest import digest_of

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("cacl", "benchmarks", "tests")
NO_SOURCES = {"benchmarks._lib.report", "benchmarks._lib.sources"}
"""They write the file and its digest, and compute no number."""
DIGITS = 16


class SourceTree:
    """The source files of a checkout as they are when each is first looked at.

    Parameters
    ----------
    checkout
        Folder with the packages.
    """

    def __init__(self, checkout: Path = CHECKOUT) -> None:
        self.checkout = checkout
        self._modules: dict[str, tuple[Path, ...]] = {}
        self._imported: dict[Path, tuple[Path, ...]] = {}
        self._digests: dict[Path, str] = {}

    def digest(self, names: Iterable[str]) -> str:
        """Return a digest of all sources of a table, as hexadecimal digits; see `files`."""
        files = self.files(names)
        return digest_of(*(part for path in files for part in self._named_digest(path)))[:DIGITS]

    def files(self, names: Iterable[str]) -> list[Path]:
        """Return all source files of a table, sorted.

        Parameters
        ----------
        names
            Dotted modules, which stand for what they import as well, and paths in the checkout: of
            a file, or of a folder for all its files.

        Raises
        ------
        FileNotFoundError
            There is no such module or path.
        """
        found: set[Path] = set()
        pending: list[Path] = []
        for name in names:
            path = self.checkout / name
            if path.is_dir():
                found |= {file for file in path.rglob("*") if _is_source(file)}
            elif path.is_file():
                found.add(path)
            elif modules := self._files_of(name):
                pending += modules
            else:
                raise FileNotFoundError(f"There is no module or path {name} in {self.checkout}")
        while pending:
            file = pending.pop()
            if file not in found:
                found.add(file)
                pending += self._imported_by(file)
        return sorted(found)

    def _files_of(self, module: str) -> tuple[Path, ...]:
        """Return the file of a module and of the packages around it; none if there is none."""
        if module not in self._modules:
            self._modules[module] = tuple(self._find(module.split(".")))
        return self._modules[module]

    def _find(self, parts: list[str]) -> Iterator[Path]:
        base = self.checkout.joinpath(*parts)
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if parts[0] in PACKAGES and file.exists():
            yield file
            for folder in base.parents[: len(parts) - 1]:
                if (folder / "__init__.py").exists():
                    yield folder / "__init__.py"

    def _imported_by(self, file: Path) -> tuple[Path, ...]:
        """Return the files of the checkout that a module imports, in functions too."""
        if file not in self._imported:
            names = _names_in(file.read_bytes())
            self._imported[file] = tuple(path for name in names for path in self._files_of(name))
        return self._imported[file]

    def _named_digest(self, path: Path) -> tuple[str, str]:
        if path not in self._digests:
            data = path.read_bytes()
            is_code = path.suffix == ".py"
            self._digests[path] = _code_digest(data) if is_code else _bytes_digest(data)
        return path.relative_to(self.checkout).as_posix(), self._digests[path]


def _is_source(file: Path) -> bool:
    return file.is_file() and file.suffix != ".pyc"


@functools.cache
def _names_in(code: bytes) -> tuple[str, ...]:
    """Return the modules that a file may import, without those of other software."""
    names = {name for name in _imported_names(ast.parse(code)) if name.split(".")[0] in PACKAGES}
    return tuple(sorted(names - NO_SOURCES))


def _imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the modules that may be imported; `if TYPE_CHECKING` imports nothing."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _imported_names(child)


@functools.cache
def _code_digest(code: bytes) -> str:
    return _bytes_digest(code_of(code.decode()).encode())


def _bytes_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def code_of(text: str) -> str:
    """Return the text of a Python file without comments, docstrings and empty lines."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if _is_docstring(node) and not lines[node.lineno - 1][: node.col_offset].strip():
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, column = token.start
        if token.type == tokenize.COMMENT:
            lines[line - 1] = lines[line - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _is_docstring(node: ast.AST) -> TypeGuard[Any]:
    """Return whether a node is a text that stands alone."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
        return False
    return isinstance(node.value.value, str)
