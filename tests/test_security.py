"""SECURITY.md names a test for every line, and the tests exist; boundaries without a room."""

from __future__ import annotations

import ast
import csv
import io
import re
import zipfile
from pathlib import Path

import pytest

from cacl import config, tables
from cacl.errors import ConfigError, ImageError, ManifestError, Reason
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.gene_index import GeneIndex
from cacl.hpa.manifest import read_manifest
from cacl.hpa.mirror import Mirror
from cacl.hpa.urls import image_id_of
from cacl.tables.schemas import ImageRow
from tests.fixtures.catalogs import build_catalog, image_url, make_mirror
from tests.fixtures.hpa_server import antibody_xml, gene_xml

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
TABLE = b"Gene\tGene name\tTissue\tCell type\tLevel\tReliability\nENSG1\tSI\tskin\tx\tHigh\tHigh\n"


@pytest.fixture
def page(checkout: Path) -> str:
    return (checkout / "SECURITY.md").read_text(encoding="utf-8")


def test_every_line_names_tests_that_exist(checkout: Path, page: str) -> None:
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 20
    assert not [line for line in lines if not NAMED.search(line)]
    for path, name in NAMED.findall(page):
        tree = ast.parse((checkout / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, path


def test_page_is_one_page(page: str) -> None:
    assert len(page.splitlines()) <= 70


@pytest.mark.parametrize("name", ["../table.tsv", "/etc/table.tsv", "a/../../table.tsv"])
def test_table_of_an_archive_is_read_without_writing_a_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "table.tsv.zip", "w") as archive:
        archive.writestr(name, TABLE)
    before = sorted(tmp_path.rglob("*"))
    assert [row.gene for row in read_annotation_table(folder / "table.tsv.zip")] == ["SI"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system [touch ran]",
        "!!python/name:os.system",
        "!!python/object/new:subprocess.Popen [[touch, ran]]",
        "!!python/module:os",
    ],
)
def test_yaml_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(f"seed: {value}\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load([tmp_path / "config.yaml"])
    assert not (tmp_path / "ran").exists()


def test_yaml_aliases_do_not_multiply(tmp_path: Path) -> None:
    levels = [f"&l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = f"seed: [&l0 [x, x, x, x, x, x, x, x, x], {', '.join(levels)}]\n"
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load([tmp_path / "config.yaml"])
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/etc", "a\\b", "", ".x", "x" * 101, "a\0"])
def test_ids_with_other_paths_are_refused(name: str) -> None:
    for antibody_id, image in ((name, "a"), ("HPA1", name)):
        with pytest.raises(ImageError) as caught:
            image_id_of(antibody_id, image)
        assert caught.value.reason is Reason.UNSAFE_ID


def test_gene_file_of_a_mirror_stays_below_it(tmp_path: Path) -> None:
    """The Ensembl id of a host's table becomes a file name only if it has the form of one."""
    index = GeneIndex()
    index.add("../../ENSG00000090402", "SI", ("S1",), ("HPA1",))
    assert index.genes("SI") == set()
    assert index.genes("../ENSG00000090402") == set()
    assert Mirror(tmp_path).gene_file("ENSG00000090402").parent == tmp_path


def test_only_named_environment_variables_are_read(checkout: Path) -> None:
    """Libraries read their own; this package reads these, and sets those of cuBLAS and OpenMP.

    `PATH` is where programs are looked for, those beside the interpreter too.
    """
    code = "\n".join(path.read_text(encoding="utf-8") for path in (checkout / "cacl").rglob("*.py"))
    assert set(re.findall(r'"envvar": "(\w+)"', code)) == {"CACL_DASK_SCHEDULER"}
    assert set(re.findall(r"os\.(?:environ|getenv)[^,)]*", code)) == {
        'os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG"',
        'os.environ.get("SLURM_MEM_PER_NODE"',
        'os.environ.get(f"SLURM_{name}"',
        "os.environ.get(MEMORY_VARIABLE",
        "os.environ for name in WAITING",
        'os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT',
        'os.environ.get("PATH"',
        """os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH'""",
    }


FORMULAS = ('=HYPERLINK("http://x")', "@SUM(1)", "+1+1", "-2+3|cmd")


@pytest.mark.parametrize("name", FORMULAS)
def test_names_of_a_gene_xml_are_no_formulas_in_a_csv(tmp_path: Path, name: str) -> None:
    antibodies = (
        antibody_xml("HPA000001", (image_url(1),)),
        antibody_xml(name.replace('"', ""), (image_url(2),)),
    )
    mirror = make_mirror(tmp_path, gene_xml(gene=name, antibodies=antibodies))
    genes = tmp_path / "genes.txt"
    genes.write_text("ENSG00000090402\n=1+1\n", encoding="utf-8")
    built = build_catalog(mirror, tmp_path / "catalog", genes=(str(genes),))
    assert [row.gene for row in built.images] == [name]
    assert sorted(reason for _, reason, _ in built.failures) == ["unknown_name", "unsafe_id"]
    products = {
        "failures": (tmp_path / "catalog" / "failures.csv").read_text(encoding="utf-8"),
        "images": tables.table_csv(built.images, ImageRow),
    }
    for text in products.values():
        cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert f"'{name}" in next(csv.reader(products["images"].splitlines()[1:]))


@pytest.mark.parametrize("column", ["antibody_id", "patient_id", "gene", "tissue", "image_id"])
@pytest.mark.parametrize("name", FORMULAS)
def test_names_of_a_manifest_are_no_formulas(tmp_path: Path, column: str, name: str) -> None:
    values = {"image_path": "x.jpg", "antibody_id": "A", "patient_id": "p"} | {column: name}
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([values.keys(), values.values()])
    with pytest.raises(ManifestError, match=f"line 2: {column} .*formula; remove its first"):
        read_manifest(manifest)
