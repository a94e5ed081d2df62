"""The content of the report's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cacl.report import methods, text
from cacl.report.controls import Controls
from cacl.report.figures import Figure
from cacl.report.model_origin import ModelOrigin
from cacl.report.thumbnails import Thumbnail
from cacl.report.views import View
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.tables import dictionary
from cacl.tables.schemas import (
    AgreementRow,
    AntibodyRow,
    ClassRow,
    DisagreementRow,
    FailureRow,
    GeneRow,
    ReviewRow,
)


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that the page shows.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row per image.
    antibodies, genes
        By rank.
    agreement, disagreements
        With the annotation of the HPA.
    review
        The cores that an expert should review first.
    failures
        Images that a step could not use.
    retries
        Which images changed, can be tried again and were tried again, in words; empty if unknown.
    classes
        Stained area of each image and class.
    catalog
        Columns of `ImageRow`, all images of the run.
    thumbnails
        Of gallery and panels, by image.
    views
        Pictures for the viewer, by image.
    gallery
        The antibodies of the gallery, by rank.
    figures
        In the order of the page.
    benchmark
        The benchmark's table as text; None if there is none.
    model
        Content of `model.json`; empty if there is none.
    origin
        Where a model of another run comes from.
    controls
        The spike-in controls.
    settings
        Settings of the run that the report quotes.
    tiling
        Tile size in words; empty if unknown.
    tables
        The tables beside the page.
    reading_notes
        How to open the tables.
    stain_vectors
        The run's stain vectors.
    """

    images: pd.DataFrame
    antibodies: Sequence[AntibodyRow]
    genes: Sequence[GeneRow]
    agreement: Sequence[AgreementRow]
    disagreements: Sequence[DisagreementRow]
    review: Sequence[ReviewRow]
    failures: Sequence[FailureRow]
    classes: Sequence[ClassRow]
    catalog: pd.DataFrame
    thumbnails: Mapping[str, Thumbnail]
    views: Mapping[str, View]
    gallery: Sequence[AntibodyRow]
    figures: Sequence[Figure]
    benchmark: pd.DataFrame | None
    model: Mapping[str, Any]
    settings: text.RunSettings
    tiling: str
    tables: Sequence[dictionary.Table]
    reading_notes: Sequence[str]
    controls: Controls
    origin: ModelOrigin
    retries: str = ""
    stain_vectors: StainVectors = REFERENCE

    @property
    def tissues(self) -> list[str]:
        """Names of the tissues, sorted."""
        return sorted(set(self.images["tissue"]) - {""})

    @property
    def question(self) -> str:
        """The question that the run answers."""
        return text.question(self.settings.cell_type, self.tissues)

    @property
    def headline(self) -> str:
        """The answer in one or two sentences."""
        return text.headline(self.antibodies, failures=len(self.failures))

    @property
    def p_values(self) -> str:
        """What p, q and z compare with."""
        return text.explain_p_values(self.antibodies)

    @property
    def is_synthetic(self) -> bool:
        """Whether there are images and all of them are synthetic."""
        return methods.is_synthetic(self.catalog)
