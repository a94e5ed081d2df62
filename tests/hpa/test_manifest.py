"""Manifests: accepted forms of the CSV, error messages, the catalog of a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.config import LabelsConfig, SourceConfig
from cacl.errors import ManifestError
from cacl.hpa.manifest import read_manifest
from cacl.steps.catalog import catalog
from cacl.tables import read_parquet
from cacl.tables.schemas import ImageRow

HEADER = "image_path,antibody_id,patient_id"


def manifest(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_message(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        read_manifest(manifest(tmp_path, text))
    return str(caught.value)


def test_reads_manifest_of_real_cores(shared_data: Path) -> None:
    rows = read_manifest(shared_data / "cores" / "manifest.csv")
    assert [row.image_id for row in rows] == [
        "HPA026485/55449_A_1_1",
        "HPA026485/55449_A_1_2",
        "HPA026485/55449_A_1_3",
        "HPA026485/55449_A_1_4",
        "HPA001873/7921_A_1_2",
    ]
    assert [row.label for row in rows] == ["positive", "", "positive", "negative", "positive"]
    assert all(Path(row.path).is_file() for row in rows)


def test_resolves_paths_against_the_manifest(tmp_path: Path) -> None:
    rows = read_manifest(
        manifest(tmp_path, f"{HEADER},mpp,label\na/x.jpg,AB1,p1,0.5,Positive\n/y/z.svs,AB1,p2,,\n")
    )
    assert [row.path for row in rows] == [str(tmp_path / "a" / "x.jpg"), "/y/z.svs"]
    assert [row.mpp for row in rows] == [0.5, None]
    assert [row.label for row in rows] == ["positive", ""]
    assert [row.label_source for row in rows] == ["manifest.csv", ""]
    assert {row.hpa_version for row in rows} == {""}


def test_accepts_explicit_image_ids(tmp_path: Path) -> None:
    text = f"{HEADER},image_id\nx.jpg,AB1,p,one\nx.jpg,AB1,p,AB1/two\n"
    ids = [row.image_id for row in read_manifest(manifest(tmp_path, text))]
    assert ids == ["AB1/one", "AB1/two"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + f"{HEADER}\nx.jpg,AB1,p1\n".encode(),
        f"{HEADER}\nx.jpg,AB1,p1\n".replace(",", ";").encode(),
        f"{HEADER}\nx.jpg,AB1,p1\n".replace(",", "\t").encode(),
        f"{HEADER}\r\nx.jpg,AB1,p1\r\n\r\n".encode(),
        b'Image_Path, antibody_id ,PATIENT_ID\n"x.jpg", AB1 ,p1\n',
    ],
    ids=["byte order mark", "semicolons", "tabs", "crlf and empty line", "spaces and case"],
)
def test_reads_csv_variants_of_spreadsheets(tmp_path: Path, text: bytes) -> None:
    (row,) = read_manifest(manifest(tmp_path, text))
    assert (row.image_id, row.patient_id) == ("AB1/x", "p1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_path,patient_id\nx.jpg,p\n",
            f"has no column antibody_id; its first line must name at least {HEADER}",
        ),
        (
            f"{HEADER},lable\nx.jpg,AB1,p,positive\n",
            "unknown column 'lable'; did you mean 'label'?",
        ),
        (
            f"{HEADER},label\nx.jpg,AB1,p,yes\n",
            "line 2: the label 'yes' is unknown; expected positive, negative or nothing",
        ),
        (f"{HEADER}\nx.jpg,AB1,p\ny/x.png,AB1,p\n", "line 3: the image AB1/x is already on line 2"),
        (f"{HEADER}\nx.jpg,AB1,p\nX.jpg,ab1,p\n", "line 3: the image ab1/X is already on line 2"),
        (f"{HEADER}\nx.jpg,../etc,p\n", "line 2: The antibody id '../etc' cannot be a file name"),
        (f"{HEADER}\nx.jpg,,p\n", "line 2: The antibody id '' cannot be a file name"),
        (f"{HEADER}\na b.jpg,AB1,p\n", "line 2: The image name 'a b' cannot be a file name"),
        (f"{HEADER}\nx.jpg,con,p\n", "line 2: The antibody id 'con' cannot be a file name"),
        (f"{HEADER},image_id\nx.jpg,AB1,p,AB2/x\n", "line 2: The image name 'AB2/x' cannot be"),
        (f"{HEADER},image_id\nx.jpg,AB1,p,zarr.json\n", "line 2: The image name 'zarr.json'"),
        (f"{HEADER}\n,AB1,p\n", "line 2: image_path is empty"),
        (f"{HEADER}\nhttps://h/x.jpg,AB1,p\n", "line 2: image_path is the URL"),
        (f"{HEADER},mpp\nx.jpg,AB1,p,half\n", "line 2: mpp is 'half'; expected micrometres"),
        (f"{HEADER},mpp\nx.jpg,AB1,p,-1\n", "line 2: mpp is '-1'; expected micrometres"),
        (f"{HEADER},mpp\nx.jpg,AB1,p,inf\n", "line 2: mpp is 'inf'; expected micrometres"),
        (f"{HEADER}\nx.jpg,AB1\n", "line 2: 2 fields, expected 3"),
        (f"{HEADER}\n", "has a header but no line below it"),
        (f"{HEADER},antibody_id\nx.jpg,AB1,p,AB2\n", "has the column antibody_id twice"),
        (f'{HEADER}\n"x.jpg,AB1,p\n', "not a line of a CSV"),
        ("", "is empty; its first line must be image_path,antibody_id,patient_id"),
        (b"\xff\xfei\0m", "is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8 text"),
        (b"image_path\0", "is not a text file"),
    ],
)
def test_rejects_invalid_manifest_with_remedy(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert message in error_message(tmp_path, text)


def test_rejects_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.csv cannot be read"):
        read_manifest(tmp_path / "nowhere.csv")
    with pytest.raises(ManifestError, match=r"cannot be read \(Is a directory\)"):
        read_manifest(tmp_path)


def test_reports_up_to_ten_errors_at_once(tmp_path: Path) -> None:
    lines = "".join(f"x{number}.jpg,AB 1,p\n" for number in range(14))
    message = error_message(tmp_path, f"{HEADER}\n{lines}")
    assert "line 2:" in message
    assert "line 11:" in message
    assert message.endswith("... and 4 more line(s)")


def test_catalog_of_manifest_with_overrides(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        f"{HEADER},label,gene,tissue\nx.jpg,AB1,p1,positive,SI,Colon\ny.jpg,AB2,p1,,MYO1A,\n",
    )
    overrides = tmp_path / "overrides.csv"
    overrides.write_text("image_id,label\nAB2/y,negative\nAB9/z,positive\n")
    summary = catalog(
        tmp_path / "out",
        tmp_path / "failures.csv",
        SourceConfig(kind="manifest", manifest=path),
        LabelsConfig(overrides=overrides),
        shards=2,
    )
    rows = read_parquet(tmp_path / "out" / "images.parquet", ImageRow)
    assert [(row.image_id, row.tissue, row.label, row.label_source) for row in rows] == [
        ("AB1/x", "colon", "positive", "manifest.csv"),
        ("AB2/y", "", "negative", "overrides.csv"),
    ]
    assert (summary.images, summary.positive, summary.negative) == (2, 1, 1)
    assert summary.unused_overrides == ("AB9/z",)
    assert "AB9/z" in str(summary)


def test_genes_and_antibodies_filter_a_manifest(tmp_path: Path) -> None:
    path = manifest(tmp_path, f"{HEADER},gene\nx.jpg,AB1,p1,SI\ny.jpg,AB2,p1,SI\nz.jpg,AB3,p,X\n")

    def images(genes: tuple[str, ...] = (), antibodies: tuple[str, ...] = ()) -> int:
        source = SourceConfig(kind="manifest", manifest=path, genes=genes, antibodies=antibodies)
        out = tmp_path / "out"
        return catalog(out, tmp_path / "f.csv", source, LabelsConfig(), shards=1).images

    assert (images(), images(genes=("si",)), images(antibodies=("ab2",))) == (3, 2, 1)


def test_rows_of_a_slide_have_regions_and_ids_of_their_own(tmp_path: Path) -> None:
    text = (
        f"{HEADER},region,position,status\nt.svs,AB1,p1,25x24+100+200,A1,found\n"
        "t.svs,AB1,p1,25x24+900+200,A2,split\nt.svs,AB1,p2,25X24 + 5 + 6,,\nt.svs,AB2,p2,,,\n"
    )
    rows = read_manifest(manifest(tmp_path, text))
    assert [row.image_id for row in rows] == ["AB1/t_A1", "AB1/t_A2", "AB1/t_5_6", "AB2/t"]
    assert [row.region for row in rows] == ["25x24+100+200", "25x24+900+200", "25x24+5+6", ""]
    assert len({row.path for row in rows}) == 1


def test_region_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    for cell in ("1200:3400:25:25", "0x10+1+1", "-5x5+0+0", "5x5+-1+0", "a", "1e9x5+0+0"):
        message = error_message(tmp_path, f"{HEADER},region\nt.svs,A,p,{cell}\n")
        assert f"line 2: the region is {cell!r}; expected <width>x<height>+<x>+<y>" in message


def test_cores_of_a_slide_need_a_patient(tmp_path: Path) -> None:
    text = f"{HEADER},region,position\nx.jpg,A,,,\nt.svs,A,p,9x9+0+0,A1\nt.svs,A,,9x9+9+0,A2\n"
    message = error_message(tmp_path, text)
    assert "patient_id is empty on 1 of 3 lines, the first of them line 4 (core A2)" in message
    assert "write the patient of each core" in message


def test_equal_regions_of_a_slide_are_one_image(tmp_path: Path) -> None:
    text = f"{HEADER},region\nt.svs,A,p,9x9+0+0\nt.svs,A,p,5x5+0+0\n"
    assert "the image A/t_0_0 is already on line 2" in error_message(tmp_path, text)
