"""Overrides, annotation tables and configurations as people and tools write them."""

from __future__ import annotations

from tests.corpus.table_case import ANNOTATION_HEADER, Case, Kind

HEADER = "image_id,row,col,label"
APPLIED = {"images": {"A/a": "negative", "B/b": "negative"}, "tiles": {"B/b,0,1": "positive"}}
ROWS = "A/a,,,negative\nB/b,0,1,positive\n"
LEVELS = {"CCNB1": "high", "NFYA": "not detected", "SI": "medium"}
GENE_ROWS = (
    ("ENSG00000134057", "CCNB1", "Duodenum", "Enterocytes - Microvilli", "High", "Enhanced"),
    ("ENSG00000001167", "NFYA", "Duodenum", "Enterocytes - Microvilli", "Not detected", "Approved"),
    ("ENSG00000090402", "SI", "Duodenum", "Enterocytes - Microvilli", "Medium", "Approved"),
)
TABLE = "\n".join([ANNOTATION_HEADER, *("\t".join(row) for row in GENE_ROWS)]) + "\n"
BAD = {"normal_tissue.tsv": "bad_annotation"}
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghi"
)


def o(name: str, build: object, **expected: object) -> Case:
    return Case(name=name, kind=Kind.OVERRIDES, build=build, **expected)  # type: ignore[arg-type]


def a(name: str, build: object, **expected: object) -> Case:
    expected = {"suffix": ".tsv"} | expected
    return Case(name=name, kind=Kind.ANNOTATION, build=build, **expected)  # type: ignore[arg-type]


def c(name: str, build: object, **expected: object) -> Case:
    expected = {"suffix": ".yaml"} | expected
    return Case(name=name, kind=Kind.CONFIG, build=build, **expected)  # type: ignore[arg-type]


def in_r(row_names: bool) -> str:
    """Return the table as R's write.table writes it, with the values in quotes."""
    lines = [["Gene", "Gene.name", "Tissue", "Cell.type", "Level", "Reliability"], *GENE_ROWS]
    quoted = [[f'"{value}"' for value in line] for line in lines]
    for number, line in enumerate(quoted[1:], 1):
        line[:0] = [f'"{number}"'] * row_names
    return "\n".join("\t".join(line) for line in quoted) + "\n"


OVERRIDES = [
    o("plain", f"{HEADER}\n{ROWS}", values=APPLIED),
    o(
        "Excel, German: semicolons, capitals in the header",
        f"\ufeffImage_ID;Row;Col;Label\r\n{ROWS}".replace(",", ";"),
        values=APPLIED,
    ),
    o(
        "Excel 'Unicode text'",
        f"{HEADER}\n{ROWS}".replace(",", "\t").encode("utf-16"),
        values=APPLIED,
    ),
    o(
        "R write.csv: quoted, NA, row names",
        '"","image_id","row","col","label"\n"1","A/a",NA,NA,"negative"\n"2","B/b",0,1,"positive"\n',
        values=APPLIED,
    ),
    o(
        "pandas: numbers beside missing ones are floats",
        f",{HEADER}\n0,A/a,,,negative\n1,B/b,0.0,1.0,positive\n",
        values=APPLIED,
    ),
    o(
        "labels in capitals",
        f"{HEADER}\n{ROWS}".replace("positive", "Positive").replace("negative", "NEGATIVE"),
        values=APPLIED,
    ),
    o(
        "an empty label leaves a tile out",
        f"{HEADER}\nB/b,0,1,\n",
        values={"tiles": {"B/b,0,1": "left out"}},
    ),
    o(
        "an image that the catalog does not have",
        f"{HEADER}\n{ROWS}A/b,,,negative\n",
        values=APPLIED,
        failures={"A/b": "unknown_name"},
    ),
    o(
        "a tile that does not exist",
        f"{HEADER}\nA/a,7,7,positive\n",
        sentence=("line 2", "row 7, col 7 of 'A/a'", "correct the row"),
    ),
    o(
        "a label of another kind",
        f"{HEADER}\nA/a,,,yes\n",
        sentence=("line 2", "'yes'", "expected positive"),
    ),
    o("only a row", f"{HEADER}\nA/a,1,,positive\n", sentence=("line 2", "both row and col")),
    o("a negative row", f"{HEADER}\nA/a,-1,0,positive\n", sentence=("line 2", "from 0")),
    o(
        "a fraction of a row",
        f"{HEADER}\nA/a,0.5,0,positive\n",
        sentence=("line 2", "whole number"),
    ),
    o(
        "contradictory lines",
        f"{HEADER}\nA/a,,,positive\nA/a,,,negative\n",
        sentence=("line 3", "already labelled on line 2", "remove one"),
    ),
    o("no image", f"{HEADER}\nNA,,,positive\n", sentence=("line 2", "image_id is empty")),
]
ANNOTATIONS = [
    a("plain", TABLE, values={"levels": LEVELS}),
    a("R write.table with row names", in_r(row_names=True), values={"levels": LEVELS}),
    a("R write.table without row names", in_r(row_names=False), values={"levels": LEVELS}),
    a(
        "an index column with a name",
        "\n".join(f"{'X' if n == 0 else n}\t{line}" for n, line in enumerate(TABLE.splitlines())),
        values={"levels": LEVELS},
    ),
    a("UTF-16 of Excel", TABLE.encode("utf-16"), values={"levels": LEVELS}),
    a("BOM, CR LF", ("\ufeff" + TABLE.replace("\n", "\r\n")), values={"levels": LEVELS}),
    a("a stray quote is a letter", TABLE.replace("Enhanced", '5" cut'), values={"levels": LEVELS}),
    a(
        "tabs at the ends of the lines",
        TABLE.replace("Approved", "Approved\t"),
        values={"levels": LEVELS},
    ),
    a("missing reliability of R", TABLE.replace("Enhanced", "NA"), values={"levels": LEVELS}),
    a(
        "ids with versions",
        TABLE.replace("ENSG00000090402", "ENSG00000090402.12"),
        values={"levels": LEVELS},
    ),
    a("a field is missing", TABLE.replace("\tMedium", ""), values={"levels": {}}, failures=BAD),
    a(
        "a field too many",
        TABLE.replace("\tMedium", "\tx\tMedium"),
        values={"levels": {}},
        failures=BAD,
    ),
    a(
        "carriage return in a value",
        TABLE.replace("Medium", "Me\rdium"),
        values={"levels": {}},
        failures=BAD,
    ),
    a("commas instead of tabs", TABLE.replace("\t", ","), values={"levels": {}}, failures=BAD),
    a(
        "Windows-1252",
        TABLE.replace("Enhanced", "\xfc").encode("cp1252"),
        values={"levels": {}},
        failures=BAD,
    ),
    a(
        "control character",
        TABLE.replace("Enhanced", "a\x07b"),
        values={"levels": {}},
        failures=BAD,
    ),
    a("a line of 1 MB", TABLE + "x" * 1_000_000, values={"levels": {}}, failures=BAD),
]
CONFIGS = [
    c("plain", "seed: 3\n", values={"seed": 3, "shards": 4}),
    c("empty", "", values={"seed": 0}),
    c("BOM", "\ufeffseed: 3\n", values={"seed": 3}),
    c("CR LF", "seed: 3\r\ncensus:\r\n  shards: 2\r\n", values={"seed": 3, "shards": 2}),
    c(
        "braces and quotes in a text",
        "labels: {cell_type: \"a {b} 'c'\"}\n",
        values={"cell_type": "a {b} 'c'"},
    ),
    c("an anchor", "census: &x {shards: 2}\n", values={"shards": 2}),
    c(
        "not a number",
        "tiles: {min_tissue_fraction: .nan}",
        sentence=("tiles.min_tissue_fraction", "nan"),
    ),
    c("infinite", "train: {max_minutes: .inf}", sentence=("train.max_minutes", "a number")),
    c(
        "a fraction for a whole number",
        "census: {shards: 2.0}",
        sentence=("census.shards", "whole number"),
    ),
    c("exponent", "seed: 1.0e+3", sentence=("seed", "whole number")),
    c("octal", "seed: 010", sentence=("line 1", "read as 8", "plain digits")),
    c("minutes and seconds", "seed: 1:30", sentence=("line 1", "read as 90", "plain digits")),
    c("digits in groups", "seed: 1_000", sentence=("line 1", "read as 1000")),
    c("a key that is a number", "1: 2", sentence=("line 1", "'1'", "keys are names")),
    c(
        "a line end in a text",
        'source: {hpa_version: "23\\n"}',
        sentence=("source.hpa_version", "'23\\n'"),
    ),
    c(
        "genes NO and ON",
        "source: {genes: [NO, ON]}",
        sentence=("source.genes[0]", "a text", "false"),
    ),
    c("a date as a gene", "source: {genes: [2024-03-01]}", sentence=("source.genes[0]", "a text")),
    c("tabs", "tiles:\n\ttile_px: 128\n", sentence=("line 2", "spaces, not tabs")),
    c("a key twice", "seed: 1\nseed: 2\n", sentence=("line 1", "line 2", "remove one")),
    c("a list", "[1, 2]", sentence=("no keys and values",)),
    c("a list instead of a section", "source: [1]", sentence=("source", "a mapping of keys")),
    c("UTF-16", "seed: 3\n".encode("utf-16"), sentence=("not UTF-8", "save it as UTF-8")),
    c("Windows-1252", b"labels: {cell_type: \xfc}", sentence=("not UTF-8", "save it as UTF-8")),
    c("aliases that multiply", BOMB, sentence=("500,000 values", "file of their own")),
    c("an alias within itself", "source: &a {genes: [*a]}", sentence=("line 1", "contains itself")),
    c("nested 5,000 levels", "source: " + "[" * 5000 + "]" * 5000, sentence=("levels deep",)),
    c(
        "a tag of Python",
        "seed: !!python/object/apply:os.system [ls]",
        sentence=("line 1", "constructor"),
    ),
    c("two documents", "seed: 1\n---\nseed: 2\n", sentence=("line 2", "another document")),
    c("a number of 6,000 digits", "seed: " + "9" * 6000, sentence=("line 1", "6000 digits")),
    c("10 MB", "# " + "x" * 10_000_000, sentence=("10,000,002 bytes", "at most")),
    c("a misspelt key", "trian: {}\n", sentence=("unknown key 'trian'", "did you mean 'train'")),
]
CASES = [*OVERRIDES, *ANNOTATIONS, *CONFIGS]
