"""A real HTTP server on loopback that answers as the Human Protein Atlas does, and misbehaves."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import numpy as np
import simplejpeg

HTML = b"<!DOCTYPE html><html><body>The Human Protein Atlas is busy</body></html>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
Fault = Callable[["Handler", bytes], None]


def jpeg(seed: int = 0, size: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=90))


def large_jpeg(seed: int, megabytes: int) -> bytes:
    """Return a JPEG that is large by its comments, so that it is decoded at once."""
    data = jpeg(seed)
    comment = b"\xff\xfe" + struct.pack(">H", 65_535) + bytes(65_533)
    return data[:2] + comment * (megabytes * 10**6 // len(comment)) + data[2:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: HpaServer

    def do_GET(self) -> None:
        owner = self.owner
        with owner.lock:
            owner.requests.append((time.monotonic(), self.path, dict(self.headers)))
            owner.open += 1
            owner.most_open = max(owner.most_open, owner.open)
            faults = owner.faults[self.path]
            fault = faults[0] if faults else None
            if faults and not owner.for_ever[self.path]:
                faults.pop(0)
        try:
            time.sleep(owner.latency_s)
            data = owner.file(self.path)
            with suppress(ConnectionError):
                if fault is not None:
                    fault(self, data or b"")
                elif data is None:
                    self.answer(404, HTML, {"Content-Type": "text/html"})
                else:
                    self.serve(data)
        finally:
            with owner.lock:
                owner.open -= 1

    def do_CONNECT(self) -> None:
        """Be the proxy to every host, and each of the hosts behind it."""
        owner = self.owner
        with owner.lock:
            owner.tunnels.append(self.path)
        if owner.hosts is None:
            self.answer(403, b"", {})
            return
        self.send_response(200)
        self.end_headers()
        self.connection = owner.hosts.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def serve(self, data: bytes) -> None:
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, b"", {"ETag": etag})
            return
        asked = self.headers.get("Range")
        if asked and self.headers.get("If-Range") in (None, etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], {"ETag": etag, "Content-Range": span})
            return
        self.answer(200, data, {"ETag": etag, "Content-Type": "image/jpeg"})

    def answer(
        self, status: int, body: bytes, headers: dict[str, str], length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a client was killed in the middle of an answer."""


class HpaServer:
    """Serves a folder laid out as the host; `fail` makes a path misbehave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.Lock()
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.for_ever: defaultdict[str, bool] = defaultdict(bool)
        self.open = self.most_open = 0
        self.latency_s = 0.0
        self.files: dict[str, bytes] = {}
        self.tunnels: list[str] = []
        self.hosts: ssl.SSLContext | None = None
        handler = type("OwnedHandler", (Handler,), {"owner": self})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.netloc}"

    def __enter__(self) -> Self:
        self._proxies = os.environ.get("NO_PROXY")
        os.environ["NO_PROXY"] = "*"
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._proxies is None:
            del os.environ["NO_PROXY"]
        else:
            os.environ["NO_PROXY"] = self._proxies

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def fail(self, path: str, *faults: Fault, for_ever: bool = False) -> None:
        self.faults[path] = list(faults)
        self.for_ever[path] = for_ever

    def file(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        place = self.root / path.lstrip("/")
        return place.read_bytes() if place.is_file() else None

    def asked(self, path: str) -> int:
        return sum(one == path for _, one, _ in self.requests)


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(code, HTML, named)


def body(data: bytes, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(200, data, named)


def redirect(location: str) -> Fault:
    return status(302, Location=location)


def web_page(handler: Handler, _: bytes) -> None:
    handler.answer(200, HTML, {"Content-Type": "text/html"})


def cut(handler: Handler, data: bytes) -> None:
    handler.answer(200, data[: len(data) * 99 // 100], {})


def shorter(handler: Handler, data: bytes) -> None:
    handler.answer(200, data[:-10], {}, length=len(data))
    handler.close_connection = True


def longer(handler: Handler, data: bytes) -> None:
    handler.answer(200, data, {}, length=len(data) - 50)
    handler.close_connection = True


def compressed(handler: Handler, data: bytes) -> None:
    handler.answer(200, gzip.compress(data), {"Content-Encoding": "gzip"})


def reset(handler: Handler, data: bytes) -> None:
    handler.answer(200, data[: len(data) // 2], {}, length=len(data))
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.shutdown(socket.SHUT_RD)
    handler.close_connection = True


def silent(seconds: float) -> Fault:
    def wait(handler: Handler, data: bytes) -> None:
        time.sleep(seconds)
        handler.serve(data)

    return wait


def drip(handler: Handler, data: bytes) -> None:
    """Send the body one byte a second."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    one_by_one(handler, data)


def drip_chunk_size(handler: Handler, _: bytes) -> None:
    """Send the size of the first part of the body one digit a second."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    one_by_one(handler, b"0" * 3600)


def drip_headers(handler: Handler, _: bytes) -> None:
    """Send a header one byte a second."""
    one_by_one(handler, b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 3600)


def one_by_one(handler: Handler, data: bytes) -> None:
    handler.close_connection = True
    for value in data:
        handler.wfile.write(bytes([value]))
        handler.wfile.flush()
        time.sleep(1)


def png_that_claims(side_px: int) -> bytes:
    """Return a PNG whose header says so many pixels a side."""
    head = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def claims_to_be_huge(data: bytes) -> bytes:
    """Return a JPEG whose header says 65,500 x 65,500 px."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65500, 65500) + data[at + 4 :]


def gene_xml(
    ensembl_id: str = "ENSG00000090402",
    gene: str = "SI",
    *,
    version: str = "23",
    synonyms: tuple[str, ...] = (),
    antibodies: tuple[str, ...] = (),
) -> str:
    """Return a gene's XML around antibodies as `antibody_xml` makes them."""
    nicknames = "".join(f"<synonym>{name}</synonym>" for name in synonyms)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><proteinAtlas schemaVersion="2.7">'
        f'<entry version="{version}" url="https://v{version}.proteinatlas.org/{ensembl_id}">'
        f"<name>{gene}</name>{nicknames}"
        f'<identifier id="{ensembl_id}" db="Ensembl" version="109"/>'
        '<tissueExpression source="HPA" technology="IHC" assayType="tissue">'
        '<verification type="reliability">Enhanced</verification></tissueExpression>'
        f"{''.join(antibodies)}</entry></proteinAtlas>"
    )


def antibody_xml(
    antibody_id: str,
    urls: tuple[str, ...],
    *,
    cells: tuple[tuple[str, str, str], ...] = (("Enterocytes - Microvilli", "High", ""),),
    tissue: str = "Duodenum",
) -> str:
    """Return an antibody with one tissue: cell types as (name, staining, location), images."""
    levels = "".join(
        f'<tissueCell><cellType>{name}</cellType><level type="staining">{level}</level>'
        f'<level type="intensity">Strong</level><quantity>&gt;75%</quantity>'
        f"<location>{location}</location></tissueCell>"
        for name, level, location in cells
    )
    patients = "".join(
        f"<patient><sex>Female</sex><age>{40 + number}</age><patientId>{100 + number}</patientId>"
        '<sample><snomedParameters><snomed tissueDescription="Duodenum" snomedCode="T-64300"/>'
        '</snomedParameters><assayImage><image imageType="sampleImage">'
        f"<imageUrl>{escape(url)}</imageUrl></image></assayImage></sample></patient>"
        for number, url in enumerate(urls)
    )
    return (
        f'<antibody id="{antibody_id}" releaseVersion="7"><tissueExpression assayType="tissue">'
        f'<data><tissue organ="Gastrointestinal tract" ontologyTerms="UBERON:0002114">{tissue}'
        f"</tissue>{levels}{patients}</data></tissueExpression></antibody>"
    )
