"""Cases of HTTP: responses of valid and invalid status lines, headers, framing and bodies."""

from __future__ import annotations

import gzip
import socket
import threading
import zlib
from functools import cache

from tests.fixtures.hpa_server import HTML, jpeg
from tests.fuzz.genome import Genome
from tests.fuzz.mutations import edited

RESPONSES = 3
STATUS_LINES = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 416 Range Not Satisfiable", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 503 Busy",
    b"HTTP/1.1 429 Slow", b"HTTP/1.1 301 Moved", b"HTTP/1.1 302 Found", b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 204 No Content", b"HTTP/1.0 200 OK", b"HTTP/9.9 200 OK", b"HTTP/1.1 999 x",
    b"HTTP/1.1 -1 x", b"HTTP/1.1 2e2 x", b"HTTP/1.1", b"", b"ICY 200 OK",
    b"HTTP/1.1 200 " + b"x" * 70000,
    b"HTTP/1.1 101 Switching", b"HTTP/1.1 401 No", b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 x",
)  # fmt: skip
HEADERS = (
    b"Content-Type: image/jpeg", b"Content-Encoding: gzip", b"Content-Encoding: deflate",
    b"Content-Encoding: br", b"Content-Encoding: zstd", b"Content-Encoding: gzip, gzip",
    b"Content-Encoding: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Content-Length: 0", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
    b"Content-Length: 5, 5", b"Content-Length: 5, 6", b"Content-Length: x", b"Connection: close",
    b"Location: /images/115/2043_A_7_2.jpg", b"Location: http://127.0.0.2:9/x", b"Location: //x/y",
    b"Location: http://[::1", b"Location: file:///etc/passwd", b"Location: https://a b/\xff",
    b"Location: http://169.254.169.254/latest", b"Location: http://localhost/x", b"Location:",
    b"Location: \xc3\xa9", b"Retry-After: 0", b"Retry-After: -1", b"Retry-After: 1e999",
    b"Retry-After: " + b"9" * 5000, b"Retry-After: Fri, 31 Dec 99999 23:59:59 GMT",
    b"Retry-After: Mon, 01 Jan 0000 00:00:00 -9999", b"Retry-After: \xb2", b"ETag: \xff\xfe",
    b'ETag: "a"', b"ETag: " + b"e" * 60000, b"ETag: W/x", b"Set-Cookie: a=b; Domain=.org",
    b"Content-Range: bytes 4-9/10", b"Content-Range: bytes */4", b"Content-Range: bytes 4-9/*",
    b"Content-Range: bytes 99999999999999999999-1/2", b"Content-Range: bytes \xd9\xa4-9/10",
    b"X: " + b"y" * 100, b": empty", b"no colon", b" folded: x", b"\0: \0", b"X: a\rb",
)  # fmt: skip
BOMB = gzip.compress(bytes(64 * 2**20), compresslevel=9, mtime=0)
"""64 MB of zeros in 64 KB."""


@cache
def bodies() -> tuple[bytes, ...]:
    """Return a JPEG, plain and compressed, and what hosts send instead."""
    image = jpeg(size=24)
    chunked = b"%x\r\n" % len(image) + image + b"\r\n0\r\n\r\n"
    return (
        image, gzip.compress(image, mtime=0), zlib.compress(image), chunked, HTML, b"", BOMB,
        image[:200], b"-1\r\n" + image, b"fffffffffffffffff\r\nx",
        b"5;" + b"x" * 70000, b"0\r\n\r\n",
    )  # fmt: skip


def response(genome: Genome) -> bytes:
    """Return the bytes of one response; the first choices make a valid one."""
    status = genome.choice(STATUS_LINES) if genome.chance(2) else STATUS_LINES[0]
    headers = [genome.choice(HEADERS) for _ in range(genome.below(5))]
    body = genome.choice(bodies())
    if body != BOMB and genome.chance(3):
        body = edited(genome, (body,))
    if not genome.chance(5):
        headers.append(b"Content-Length: %d" % len(body))
    if genome.chance(60):
        headers += [b"X: y"] * 200
    end = b"\r\n" if not genome.chance(10) else b"\n"
    data = end.join([status, *headers]) + end + end + body
    return data if not genome.chance(6) or body == BOMB else edited(genome, (data,))


class RawServer:
    """Sends the given bytes to each connection in turn, and closes it.

    The last response is repeated. A request is read up to its empty line.
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.responses: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            try:
                self._answer(connection)
            except OSError:
                continue
            finally:
                connection.close()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        request = b""
        while b"\r\n\r\n" not in request:
            block = connection.recv(65536)
            if not block:
                return
            request += block
        rest = self.responses
        data = rest.pop(0) if len(rest) > 1 else rest[0]
        connection.sendall(data)


@cache
def server() -> RawServer:
    """Return the server of this process."""
    return RawServer()
