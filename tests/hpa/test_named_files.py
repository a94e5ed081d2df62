from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cacl.config import resolve
from cacl.errors import ConfigError
from cacl.hpa.named_files import check_named_files


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        (
            {"source": {"kind": "manifest", "manifest": "own.csv"}},
            "source.manifest: there is no file {folder}/own.csv",
        ),
        (
            {"source": {"kind": "mirror", "mirror": "host"}},
            "source.mirror: there is no folder {folder}/host",
        ),
        (
            {"source": {"kind": "hpa", "genes": "my genes.txt"}},
            "source.genes: there is no list of genes {folder}/my genes.txt",
        ),
        ({"labels": {"overrides": "own.csv"}}, "labels.overrides: there is no file"),
    ],
)
def test_missing_files_are_named_with_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config = resolve(sections)
    with pytest.raises(ConfigError) as caught:
        check_named_files(config)
    assert sentence.format(folder=tmp_path) in str(caught.value)
    for name in ("own.csv", "my genes.txt"):
        Path(name).touch()
    Path("host").mkdir()
    check_named_files(config)


def test_names_of_genes_are_no_files() -> None:
    check_named_files(resolve({"source": {"kind": "hpa", "genes": ["SI", "ANPEP"]}}))
