"""Gene lists as people write and copy them."""

from __future__ import annotations

from tests.corpus.table_case import Case, Kind
from tests.corpus.tables_manifest import workbook

BOTH = {"genes": ["CCNB1", "NFYA"]}


def g(name: str, build: object, **expected: object) -> Case:
    expected = {"suffix": ".txt"} | expected
    return Case(name=name, kind=Kind.GENES, build=build, **expected)  # type: ignore[arg-type]


CASES = [
    g("names on one line", "CCNB1, NFYA", values=BOTH),
    g("names in quotes", "\"CCNB1\"\n'NFYA'\n", values=BOTH),
    g(
        "typographic quotes of a word processor",
        "\u201cCCNB1\u201d\n\u2018NFYA\u2019\n",
        values=BOTH,
    ),
    g("Ensembl ids with versions", "ENSG00000134057.15\nensg00000001167.4\n", values=BOTH),
    g("semicolons", "CCNB1;NFYA;\n", values=BOTH),
    g("tabs", "CCNB1\tNFYA\n", values=BOTH),
    g("spaces", "CCNB1 NFYA\n", values=BOTH),
    g("a list of Python", "['CCNB1', 'NFYA']\n", values=BOTH),
    g("a leading index", "1,CCNB1\n2,NFYA\n", values=BOTH),
    g("R write.csv of a vector", '"","x"\n"1","CCNB1"\n"2","NFYA"\n', values=BOTH),
    g("R write.table of a vector", '"x"\n"1" "CCNB1"\n"2" "NFYA"\n', values=BOTH),
    g("pandas Series to_csv", ",0\n0,CCNB1\n1,NFYA\n", values=BOTH),
    g("pandas to_csv with a header", ",gene\n0,CCNB1\n1,NFYA\n", values=BOTH),
    g("a header", "Gene\nCCNB1\nNFYA\n", values=BOTH),
    g(
        "biomaRt: ids and symbols",
        "ensembl_gene_id,hgnc_symbol\nENSG00000134057,CCNB1\n,NFYA\n",
        values=BOTH,
    ),
    g(
        "DESeq2: gene, fold change, p",
        "gene,log2FoldChange,padj\nCCNB1,2.1,1e-5\nNFYA,NA,NA\n",
        values=BOTH,
    ),
    g("a table without a header", "CCNB1\t2.1\t0,001\nNFYA\t-3\t0,5\n", values=BOTH),
    g("comments and empty lines", "# mine\n\nCCNB1 # cyclin\n\n#SI\nNFYA\n", values=BOTH),
    g("BOM and CR LF", "\ufeffCCNB1\r\nNFYA\r\n", values=BOTH),
    g("classic Mac", "CCNB1\rNFYA\r", values=BOTH),
    g("UTF-16 of Excel", "CCNB1\r\nNFYA\r\n".encode("utf-16"), values=BOTH),
    g("spaces, no-break and zero-width", " CCNB1\u00a0\n\u200bNF\u200bYA \n", values=BOTH),
    g("mixed case, twice", "ccnb1\nCCNB1\nNfya\nNFYA\n", values=BOTH),
    g("sep line", "sep=;\nCCNB1;NFYA\n", values=BOTH, suffix=".csv"),
    g("missing values of R", "CCNB1\nNA\nNFYA\n#N/A\n", values=BOTH),
    g("one name is unknown", "CCNB1, NFYA, XYZ9\n", values=BOTH, failures={"XYZ9": "unknown_name"}),
    g(
        "gene and description",
        "CCNB1,cyclin B1\nNFYA,factor\n",
        values=BOTH,
        failures={"cyclin B1": "unknown_name", "factor": "unknown_name"},
    ),
    g(
        "Excel: MARCH1 and SEPT2 made dates",
        "CCNB1\nNFYA\n1-Mar\n2021-09-02\n",
        values=BOTH,
        failures={"1-Mar": "unknown_name", "2021-09-02": "unknown_name"},
    ),
    g("Excel, German: semicolons, decimal comma", "gene;log2\nCCNB1;2,1\nNFYA;-1,5\n", values=BOTH),
    g(
        "Numbers: a title above the header",
        "Tabelle 1\ngene\nCCNB1\nNFYA\n",
        values=BOTH,
        failures={"Tabelle": "unknown_name", "gene": "unknown_name"},
    ),
    g(
        "names that start with signs of a formula",
        "CCNB1\nNFYA\n=NFYA\n+SI\n@SI\n-SI\n",
        values=BOTH,
        failures=dict.fromkeys(("=NFYA", "+SI", "@SI", "-SI"), "unknown_name"),
    ),
    g(
        "Excel, French: dates and a number",
        "CCNB1\nNFYA\n01-mars\n02/09/2024\n1E5\n",
        values=BOTH,
        failures=dict.fromkeys(("01-mars", "02/09/2024", "1E5"), "unknown_name"),
    ),
    g("Entrez ids", "891\n4800\n", sentence=("no image", "not in the source: 891", "source.genes")),
    g("only unknown names", "XYZ1\nXYZ2\n", sentence=("no image", "XYZ1", "correct source.genes")),
    g("only a header", "gene\n", sentence=("is empty", "one symbol or Ensembl id per line")),
    g("an empty file", "", sentence=("is empty", "one symbol or Ensembl id per line")),
    g(
        "Excel workbook",
        lambda: workbook("xl/workbook.xml"),
        suffix=".xlsx",
        sentence=("Excel workbook (.xlsx)", "CSV UTF-8"),
    ),
    g("Windows-1252", b"CCNB1\nM\xfcller\n", sentence=("line 2", "Windows-1252", "CSV UTF-8")),
    g("NUL", "CCNB1\0\n", sentence=("NUL", "save it")),
    g("control character", "CCNB1\x07\x01A\n", sentence=("line 1", "U+0007", "remove it")),
    g(
        "Excel: error of a formula",
        "CCNB1\n#NAME?\n",
        sentence=("line 2", "#NAME?", "correct the cell"),
    ),
    g("10 million commas", lambda: b"," * 10_000_000, sentence=("10,000,000 bytes", "at most")),
    g("a million commas", lambda: b"," * 999_000, sentence=("is empty", "per line")),
    g(
        "110,000 names",
        lambda: "\n".join(f"G{n}" for n in range(110_000)).encode(),
        sentence=("110,000 names", "20,000 genes"),
    ),
]
