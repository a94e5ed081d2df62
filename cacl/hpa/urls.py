"""Validation of identifiers and URLs from outside: file names, hosts and paths."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from cacl.config import SourceConfig
from cacl.errors import ImageError, Reason
from cacl.store import SAFE_NAME, is_safe_name

SAFE_PATH = re.compile(rf"(/{SAFE_NAME.pattern})+")
RELEASE_HOST = re.compile(r"v\d\d\.proteinatlas\.org")
CURRENT_HOST = "www.proteinatlas.org"
IMAGE_HOST = "images.proteinatlas.org"
JPEG_SUFFIXES = (".jpg", ".jpeg")


def image_id_of(antibody_id: str, name: str) -> str:
    """Return the image id of an antibody's file, `<antibody_id>/<file stem>`.

    Raises
    ------
    ImageError
        `UNSAFE_ID`: the antibody id or the name cannot be a file name.
    """
    for what, value in (("antibody id", antibody_id), ("image name", name)):
        if not is_safe_name(value):
            raise ImageError(
                Reason.UNSAFE_ID,
                f"The {what} {value[:100]!r} cannot be a file name; expected 1 to 100 letters, "
                "digits, '.', '_' or '-', the first a letter or digit",
            )
    return f"{antibody_id}/{name}"


def release_hosts(source: SourceConfig) -> frozenset[str]:
    """Return the hosts of the configured release of the Human Protein Atlas (HPA)."""
    release = CURRENT_HOST if source.hpa_version is None else release_host(source.hpa_version)
    return frozenset((release, IMAGE_HOST))


def release_host(hpa_version: str) -> str:
    """Return the host of a release: `v23.proteinatlas.org` for "23" and for "23.0"."""
    return f"v{hpa_version.split('.')[0]}.proteinatlas.org"


def check_image_url(url: str, source: SourceConfig) -> PurePosixPath:
    """Return the path of an image below the root of a host or mirror: `images/<n>/<file>`.

    A mirror is never contacted, so its URLs may be of any release.

    Parameters
    ----------
    url
        URL of the image in the gene XML.
    source
        Release and allowed hosts.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: another scheme or host, credentials, a port, a query, or a path with other
        characters than those of plain names.
    """
    parts = split_url(url)
    is_mirrored = source.kind != "hpa" and (
        RELEASE_HOST.fullmatch(parts.hostname or "") or parts.hostname == CURRENT_HOST
    )
    if not (is_mirrored or is_allowed(parts, source)):
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} is on a host that this run may not read; expected one of "
            f"{', '.join(sorted(release_hosts(source)))}, or add it to source.allowed_hosts",
        )
    path = PurePosixPath(parts.path)
    if SAFE_PATH.fullmatch(parts.path) is None or ".." in parts.path or len(path.parts) < 3:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} has an unusable path; expected /images/<number>/<name>.jpg in plain "
            "letters, digits, '.', '_' and '-'",
        )
    if path.suffix.lower() not in JPEG_SUFFIXES:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} is not the URL of a JPEG; expected a name that ends in .jpg",
        )
    return PurePosixPath("images", path.parent.name, path.name)


def request_url(url: str, source: SourceConfig) -> str:
    """Return the URL to request for a file of the HPA.

    The hosts of the release are contacted by https, also where the XML of older releases has http.
    `source.host` replaces them if it is set; it has `images.proteinatlas.org/<n>` at `/images/<n>`.

    Raises
    ------
    ImageError
        `UNSAFE_URL`, as for `split_url`.
    """
    parts = split_url(url)
    host = (parts.hostname or "").lower()
    if host not in release_hosts(source):
        return url
    if source.host is None:
        return f"https://{host}{parts.path}"
    prefix = "/images" if host == IMAGE_HOST else ""
    return f"{source.host.rstrip('/')}{prefix}{parts.path}"


def split_url(url: str) -> SplitResult:
    """Return the parts of an http(s) URL that has a scheme, a host, an optional port and a path.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: it has other parts, such as credentials or a query, or it is no URL.
    """
    try:
        parts = urlsplit(url)
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, is_port_valid = SplitResult("", "", "", "", ""), False
    has_extra = parts.query or parts.fragment or "@" in parts.netloc or not url.isascii()
    is_web = parts.scheme in ("http", "https") and parts.hostname
    if not is_port_valid or not is_web or has_extra:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} is not a plain URL; expected http(s)://<host>/<path> in ASCII, without "
            "credentials, query or fragment",
        )
    return parts


def is_allowed(parts: SplitResult, source: SourceConfig) -> bool:
    """Return whether a run may contact the host (and port) of a URL."""
    host = (parts.hostname or "").lower()
    port = parts.port
    if host in release_hosts(source) and port in (None, 80, 443):
        return True
    allowed = {entry.strip().lower() for entry in source.allowed_hosts}
    if source.host is not None:
        allowed.add(urlsplit(source.host).netloc.lower())
    return (host in allowed and port in (None, 80, 443)) or f"{host}:{port}" in allowed
