"""Selection of the antibodies that the report's page shows with thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

from cacl.tables.schemas import AntibodyRow, DisagreementRow, ReviewRow

GALLERY_HIGHEST = 100
GALLERY_LOWEST = 6
MAX_ANTIBODIES = 500
SHOWN_DISAGREEMENTS = 25
SHOWN_REVIEW = 25


def gallery_antibodies(antibodies: Sequence[AntibodyRow]) -> list[AntibodyRow]:
    """Return the antibodies of the gallery: those with the highest ratios and a few lowest.

    Parameters
    ----------
    antibodies
        By rank; those without a ratio are left out.
    """
    measured = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    highest = measured[:GALLERY_HIGHEST]
    return highest + measured[len(highest) :][-GALLERY_LOWEST:]


def thumbnail_antibodies(
    antibodies: Sequence[AntibodyRow],
    disagreements: Sequence[DisagreementRow],
    review: Sequence[ReviewRow] = (),
) -> list[str]:
    """Return the ids of the antibodies whose cores get thumbnails, at most `MAX_ANTIBODIES`.

    The gallery comes first, then the disagreements and the cores to review that the page shows,
    then the rest by rank. Thumbnails of all 75,000 cores of the HPA would take gigabytes; the
    panels of the remaining antibodies link to the original images.
    """
    listed = [row.antibody_id for row in disagreements[:SHOWN_DISAGREEMENTS]]
    listed += [row.antibody_id for row in review[:SHOWN_REVIEW]]
    ranked = [row.antibody_id for row in antibodies]
    gallery = [row.antibody_id for row in gallery_antibodies(antibodies)]
    return list(dict.fromkeys([*gallery, *listed, *ranked]))[:MAX_ANTIBODIES]
