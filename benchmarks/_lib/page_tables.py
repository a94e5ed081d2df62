"""Tables of the pages, made from those of `benchmarks/results`.

Such a table stands between `<!-- table: NAME -->` and `<!-- end of table -->`, where NAME is the
file of the results. `benchmarks.run_all` writes it, and a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from cacl.errors import TableError
from cacl.runtime.atomic import replaced_file

MARKED = re.compile(r"(<!-- table: ([\w.-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
Rows = list[dict[str, str]]

DICE, POSITIVE, BOUNDARY = "Dice, paper's", "Dice, positive tiles", "boundary F1"
NEGATIVES, CCC = "negatives stained, %", "CCC"
FINAL, PAPER = "final method", "CaCL paper"
BASELINES = ("colour deconvolution", "CAM", "Guided Grad-CAM")
FOR_DICE, ON_POSITIVES = "best for Dice", "best on positive tiles"
SETS = {
    "test split": "test splits",
    **{f"duodenum-{letter}": f"`duodenum-{letter}`" for letter in "abcd"},
    "duodenum-e": "`duodenum-e`, blind",
}
README_SETS = {
    "test split": "test split",
    "duodenum-b": "`duodenum-b`, harder",
    "duodenum-e": "`duodenum-e`, blind",
}
README_LABELS = {
    PAPER: "CaCL, preset `paper` (1,480 tiles, 3 to 4 min)",
    FINAL: "CaCL, preset `robust` (65,600 tiles, 10 min)",
}
LABELS = {PAPER: "CaCL, `paper`", FINAL: "CaCL, `robust`"}
PARTS = {
    "no stain prior": "without the local DAB edge",
    "nearest code, enlarged by nearest neighbour, no gate": (
        "nearest code, enlarged by nearest neighbour, no gate (the paper's mask)"
    ),
    "one threshold from negative tiles, no gate": "one threshold at 0.1 % of negatives, no gate",
    "soft assignment above one half, no thresholds, no gate": (
        "soft assignment above one half, no thresholds, no gate"
    ),
    "no gate": "no gate",
    "teacher alone, no student": "teacher alone, no student",
    "student trained for 300 steps": "student trained for 300 steps instead of 900",
}
TEACHER_PARTS = {
    "no unit-length embeddings": "unit-length embeddings",
    "no relabelling (MIL)": "relabelling of tiles (MIL)",
    "no stain jitter": "stain jitter",
    "no gradient clipping": "gradient clipping",
    "input rgb": "stain densities as input (RGB instead)",
    "no hard negatives": "hard negatives",
    "no minimum distance of S to C": "minimum distance of S to C",
    "random codes instead of k-means": "k-means initialisation",
}


def write_pages(checkout: Path, results: Path) -> list[str]:
    """Write the tables of all pages; return the pages that have changed.

    Raises
    ------
    TableError
        A result lacks rows that a page shows, or a page lacks markers.
    """
    changed = []
    for page in sorted({page for page, _ in PAGE_TABLES}):
        path = checkout / page
        old = path.read_text(encoding="utf-8")
        new = with_tables(page, old, results)
        if new != old:
            with replaced_file(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
            changed.append(page)
    return changed


def with_tables(page: str, text: str, results: Path) -> str:
    """Return the text of a page with the tables that the results have now."""
    expected = {name for of_page, name in PAGE_TABLES if of_page == page}
    if {match[2] for match in MARKED.finditer(text)} != expected:
        raise TableError(
            f"{page} has other tables than benchmarks/_lib/page_tables.py: put "
            f"<!-- table: NAME --> and <!-- end of table --> around {', '.join(sorted(expected))}"
        )

    def replace(match: re.Match[str]) -> str:
        name = match[2]
        lines = PAGE_TABLES[page, name](read_rows(results / name))
        return f"{match[1]}\n{chr(10).join(lines)}\n\n{match[3]}"

    return MARKED.sub(replace, text)


def read_rows(path: Path) -> Rows:
    """Return the rows of the first table of a Markdown file, by column."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| "))
    header, _, *rest = lines[first:]
    rows: Rows = []
    for line in rest:
        if not line.startswith("| "):
            break
        rows.append(dict(zip(_cells(header), _cells(line), strict=True)))
    return rows


def quality(rows: Rows) -> list[str]:
    """Return all methods on all sets: each baseline at its best, CaCL as it is."""
    lines = _head(("set", "method", *_measures()))
    for set_name, title in SETS.items():
        of_set = _of_set(rows, set_name)
        for name in (*BASELINES, PAPER, FINAL):
            dice, others = _best(of_set, name)
            values = [_value(dice[DICE], 3), *_shown(others)[1:]]
            lines.append(_row((title, LABELS.get(name, name), *values), bold=name == FINAL))
            title = ""
    return lines


def readme(rows: Rows) -> list[str]:
    """Return both Dices of all methods on three sets."""
    lines = _head(("method (training budget)", *README_SETS.values()))
    for name in (*BASELINES, PAPER, FINAL):
        cells = []
        for set_name in README_SETS:
            dice, others = _best(_of_set(rows, set_name), name)
            cell = f"{_value(dice[DICE], 3)} / {_value(others[POSITIVE], 3)}"
            cells.append(f"**{cell}**" if name == FINAL else cell)
        lines.append(_row((README_LABELS.get(name, name), *cells)))
    return lines


def real_tissue(rows: Rows) -> list[str]:
    """Return the baselines at their best on positive tiles, and what was trained."""
    inversions = "unstained antibodies above a stained one"
    lines = _head(("method", *_measures(), "unstained above a stained one"))
    kinds = ("colour deconvolution", "CAM", "Guided Grad-CAM")
    shown = [*(f"{kind}, best on positive tiles" for kind in kinds), PAPER, FINAL]
    for row in rows:
        name = row["method"]
        if name in shown:
            cells = (LABELS.get(name, name), *_shown(row), row[inversions])
            lines.append(_row(cells, bold=name == FINAL))
    return lines


def ablation(rows: Rows) -> list[str]:
    """Return the parts of the whole method."""
    lines = _head(("variant", "Dice", "change, 95 % interval"))
    lines.append(_row(("default", _value(_named(rows, "robust")[DICE], 3), "")))
    return [*lines, *(_change(rows, name, label) for name, label in PARTS.items())]


def ablation_teacher(rows: Rows) -> list[str]:
    """Return the parts of one teacher, the most important first."""
    whole = _value(_named(rows, "teacher")[DICE], 3)
    lines = _head(("single teacher without", f"Dice ({whole} with)", "change, 95 % interval"))
    names = sorted(TEACHER_PARTS, key=lambda name: _decimal(_named(rows, name)[DICE]))
    return [*lines, *(_change(rows, name, TEACHER_PARTS[name]) for name in names)]


def _change(rows: Rows, name: str, label: str) -> str:
    cell = _named(rows, name)[DICE]
    interval = cell.partition("(")[2].rstrip(")")
    return _row((label, _value(cell, 3), interval))


def _of_set(rows: Rows, name: str) -> dict[str, dict[str, str]]:
    """Return the rows of a set with all seeds, by method."""
    return {row["method"]: row for row in rows if (row["set"], row["seed"]) == (name, "all")}


def _best(of_set: Mapping[str, dict[str, str]], name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the row for the first column and that for the others.

    A baseline has the threshold and the scaling that are best on the test tiles, for each.
    """
    if name not in BASELINES:
        row = _named(list(of_set.values()), name)
        return row, row
    return (
        max(_with_threshold(of_set, name, FOR_DICE), key=lambda row: _decimal(row[DICE])),
        max(_with_threshold(of_set, name, ON_POSITIVES), key=lambda row: _decimal(row[POSITIVE])),
    )


def _with_threshold(of_set: Mapping[str, dict[str, str]], name: str, threshold: str) -> Rows:
    starts, ends = f"{name}, ", f", {threshold}"
    found = [row for key, row in of_set.items() if key.startswith(starts) and key.endswith(ends)]
    if not found:
        raise TableError(f"No row of {name!r} with {threshold!r}; make the table again")
    return found


def _named(rows: Sequence[dict[str, str]], name: str) -> dict[str, str]:
    for row in rows:
        if name in (row.get("method"), row.get("variant")):
            return row
    raise TableError(f"No row {name!r}; make the table again, or correct page_tables.py")


def _measures() -> Iterator[str]:
    yield from (DICE, POSITIVE, BOUNDARY, NEGATIVES.removesuffix(", %"), CCC)


def _shown(row: Mapping[str, str]) -> list[str]:
    return [
        *(_value(row[name], 3) for name in (DICE, POSITIVE, BOUNDARY)),
        _percent(row[NEGATIVES]),
        _value(row[CCC], 2),
    ]


def _decimal(cell: str) -> Decimal:
    return Decimal(cell.partition(" ")[0])


def _value(cell: str, digits: int) -> str:
    """Return the value of a cell without its interval, rounded; never a negative zero."""
    return f"{float(_decimal(cell)):z.{digits}f}"


def _percent(cell: str) -> str:
    """Return a percentage with two significant digits, at most three of them decimals."""
    value = _decimal(cell)
    digits = min(3, max(0, 1 - value.adjusted())) if value else 0
    return f"{_value(cell, digits)} %"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" | ")]


def _head(names: Sequence[str]) -> list[str]:
    return [_row(names), f"|{'---|' * len(names)}"]


def _row(cells: Sequence[str], *, bold: bool = False) -> str:
    written = (f"**{cell}**" if bold and cell else cell for cell in cells)
    return "".join(f"| {cell} " if cell else "| " for cell in written) + "|"


PAGE_TABLES: dict[tuple[str, str], Callable[[Rows], list[str]]] = {
    ("README.md", "quality.md"): readme,
    ("docs/benchmark.md", "quality.md"): quality,
    ("docs/benchmark.md", "real_tissue.md"): real_tissue,
    ("docs/method.md", "ablation.md"): ablation,
    ("docs/method.md", "ablation_teacher.md"): ablation_teacher,
}
"""How a page shows a table, by page and file of the results."""
