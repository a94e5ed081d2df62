"""Cases of tables, lists and configurations: any cells, separators, quotes and line ends."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.genome import Genome
from tests.fuzz.mutations import edited, soup

ENDS = ("\n", "\r\n", "\r", "\n\n", "\u2028", "")
BOMS = (b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\xef\xbb\xbf", b"sep=;\n", b"\n\n")
CODECS = ("utf-8", "utf-16", "utf-16-le", "latin-1", "cp1252", "utf-8-sig")
CELLS = (
    "", "NA", "N/A", "nan", "NULL", "-", "0", "1", "-1", "0.5", "1,5", "1e999", "1" * 400,
    "x" * 400,
    '"', "'", '""', 'a"b', '"a', 'a"', "=1+1", "+cmd", "@x", "\t", " ", "a b", "a\nb", "a\rb",
    "../x", "/etc/passwd", "C:\\x", "{x}", "https://x/y", "con", "__proto__", "\u0663", "\u00b2",
    "positive", "negative", "high", "not detected", "HPA000001", "HPA000001/1", "SI", "duodenum",
    "ENSG00000090402", "ENSG00000134057.15", "#", "a:positive;b:negative", "a=positive", "\x1b[31m",
    "\ud800",
)  # fmt: skip


def cell(genome: Genome) -> str:
    """Return one cell."""
    return genome.text() if genome.chance(4) else genome.choice(CELLS)


def table(
    genome: Genome,
    header: Sequence[str],
    seeds: Sequence[bytes],
    delimiters: Sequence[str] = (",", ";", "\t", "|"),
) -> bytes:
    """Return a table: a valid one with edits, or one made of cells.

    Parameters
    ----------
    genome
        Decides.
    header
        Known columns.
    seeds
        Valid tables.
    delimiters
        Separators of the cells, the usual one first.
    """
    if not genome.chance(2):
        words = [name.encode() for name in (*header, *delimiters)]
        return edited(genome, seeds, (*words, b'"', b"\r", b"\n", b"\0", b"\xff", b"NA", b"\t"))
    delimiter, end = genome.choice(delimiters), genome.choice(ENDS)
    names = list(header)
    for _ in range(genome.below(4)):
        at = genome.below(len(names) + 1)
        names[at : at + genome.below(2)] = [genome.choice((cell(genome), *header))]
    rows = [names]
    for _ in range(genome.below(6)):
        width = len(names) if not genome.chance(6) else genome.below(len(names) + 3)
        rows.append([_quoted(genome, cell(genome)) for _ in range(width)])
    text = end.join(delimiter.join(row) for row in rows) + end
    codec = "utf-8" if not genome.chance(8) else genome.choice(CODECS)
    data = text.encode(codec, errors="surrogatepass" if codec.startswith("utf") else "replace")
    return (b"" if not genome.chance(4) else genome.choice(BOMS)) + data


def _quoted(genome: Genome, text: str) -> str:
    return text if not genome.chance(3) else '"' + text.replace('"', '""') + '"'


def names(genome: Genome, seeds: Sequence[bytes]) -> bytes:
    """Return a list of names, one a line or not."""
    if not genome.chance(2):
        return edited(genome, seeds, (b",", b";", b"\t", b'"', b"#", b"\r", b"\0", b"\xff"))
    end = genome.choice((*ENDS, ", ", ";", "\t"))
    text = end.join(_quoted(genome, cell(genome)) for _ in range(genome.below(8)))
    return genome.choice(BOMS) + text.encode("utf-8", errors="surrogatepass")


YAML_VALUES = (
    "0", "1", "-1", "2.0", "1.0e+3", "1e3", ".nan", ".inf", "-.inf", "~", "true", "yes", "0x10",
    "0o17", "1_000", "60:01", "2026-01-01", "2026-01-01T00:00:00Z", "9" * 5000, "1e400", '""',
    '"23\\n"', "'23'", "23", "[]", "{}", "[a, 1, null]", "{a: 1}", "{1: a}", "{[a]: b}", "? [a]",
    "!!binary aGVsbG8=", "!!set {a}", "!!omap [a: 1]", "!!python/name:os.system",
    "!!python/object/apply:os.system [id]", "!!float x", "!!int x", "!!timestamp x", "!unknown x",
    "*a", "&a [*a]", "&a {b: *a}", "*lol", "|\n    text\n", ">-\n    text\n", "'\\x1b[31m'",
    '"\\x1b[31m"', '"\\ud800"', "\u00e9", "\U0001f52c", "a: b: c", "- a", "# comment", "%x", "@x",
    "`x`", "\t", '"', "phantom", "hpa", "manifest", "/etc/passwd", "http://a b", "=", "<<", "null",
    "2147483648", "99999999999999999999", "[" * 400, "{a: " * 200 + "1" + "}" * 200,
)  # fmt: skip
YAML_WORDS = (
    b"\n", b"  ", b": ", b"- ", b"? ", b"&a ", b"*a", b"<<: ", b"!!", b"[", b"]", b"{", b"}", b",",
    b"#", b'"', b"'", b"|", b">", b"---\n", b"...\n", b"%YAML 1.2\n", b"\t", b"\0", b"\xff", b"\r",
)  # fmt: skip
LAUGHS = "lol: &lol [&l0 [x, x], {}]\n".format(
    ", ".join(f"&l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 10))
)
"""Ten levels of nine references each: 10^9 items if they are written out."""


def configuration(genome: Genome, keys: Sequence[tuple[str, str]], seeds: Sequence[bytes]) -> bytes:
    """Return a YAML file: a valid one with edits, words in any order, or keys with any values.

    Parameters
    ----------
    genome
        Decides.
    keys
        Section and key; the section of a key at the top is empty.
    seeds
        Valid files.
    """
    kind = genome.below(4)
    values = [value.encode("utf-8", errors="surrogatepass") for value in YAML_VALUES]
    if kind == 0:
        return edited(genome, seeds, (*YAML_WORDS, *values))
    if kind == 1:
        return soup(genome, (*YAML_WORDS, *values, *(key.encode() for _, key in keys)))
    lines = [LAUGHS] if genome.chance(8) else []
    for _ in range(genome.below(5)):
        section, key = genome.choice(keys)
        key = genome.choice((key, key.upper(), key[:-1], "1", "<<")) if genome.chance(6) else key
        value = genome.choice(YAML_VALUES)
        lines.append(f"{section}:\n  {key}: {value}\n" if section else f"{key}: {value}\n")
    return "".join(lines).encode("utf-8", errors="surrogatepass")
