"""Counts of a catalog, as text for the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cacl.hpa.genes import UnknownName
from cacl.hpa.target_class import split_labels
from cacl.runtime.printable import one_line
from cacl.tables.schemas import ImageRow

MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class CatalogSummary:
    """Contents of a catalog, and what is missing from it; `str()` returns lines of text.

    Parameters
    ----------
    genes, antibodies, images, annotations
        Numbers of each.
    positive, negative, unlabelled
        Numbers of images by label.
    contradictory
        Images without a label because the annotations of antibody and gene contradict each other.
    failures
        Number of failures by reason.
    unknown_names
        Genes and antibodies that the source does not have.
    genes_without_images, antibodies_without_images
        Names without an image in the configured tissues.
    unused_overrides
        Images of `labels.overrides` that the catalog does not have.
    class_counts
        One line of text for each of several classes.
    """

    genes: int
    antibodies: int
    images: int
    annotations: int
    positive: int
    negative: int
    unlabelled: int
    contradictory: int
    failures: tuple[tuple[str, int], ...]
    unknown_names: tuple[UnknownName, ...]
    genes_without_images: tuple[str, ...]
    antibodies_without_images: tuple[str, ...]
    unused_overrides: tuple[str, ...]
    class_counts: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"{self.genes} genes, {self.antibodies} antibodies, {self.images} images, "
            f"{self.annotations} annotations",
            f"labels: {self.positive} positive, {self.negative} negative, {self.unlabelled} "
            f"without ({self.contradictory} of them because antibody and gene disagree)",
            *self.class_counts,
        ]
        for unknown in self.unknown_names[:MAX_LISTED]:
            hint = f", did you mean {unknown.suggestion}?" if unknown.suggestion else ""
            lines.append(f"not in the source: {unknown.name}{hint}")
        if len(self.unknown_names) > MAX_LISTED:
            lines.append(f"not in the source: {len(self.unknown_names) - MAX_LISTED} more names")
        for title, names in (
            ("genes without images in these tissues", self.genes_without_images),
            ("antibodies without images in these tissues", self.antibodies_without_images),
            ("overrides of images that are not in the catalog", self.unused_overrides),
        ):
            if names:
                listed = ", ".join(names[:MAX_LISTED]) + ", ..." * (len(names) > MAX_LISTED)
                lines.append(f"{title}: {len(names)} ({listed})")
        if self.failures:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.failures)
            lines.append(f"failures: {counts}; see the table of failures")
        return "\n".join(map(one_line, lines))


def class_counts(images: Sequence[ImageRow]) -> Iterator[str]:
    """Yield one line per class with the numbers of its labels; none for a single class."""
    labels = [split_labels(image.class_labels) for image in images]
    for name in dict.fromkeys(name for image_labels in labels for name in image_labels):
        counts = Counter(image_labels.get(name, "") for image_labels in labels)
        yield f"labels of {name}: {counts['positive']} positive, {counts['negative']} negative"
