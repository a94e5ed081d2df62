"""What the atlas commands are asked for: the source of the images, and the rule of the labels."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cacl.errors import ConfigError
from cacl.hpa.target_class import TargetClass

KINDS = ("phantom", "hpa", "mirror", "manifest")
LABELS = ("positive", "negative")
FALL_BACK_CELL_TYPE = "glandular cells"
FALL_BACK_LOCATION = "membran"
MAX_REQUESTS_PER_SECOND = 200.0


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the images and their annotation come from (the section `source` of the config).

    Parameters
    ----------
    kind
        `phantom` (a mirror of synthetic images), `hpa`, `mirror` or `manifest`.
    hpa_version
        Release of the atlas, such as "23"; None for the current one.
    genes
        Symbols, synonyms, Ensembl ids, files with one a line, or "all"; empty for all of a mirror.
    antibodies
        Only these antibodies; empty for all of the genes.
    tissues
        Only these tissues, in any case; empty for all. A manifest is taken whole.
    mirror
        Folder laid out as the host is, for the kinds `mirror` and `phantom`.
    manifest
        CSV of the user's own images, for the kind `manifest`.
    requests_per_second
        Most requests a second to the host.
    allowed_hosts
        Hosts (`name` or `name:port`) that may be contacted besides those of the release.
    host
        Address that stands for the release's own hosts and has the same paths, such as an
        institute's copy: `https://hpa.example.org`; None for the Human Protein Atlas itself.

    Raises
    ------
    ConfigError
        A value has no meaning.
    """

    kind: str
    hpa_version: str | None = "23"
    genes: tuple[str, ...] = ()
    antibodies: tuple[str, ...] = ()
    tissues: tuple[str, ...] = ("duodenum",)
    mirror: Path | None = None
    manifest: Path | None = None
    requests_per_second: float = 4.0
    allowed_hosts: tuple[str, ...] = ()
    host: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"source.kind is {self.kind!r}; expected one of {', '.join(KINDS)}")
        if not 0 < self.requests_per_second <= MAX_REQUESTS_PER_SECOND:
            raise ConfigError(
                f"source.requests_per_second is {self.requests_per_second}; expected more than 0 "
                f"and at most {MAX_REQUESTS_PER_SECOND:g}"
            )
        if self.hpa_version is not None and not re.fullmatch(r"\d\d(\.\d)?", self.hpa_version):
            raise ConfigError(
                f"source.hpa_version is {self.hpa_version!r}; expected a release such as '23', or "
                "null for the current one"
            )
        if self.host is not None and urlsplit(self.host).scheme not in ("http", "https"):
            raise ConfigError(
                f"source.host is {self.host!r}; expected an address that starts with https://"
            )

    def check_catalogable(self) -> None:
        """Check that the kind has what a catalog needs; acquiring needs less.

        Raises
        ------
        ConfigError
            A mirror's folder, a manifest's table, or the host's genes are not named.
        """
        if self.kind in ("mirror", "phantom") and self.mirror is None:
            raise ConfigError(
                f"source.kind is {self.kind} but no folder is given; set source.mirror to a folder "
                "laid out as the atlas's host is"
            )
        if self.kind == "manifest" and self.manifest is None:
            raise ConfigError(
                "source.kind is manifest but no table is given; set source.manifest to a CSV with "
                "the columns image_path,antibody_id,patient_id"
            )
        if self.kind == "hpa" and not (self.genes or self.antibodies):
            raise ConfigError(
                "source.kind is hpa but neither genes nor antibodies are named; write for example "
                "`genes: [SI, ANPEP]`, the path of a file with one gene a line, or `genes: all`"
            )


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
