"""End what takes too long, even where each single byte comes in time.

A socket's time-out starts again with every byte, so that a host which sends one byte a second, in
the headers or between two parts of a body, would be listened to for hours.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

TOO_LONG = "its headers take too long"


@contextmanager
def cut_after(seconds: float, cut: Callable[[], object]) -> Iterator[threading.Event]:
    """Yield an event that is set, and call `cut`, when the block takes longer than `seconds`."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            cut()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


class DeadlineAdapter(HTTPAdapter):
    """Connections on which the headers of an answer come within `headers_s` or not at all."""

    def __init__(self, headers_s: float, *, connections: int) -> None:
        self._pools = _pools(headers_s)
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(headers_s: float) -> dict[str, type[HTTPConnectionPool]]:
    def answer(
        connection: HTTPConnection | HTTPSConnection, wait: Callable[[], HTTPResponse]
    ) -> HTTPResponse:
        sock: socket.socket = connection.sock
        with cut_after(headers_s, lambda: sock.shutdown(socket.SHUT_RDWR)) as late:
            try:
                response = wait()
            except (HTTPException, OSError) as error:
                if late.is_set():
                    raise ConnectionAbortedError(TOO_LONG) from error
                raise
        if late.is_set():
            raise ConnectionAbortedError(TOO_LONG)
        return response

    class Plain(HTTPConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            return answer(self, super().getresponse)

    class Secure(HTTPSConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            return answer(self, super().getresponse)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
