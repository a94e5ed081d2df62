"""What the atlas commands are asked for: the source of the images, and the rule of the labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from cacl.config import SourceConfig, TargetClass
from cacl.errors import ConfigError

LABELS = ("positive", "negative")
FALL_BACK_CELL_TYPE = "glandular cells"
FALL_BACK_LOCATION = "membran"


SourceOptions = SourceConfig


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Which images count as positive and negative (the section `labels` of the config).

    Parameters
    ----------
    cell_type
        Cell type whose staining gives the label, in any case.
    positive, negative
        Staining levels, in any case.
    overrides
        CSV `image_id,label` or `image_id,row,col,label` that wins over the rule, or None. With
        several classes it is about the first.
    classes
        Several classes, each with a cell type of its own; empty for one, that of `cell_type`.
    location
        Part of the location that a positive staining must name; empty for any.

    Raises
    ------
    ConfigError
        A list is empty, or a level is in both.
    """

    cell_type: str = "enterocytes - microvilli"
    positive: tuple[str, ...] = ("high", "medium")
    negative: tuple[str, ...] = ("not detected",)
    overrides: Path | None = None
    classes: tuple[TargetClass, ...] = ()
    location: str = ""

    def of_classes(self) -> dict[str, LabelOptions]:
        """Return the rule of each class by its name; the only one's name is empty."""
        rules = {
            one.name: dataclasses.replace(
                self, cell_type=one.cell_type, location=one.location, classes=()
            )
            for one in self.classes
        }
        return rules or {"": self}

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell_type", self.cell_type.strip().lower())
        for name in LABELS:
            levels = tuple(level.strip().lower() for level in getattr(self, name))
            if not levels:
                raise ConfigError(f"labels.{name} is empty; name at least one staining level")
            object.__setattr__(self, name, levels)
        both = sorted(set(self.positive) & set(self.negative))
        if both:
            raise ConfigError(f"labels: {', '.join(both)} cannot be both positive and negative")
