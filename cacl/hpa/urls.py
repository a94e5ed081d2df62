"""Names that come from outside: which may become file names, and which URLs may be asked for."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from cacl.errors import ImageError, Reason
from cacl.hpa.options import SourceOptions
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
        `UNSAFE_ID`: one of the two cannot be a file name.
    """
    for what, value in (("antibody id", antibody_id), ("image name", name)):
        if not is_safe_name(value):
            raise ImageError(
                Reason.UNSAFE_ID,
                f"The {what} {value[:100]!r} cannot be a file name; expected 1 to 100 letters, "
                "digits, '.', '_' or '-', the first a letter or digit",
            )
    return f"{antibody_id}/{name}"


def own_hosts(source: SourceOptions) -> frozenset[str]:
    """Return the hosts of the configured release of the Human Protein Atlas."""
    release = CURRENT_HOST if source.hpa_version is None else release_host(source.hpa_version)
    return frozenset((release, IMAGE_HOST))


def release_host(hpa_version: str) -> str:
    """Return the host that pins a release: `v23.proteinatlas.org` for 23 and for 23.0."""
    return f"v{hpa_version.split('.')[0]}.proteinatlas.org"


def check_image_url(url: str, source: SourceOptions) -> PurePosixPath:
    """Return where an image lies below the root of a host or mirror: `images/<n>/<file>`.

    A mirror is never contacted, so that its URLs may name any release.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: another scheme or host, credentials, a port, a query, or a path with
        anything but plain names.
    """
    parts = split_url(url)
    mirrored = source.kind != "hpa" and (
        RELEASE_HOST.fullmatch(parts.hostname or "") or parts.hostname == CURRENT_HOST
    )
    if not (mirrored or is_allowed(parts, source)):
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} is on a host that this run may not read; expected one of "
            f"{', '.join(sorted(own_hosts(source)))}, or add it to source.allowed_hosts",
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
            f"{url[:200]!r} is not the address of a JPEG; expected a name that ends in .jpg",
        )
    return PurePosixPath("images", path.parent.name, path.name)


def address_of(url: str, source: SourceOptions) -> str:
    """Return the address to ask for a file of the atlas.

    The release's own hosts are asked by https, whatever older XML says; with `source.host` that
    host is asked instead, where `images.proteinatlas.org/<n>` is `/images/<n>`.

    Raises
    ------
    ImageError
        `UNSAFE_URL`, as for `split_url`.
    """
    parts = split_url(url)
    host = (parts.hostname or "").lower()
    if host not in own_hosts(source):
        return url
    if source.host is None:
        return f"https://{host}{parts.path}"
    prefix = "/images" if host == IMAGE_HOST else ""
    return f"{source.host.rstrip('/')}{prefix}{parts.path}"


def split_url(url: str) -> SplitResult:
    """Return the parts of an http(s) URL that carries nothing but scheme, host, port and path.

    Raises
    ------
    ImageError
        `UNSAFE_URL`: it carries more, or is none.
    """
    try:
        parts = urlsplit(url)
        plain = parts.port is None or parts.port > 0
    except ValueError:
        parts, plain = SplitResult("", "", "", "", ""), False
    extra = parts.query or parts.fragment or "@" in parts.netloc or not url.isascii()
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname or extra:
        raise ImageError(
            Reason.UNSAFE_URL,
            f"{url[:200]!r} is not a plain address; expected http(s)://<host>/<path> without "
            "credentials, query or other signs",
        )
    return parts


def is_allowed(parts: SplitResult, source: SourceOptions) -> bool:
    """Return whether a run may contact the host (and port) of a URL."""
    host = (parts.hostname or "").lower()
    port = parts.port
    if host in own_hosts(source) and port in (None, 80, 443):
        return True
    allowed = {entry.strip().lower() for entry in source.allowed_hosts}
    if source.host is not None:
        allowed.add(urlsplit(source.host).netloc.lower())
    return (host in allowed and port in (None, 80, 443)) or f"{host}:{port}" in allowed
