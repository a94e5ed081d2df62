"""Clients that ask the tests' server for one image."""

from __future__ import annotations

import pytest
from hpa_server import HpaServer

from cacl.atlas.client import Client, Limits
from cacl.atlas.options import SourceOptions
from cacl.atlas.receipts import check_jpeg
from cacl.errors import ImageError

IMAGE = "/images/115/2043_A_7_2.jpg"
URL = f"http://v18.proteinatlas.org{IMAGE}"
QUICK = Limits(attempts=4, connect_s=10, silence_s=10, transfer_s=20, first_wait_s=0.02)


def options(server: HpaServer, **changes: object) -> SourceOptions:
    values: dict[str, object] = {
        "kind": "hpa",
        "hpa_version": "18",
        "genes": ("SI",),
        "requests_per_second": 200.0,
        "host": server.url,
    }
    return SourceOptions(**(values | changes))  # type: ignore[arg-type]


def fetch(server: HpaServer, limits: Limits = QUICK, **changes: object) -> bytes:
    with Client(options(server, **changes), limits) as client:
        return client.fetch(URL, check_jpeg).data


def refused(server: HpaServer, limits: Limits = QUICK, **changes: object) -> ImageError:
    with pytest.raises(ImageError) as caught:
        fetch(server, limits, **changes)
    return caught.value
