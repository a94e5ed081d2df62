"""The digest of a table's sources changes with its code, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._lib.sources import SourceTree, code_of

FILES = {
    "benchmarks/__init__.py": "",
    "benchmarks/table.py": '''"""A table."""

from typing import TYPE_CHECKING

from benchmarks._lib.report import write_table
from cacl.maths import double

if TYPE_CHECKING:
    from cacl.api import Model


def main():
    from cacl import late

    write_table(double(late.VALUE))
''',
    "benchmarks/_lib/__init__.py": "",
    "benchmarks/_lib/report.py": "from cacl import unrelated\n",
    "cacl/__init__.py": "",
    "cacl/api.py": "Model = int\n",
    "cacl/maths.py": '"""Mathematics."""\n\nfrom cacl.constants import TWO\n\n'
    'def double(value):\n    """Return twice a value."""\n    return TWO * value\n',
    "cacl/constants.py": "TWO = 2  # a constant\n",
    "cacl/late.py": "VALUE = 1\n",
    "cacl/unrelated.py": "VALUE = 1\n",
    "cacl/step.py": "from cacl.unrelated import VALUE\n",
    "config/config.yaml": "seed: 0\n",
}
SOURCES = ("benchmarks.table", "config")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def digest_with(checkout: Path, name: str, text: str) -> str:
    (checkout / name).write_text(text, encoding="utf-8")
    return SourceTree(checkout).digest(SOURCES)


def test_sources_are_the_module_its_imports_and_the_named_paths(checkout: Path) -> None:
    found = SourceTree(checkout).files(SOURCES)
    assert [path.relative_to(checkout).as_posix() for path in found] == [
        "benchmarks/__init__.py",
        "benchmarks/table.py",
        "cacl/__init__.py",
        "cacl/constants.py",
        "cacl/late.py",
        "cacl/maths.py",
        "config/config.yaml",
    ]


def test_sources_of_a_step_in_another_process_are_named(checkout: Path) -> None:
    found = SourceTree(checkout).files([*SOURCES, "cacl.step"])
    names = {path.relative_to(checkout).as_posix() for path in found}
    assert {"cacl/step.py", "cacl/unrelated.py"} <= names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cacl/constants.py", "TWO = 3\n"),
        ("cacl/late.py", "VALUE = 2\n"),
        ("config/config.yaml", "seed: 1\n"),
        ("config/more.yaml", "seed: 0\n"),
        ("benchmarks/table.py", FILES["benchmarks/table.py"].replace("late.VALUE", "3")),
    ],
)
def test_a_changed_source_changes_the_digest(checkout: Path, name: str, text: str) -> None:
    before = SourceTree(checkout).digest(SOURCES)
    assert digest_with(checkout, name, text) != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cacl/constants.py", '"""Constants."""\n\nTWO = 2  # two\n"""Twice one."""\n'),
        ("cacl/maths.py", FILES["cacl/maths.py"].replace("Return twice a value", "Double it")),
        ("cacl/unrelated.py", "VALUE = 2\n"),
        ("cacl/api.py", "Model = str\n"),
        ("benchmarks/_lib/report.py", "from cacl import api\n"),
    ],
)
def test_texts_and_other_files_leave_the_digest(checkout: Path, name: str, text: str) -> None:
    before = SourceTree(checkout).digest(SOURCES)
    assert digest_with(checkout, name, text) == before


def test_a_new_name_of_a_source_changes_the_digest(checkout: Path) -> None:
    before = SourceTree(checkout).digest(SOURCES)
    (checkout / "config/config.yaml").rename(checkout / "config/other.yaml")
    assert SourceTree(checkout).digest(SOURCES) != before


def test_an_unknown_source_is_an_error(checkout: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cacl\.missing"):
        SourceTree(checkout).digest(["cacl.missing"])


def test_code_keeps_texts_that_are_values() -> None:
    code = 'NAME = """a\n# b"""\n\n\ndef f():  # c\n    """d"""\n    return "# e"\n'
    assert code_of(code) == 'NAME = """a\n# b"""\ndef f():\n    return "# e"'
