"""Manifests as people's tools write them."""

from __future__ import annotations

import unicodedata
import zipfile
from io import BytesIO

import pandas as pd

from tests.corpus.table_case import MANIFEST_HEADER, Case, Kind

H = MANIFEST_HEADER
ONE = {"image_id": ["AB1/x"], "patient_id": ["p1"]}


def m(name: str, build: object, **expected: object) -> Case:
    return Case(name=name, kind=Kind.MANIFEST, build=build, **expected)  # type: ignore[arg-type]


def workbook(member: str) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, "x")
    return stream.getvalue()


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_path": ["x.jpg", "y.jpg"],
            "antibody_id": ["AB1", "AB2"],
            "patient_id": ["p1", None],
            "gene": [None, "SI"],
            "mpp": [0.5, None],
        }
    )


def _row(column: str, value: str) -> str:
    """Return a line with a value in one of the columns of names."""
    values = {"antibody_id": "AB1", "patient_id": "p1", "gene": "", "tissue": ""} | {column: value}
    return ",".join(["x.jpg", *values.values()])


TWO = {
    "image_id": ["AB1/x", "AB2/y"],
    "patient_id": ["p1", ""],
    "gene": ["", "SI"],
    "mpp": [0.5, None],
}
R_ROWS = '"x.jpg","AB1","p1",NA,0.5\n{}"y.jpg","AB2",NA,"SI",NA\n'
R_HEADER = '"image_path","antibody_id","patient_id","gene","mpp"\n'
MISSING_WORDS = ("NA", "N/A", "nan", "NaN", "NULL", "None", "#N/A", "-", "<NA>", "n/a", ".")

CASES = [
    m("pandas to_csv with its index", lambda: frame().to_csv().encode(), values=TWO),
    m(
        "pandas to_csv, na_rep nan",
        lambda: frame().to_csv(index=False, na_rep="nan").encode(),
        values=TWO,
    ),
    m(
        "R write.csv with row names, NA",
        '"",' + R_HEADER + '"1",' + R_ROWS.format('"2",'),
        values=TWO,
    ),
    m("R write.csv without row names", R_HEADER + R_ROWS.format(""), values=TWO),
    m(
        "R write.table, tabs, row names that the header does not count",
        (R_HEADER + '"1",' + R_ROWS.format('"7",')).replace(",", "\t"),
        values=TWO,
    ),
    m(
        "R write.table as it is: spaces between quoted values",
        (R_HEADER + '"1",' + R_ROWS.format('"2",')).replace(",", " "),
        values=TWO,
    ),
    m(
        "R data.frame: dots in the names of columns",
        "Image.Path,Antibody.ID,patient.id\nx.jpg,AB1,p1\n",
        values=ONE,
    ),
    *(
        m(
            f"missing gene, tissue, patient and label written {word}",
            f"{H},gene,tissue,label,mpp\nx.jpg,AB1,{word},{word},{word},{word},{word}\n",
            values={"gene": [""], "tissue": [""], "patient_id": [""], "label": [""], "mpp": [None]},
        )
        for word in MISSING_WORDS
    ),
    m(
        "Excel, German: semicolons, decimal comma, sep line, BOM, CR LF",
        "\ufeffsep=;\r\nimage_path;antibody_id;patient_id;mpp\r\nx.jpg;AB1;p1;0,4\r\n",
        values=ONE | {"mpp": [0.4]},
    ),
    m(
        "Excel, English: commas and empty columns at the end",
        f"{H},,\r\nx.jpg,AB1,p1,,\r\ny.jpg,AB2,p2,,\r\n",
        values={"image_id": ["AB1/x", "AB2/y"]},
    ),
    m(
        "Excel, French: quoted decimal comma in a comma table",
        f'{H},mpp\nx.jpg,AB1,p1,"0,25"\n',
        values={"mpp": [0.25]},
    ),
    m(
        "Excel 'Unicode text': UTF-16 with BOM, tabs",
        (H.replace(",", "\t") + "\r\nx.jpg\tAB1\tp\xfc\r\n").encode("utf-16"),
        values={"image_id": ["AB1/x"], "patient_id": ["p\xfc"]},
    ),
    m(
        "Excel, big-endian UTF-16 of a Mac",
        b"\xfe\xff" + (H + "\rx.jpg,AB1,p1\r").encode("utf-16-be"),
        values=ONE,
    ),
    m("classic Mac: carriage returns end the lines", f"{H}\rx.jpg,AB1,p1\r", values=ONE),
    m(
        "Numbers: an empty first line, commas, trailing empty fields",
        f"\n{H}\nx.jpg,AB1,p1,,\n,,,,\n",
        values=ONE,
    ),
    m(
        "LibreOffice: all texts quoted, bar as delimiter",
        '"image_path"|"antibody_id"|"patient_id"\n"x.jpg"|"AB1"|"p1"\n',
        values=ONE,
    ),
    m("Google Sheets: CR LF, no end of the last line", f"{H}\r\nx.jpg,AB1,p1", values=ONE),
    m(
        'Excel formula that keeps zeros: ="007"',
        f'{H}\nx.jpg,AB1,="007"\n',
        values={"patient_id": ["007"]},
    ),
    m(
        "copied from a web page: no-break and zero-width spaces, bidi marks",
        f"{H},tissue\n\u202ax.jpg\u202c,AB1\u200b,\u00a0p1\u00a0,small\u00a0intestine\n",
        values=ONE | {"tissue": ["small intestine"]},
    ),
    m(
        "Mac: decomposed umlaut in a tissue",
        unicodedata.normalize("NFD", f"{H},tissue\nx.jpg,AB1,p1,D\xfcnndarm\n"),
        values={"tissue": ["d\xfcnndarm"]},
    ),
    m(
        "several lines in a cell of a column of notes",
        f'{H},notes\nx.jpg,AB1,p1,"one\ntwo\r\nthree"\ny.jpg,AB2,p2,\n',
        values={"image_id": ["AB1/x", "AB2/y"]},
    ),
    m("a quote in a value", f'{H},tissue\nx.jpg,AB1,p1,"5"" cut"\n', values={"tissue": ['5" cut']}),
    m(
        "Windows: a path with backslashes",
        f"{H}\na\\b\\x.jpg,AB1,p1\n",
        values={"path": ["a/b/x.jpg"]},
    ),
    m("a path in quotes", f"{H}\n\"'a b/x.jpg'\",AB1,p1\n", values={"path": ["a b/x.jpg"]}),
    m("a path with spaces around", f"{H}\n  a/x.jpg  ,AB1,p1\n", values={"path": ["a/x.jpg"]}),
    m(
        "an Ensembl id with its version",
        f"{H},ensembl_id\nx.jpg,AB1,p1,ENSG00000134057.15\n",
        values={"ensembl_id": ["ENSG00000134057"]},
    ),
    # refused
    m(
        "Windows: a drive",
        f"{H}\nC:\\a\\x.jpg,AB1,p\n",
        sentence=("line 2", "Windows path", "/mnt/c"),
    ),
    m("a URL", f"{H}\nhttps://h/x.jpg,AB1,p\n", sentence=("line 2", "URL", "download the image")),
    m(
        "Windows-1252",
        f"{H}\nx.jpg,AB1,M\xfcller\n".encode("cp1252"),
        sentence=("line 2", "'\xfc' in Windows-1252", "CSV UTF-8"),
    ),
    m(
        "UTF-16 without BOM",
        (H + "\nx.jpg,AB1,p\n").encode("utf-16-le"),
        sentence=("NUL character", "CSV UTF-8"),
    ),
    m(
        "Excel workbook under the name of a CSV",
        lambda: workbook("xl/workbook.xml"),
        sentence=("Excel workbook (.xlsx)", "CSV UTF-8"),
    ),
    m("Numbers file", lambda: workbook("Index/Document.iwa"), sentence=("Numbers", "CSV UTF-8")),
    m(
        "LibreOffice file",
        lambda: workbook("application/vnd.oasis.opendocument.spreadsheet"),
        sentence=("OpenDocument", "CSV UTF-8"),
    ),
    m("Excel 97 workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", sentence=("(.xls)", "CSV UTF-8")),
    m(
        "Google Sheets: the web page instead of its export",
        "<!DOCTYPE html><html>",
        sentence=("web page", "CSV UTF-8"),
    ),
    m("gzip", b"\x1f\x8b\x08\0", sentence=("gzip", "CSV UTF-8")),
    m(
        "carriage return inside a value",
        f"{H},gene\nx.jpg,AB1,p1,GE\rNE\n",
        sentence=("line 2", "carriage return", "remove it"),
    ),
    m(
        "carriage return inside quotes",
        f'{H},gene\nx.jpg,AB1,p1,"GE\rNE"\n',
        sentence=("line 2", "carriage return (U+000D)", "remove it"),
    ),
    m("line break inside a patient", f'{H}\nx.jpg,AB1,"p\n1"\n', sentence=("line 2", "line break")),
    m("NUL", f"{H}\nx.jpg,AB1,p\0\n", sentence=("NUL character", "save it")),
    m(
        "line separator of Unicode inside a gene",
        f"{H},gene\nx.jpg,AB1,p,A\u2028B\n",
        sentence=("line 2", "U+2028", "remove it"),
    ),
    m(
        "Excel: gene made a date",
        f"{H},gene\nx.jpg,AB1,p,1-Mar\n",
        sentence=("line 2", "MARCHF1 (formerly MARCH1)", "as text"),
    ),
    m(
        "Excel: patients made one shortened number",
        f"{H}\nx.jpg,AB1,1.23457E+11\n",
        sentence=("line 2", "shortened", "format the column as text"),
    ),
    m(
        "Excel: error of a formula",
        f"{H},gene\nx.jpg,AB1,p,#NAME?\n",
        sentence=("line 2", "#NAME?", "correct the cell"),
    ),
    m(
        "a formula",
        f"{H},gene\nx.jpg,AB1,p,=HYPERLINK(1)\n",
        sentence=("line 2", "formula", "remove"),
    ),
    m(
        "mpp with thousands separators",
        f'{H},mpp\nx.jpg,AB1,p,"1,000.5"\n',
        sentence=("line 2", "'1,000.5'", "such as 0.5"),
    ),
    m("mpp in nanometres", f"{H},mpp\nx.jpg,AB1,p,250\n", sentence=("line 2", "0.05 to 5")),
    m("mpp in millimetres", f"{H},mpp\nx.jpg,AB1,p,0.00025\n", sentence=("0.05 to 5",)),
    m("mpp with a unit", f"{H},mpp\nx.jpg,AB1,p,0.5 um\n", sentence=("'0.5 um'", "plain number")),
    m("mpp made a date", f"{H},mpp\nx.jpg,AB1,p,05. Apr\n", sentence=("'05. Apr'", "such as 0.5")),
    m(
        "an unquoted delimiter in a path",
        f"{H}\na,b/x.jpg,AB1,p\n",
        sentence=("line 2", "4 fields, expected 3", "quote a value"),
    ),
    m(
        "lines in quotes as a whole",
        f'"{H}"\n"x.jpg,AB1,p"\n',
        sentence=("in quotes as a whole", "remove"),
    ),
    m(
        "two tables after each other",
        f"{H}\nx.jpg,AB1,p\n{H}\ny.jpg,AB2,p\n",
        sentence=("line 3", "header is repeated", "remove the line"),
    ),
    m(
        "QuPath's export of measurements",
        "Image\tObject ID\tParent\tCentroid X \xb5m\nx.svs\t1\tA\t3,5\n",
        sentence=("no column image_path, antibody_id, patient_id", "first line must name"),
    ),
    m(
        "10 million commas",
        lambda: b"," * 10_000_000,
        sentence=("10,000,000 characters in one line",),
    ),
    m("one line of 200 MB", lambda: b"x" * 200_000_000, sentence=("200,000,000 bytes", "at most")),
    m("2,000 columns", H + ",x" * 2000 + "\n", sentence=("2,003 columns", "at most 1,000")),
    # locales, titles, row names, formulas
    m(
        "Excel 'CSV UTF-8', German: semicolons, decimal comma, umlaut",
        f"\ufeff{H},mpp,tissue\r\nx.jpg,AB1,p1,0.25,D\xfcnndarm\r\n".replace(",", ";")
        .replace(".25", ",25")
        .encode(),
        values=ONE | {"mpp": [0.25], "tissue": ["d\xfcnndarm"]},
    ),
    *(
        m(
            f"Excel 'Unicode text', {locale}: tabs, decimal comma",
            f"{H},tissue,mpp\r\nx.jpg,AB1,p1,{tissue},0;25\r\n".replace(",", "\t")
            .replace(";", ",")
            .encode("utf-16"),
            values=ONE | {"mpp": [0.25], "tissue": [tissue]},
        )
        for locale, tissue in (("German", "speiser\xf6hre"), ("French", "\u0153sophage"))
    ),
    m(
        "Excel, German: empty columns and empty rows at the end",
        f"{H},,\r\nx.jpg,AB1,p1,,\r\n,,,,\r\n,,,,\r\n".replace(",", ";"),
        values=ONE,
    ),
    m(
        "R write.csv2: semicolons, row names",
        f'"",{H}\n"1",x.jpg,AB1,p1\n'.replace(",", ";"),
        values=ONE,
    ),
    m(
        "R write.table: quoted row names of letters",
        f'{H}\n"core A","x.jpg","AB1","p1"\n"core B","y.jpg","AB2","p2"\n',
        values={"image_id": ["AB1/x", "AB2/y"], "patient_id": ["p1", "p2"]},
    ),
    m(
        "R write.table: row names of letters without quotes",
        f"{H}\ncoreA x.jpg AB1 p1\ncoreB y.jpg AB2 p2\n".replace(",", " "),
        sentence=("line 2", "4 fields, expected 3", "name a column of row names"),
    ),
    m("pandas: two index columns", f",,{H}\na,0,x.jpg,AB1,p1\n", values=ONE),
    m("pandas: an index read and written again", f"Unnamed: 0,{H}\n0,x.jpg,AB1,p1\n", values=ONE),
    m(
        "Numbers: the title of the table above the header",
        f"Table 1,,\n{H}\nx.jpg,AB1,p1\n",
        sentence=("header is on line 2", "'Table 1,,'", "remove the lines above"),
    ),
    m(
        "Numbers, German: title, semicolons",
        f"Tabelle 1,,\n{H}\nx.jpg,AB1,p1\n".replace(",", ";"),
        sentence=("header is on line 2", "remove the lines above"),
    ),
    m(
        "Excel: a title and an empty row above the header",
        f"Cores of 2024,,\n,,\n{H}\nx.jpg,AB1,p1\n",
        sentence=("header is on line 3", "remove the lines above"),
    ),
    m(
        "QuPath's export of annotations",
        "Image,Name,Class,Parent,ROI\nx.svs,A,Tumor,Root object (Image),Polygon\n",
        sentence=("no column image_path, antibody_id, patient_id", "first line must name"),
    ),
    *(
        m(
            f"a {column} that starts with {sign}",
            f"{H},gene,tissue\n{_row(column, sign + 'x')}\n",
            sentence=("line 2", f"{column} is '{sign}x'", "formula; remove its first character"),
        )
        for column in ("antibody_id", "patient_id", "gene", "tissue")
        for sign in "=+-@"
    ),
    m("a patient that is a negative number", f"{H}\nx.jpg,AB1,-5\n", values={"patient_id": ["-5"]}),
    *(
        m(
            f"gene and patient {name}",
            f"{H},gene\nx.jpg,AB1,{name},{name}\n",
            values={"gene": [name]},
        )
        for name in ("1E5", "2310009E13Rik", "MARCH1", "SEPT2")
    ),
    *(
        m(
            f"{tool}: a gene made the number {number}",
            f"{H},gene\nx.jpg,AB1,p,{number}\n".replace(",", ";").replace("~", ","),
            sentence=("line 2", "shortened", "format the column as text"),
        )
        for tool, number in (
            ("Excel, English", "2.31E+13"),
            ("Excel, German", "2~31E+13"),
            ("Excel, round", "1E+05"),
            ("R", "1e+05"),
        )
    ),
    *(
        m(
            f"Excel, {locale}: {symbol} made {date}",
            f"{H},gene\nx.jpg,AB1,p,{date}\n".replace(",", ";"),
            sentence=("line 2", symbol, "import the column as text"),
        )
        for locale, date, symbol in (
            ("English", "2-Sep", "SEPTIN2"),
            ("American", "3/1/2024", "MARCHF1"),
            ("British", "01/03/2024", "MARCHF1"),
            ("German", "01. Mrz", "MARCHF1"),
            ("German, short", "1.3.2024", "MARCHF1"),
            ("French", "01-mars", "MARCHF1"),
            ("French, short", "02/09/2024", "SEPTIN2"),
            ("French, with accent", "1-d\xe9c.", "DELEC1"),
            ("Dutch", "1-mrt", "MARCHF1"),
            ("Spanish", "1-dic", "DELEC1"),
            ("Italian", "2-set", "SEPTIN2"),
            ("ISO", "2024-09-02", "SEPTIN2"),
            ("order open", "3/9/2024", "MARCHF9 (formerly MARCH9) or SEPTIN3"),
        )
    ),
]
