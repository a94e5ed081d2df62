"""Licence of each HPA release, and the attribution that it requires."""

from __future__ import annotations

CREDIT = (
    "Images and annotation: Human Protein Atlas, proteinatlas.org "
    "(Uhlén et al., Tissue-based map of the human proteome, Science 2015)"
)
SYNTHETIC = "none: synthetic image"
BY_RELEASE = {15: "CC BY-NC-ND 4.0", 18: "CC BY-SA 3.0", 25: "CC BY-SA 4.0"}
SHARE_ALIKE_SINCE = 18


def licence_of(hpa_version: str) -> str:
    """Return the licence of a release, or the page of the licence if it is not known.

    Parameters
    ----------
    hpa_version
        Release such as "18" or "23.0"; empty if unknown.
    """
    release = hpa_version.split(".")[0]
    if not release.isdecimal():
        return "see https://www.proteinatlas.org/about/licence"
    known = BY_RELEASE.get(int(release))
    if known is not None:
        return known
    family = "CC BY-SA, " if int(release) > SHARE_ALIKE_SINCE else ""
    return f"{family}see https://v{release}.proteinatlas.org/about/licence"
