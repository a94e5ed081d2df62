"""Paths of a manifest, as people and their machines write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from cacl.errors import ManifestError
from cacl.hpa.local_path import exists, local_path

NAME = "Gr\u00f6\u00dfe/Pr\u00e9paration"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_finds_composed_and_decomposed_letters(tmp_path: Path, on_disk: str, written: str) -> None:
    folder = tmp_path / unicodedata.normalize(on_disk, NAME)  # type: ignore[arg-type]
    folder.mkdir(parents=True)
    (folder / "x.jpg").write_bytes(b"x")
    text = unicodedata.normalize(written, f"{NAME}/x.jpg")  # type: ignore[arg-type]
    assert local_path(text, tmp_path) == folder / "x.jpg"


def test_finds_letters_of_mixed_forms(tmp_path: Path) -> None:
    first, second = NAME.split("/")
    folder = tmp_path / unicodedata.normalize("NFD", first) / second
    folder.mkdir(parents=True)
    (folder / "x.jpg").write_bytes(b"x")
    assert local_path(f"{NAME}/x.jpg", tmp_path) == folder / "x.jpg"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a\\b\\x.jpg", "a/b/x.jpg"),
        ('"a b.jpg"', "a b.jpg"),
        ("\u201ca b.jpg\u201d", "a b.jpg"),
        ("{x}/y.jpg", "{x}/y.jpg"),
    ],
)
def test_reads_other_forms(tmp_path: Path, text: str, path: str) -> None:
    assert local_path(text, tmp_path) == tmp_path / path


def test_reads_file_urls_and_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/x.jpg", Path("/m")) == tmp_path / "x.jpg"
    assert local_path("file:///a%20b/x.jpg", Path("/m")) == Path("/a b/x.jpg")


def test_a_name_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    for name in ("a\\b.jpg", "~x.jpg", "'q'"):
        (tmp_path / name).write_bytes(b"x")
    assert local_path("a\\b.jpg", tmp_path).name == "a\\b.jpg"
    assert local_path("~x.jpg", tmp_path).name == "~x.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C:\\x.jpg", "Windows path"),
        ("c:/x.jpg", "Windows path"),
        ("\\\\server\\share\\x.jpg", "Windows path"),
        ("s3://bucket/x.jpg", "is the URL"),
        ("file://other-host/x.jpg", "is the URL"),
        ("http://[x/y.jpg", "is the URL"),
        ("~no-such-user-here/x.jpg", "home folder"),
    ],
)
def test_rejects_paths_of_other_machines(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        local_path(text, tmp_path)


def test_a_path_that_no_file_can_have_does_not_exist(tmp_path: Path) -> None:
    assert not exists(tmp_path / ("x" * 304))
    assert not exists(Path("x\0"))
