"""Cases of gene XML: valid entries with edits, and elements of the format in any order."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from functools import cache

from tests.fixtures.hpa_server import antibody_xml, gene_xml
from tests.fuzz.genome import Genome
from tests.fuzz.mutations import edited, soup

SECRET = "secret-of-another-file"
WORDS = (
    b"<proteinAtlas>", b"</proteinAtlas>", b'<entry version="23" url="x">', b"</entry>",
    b"<entry/>",
    b"<name>SI</name>", b"<synonym>X</synonym>", b'<identifier id="ENSG00000090402" db="Ensembl"/>',
    b'<antibody id="HPA000001">', b'<antibody id="../x">', b"</antibody>",
    b'<tissueExpression assayType="tissue">', b"</tissueExpression>", b"<data>", b"</data>",
    b"<tissue>Duodenum</tissue>", b"<tissueCell>", b"</tissueCell>", b"<cellType>x</cellType>",
    b'<level type="staining">High</level>', b"<patient>", b"</patient>", b"<age>40</age>",
    b"<age>\xd9\xa3</age>", b"<age>99999999999999999999</age>", b"<age>\xc2\xb2</age>",
    b"<sample>", b"</sample>", b"<assayImage>", b"</assayImage>",
    b'<image imageType="sampleImage">',
    b"</image>", b"<imageUrl>http://v18.proteinatlas.org/images/1/a.jpg</imageUrl>",
    b"<imageUrl>file:///etc/passwd</imageUrl>", b"<!-- -->", b"<!--", b"<?xml version='1.0'?>",
    b"<?x y?>", b"<![CDATA[", b"]]>", b"&lt;", b"&#0;", b"&#x110000;", b"&x;", b"&lol9;",
    b"<!DOCTYPE a [", b'<!ENTITY x SYSTEM "secret.txt">', b'<!ENTITY x "y">', b"]>",
    b'<!ENTITY lol9 "&x;&x;&x;&x;">', b"<x:entry>", b"</x:entry>", b' xmlns="urn:a"',
    b' xmlns:x="urn:b"', b"<", b">", b"/", b"=", b'"', b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe",
    b" ", b"\n", b"<entry", b"\x1f\x8b", b"<a>" * 300, b"<a b='" + b"c" * 2000 + b"'>",
    b"<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='secret.txt' parse='text'/>",
    b'<?xml version="1.0" encoding="UTF-16"?>', b'<?xml version="1.0" encoding="UTF-7"?>',
)  # fmt: skip


@cache
def seeds() -> Sequence[bytes]:
    """Return XML of one gene, of two genes, and of a gene as the root."""
    url = "http://v18.proteinatlas.org/images/115/2043_A_7_2.jpg"
    one = gene_xml(synonyms=("S1",), antibodies=(antibody_xml("HPA000001", (url,)),))
    two = one.replace("</proteinAtlas>", gene_xml("ENSG00000166825", "ANPEP").partition('2.7">')[2])
    root = one.partition('2.7">')[2].removesuffix("</proteinAtlas>")
    return tuple(text.encode() for text in (one, two, root))


def gene(genome: Genome) -> bytes:
    """Return the bytes of a gene XML, plain or gzip-compressed."""
    text = edited(genome, seeds(), WORDS) if genome.below(3) < 2 else soup(genome, WORDS, 40)
    if not genome.chance(4):
        return text
    packed = gzip.compress(text, compresslevel=1, mtime=0)
    return packed if genome.chance(2) else edited(genome, (packed, zlib.compress(text)))
