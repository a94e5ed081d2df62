"""The typed configuration: the only source of keys, types, ranges, defaults and descriptions.

One frozen model per section. `workflow/schemas/config.schema.yaml`, `config/README.md` and the
options of the commands are derived from these models (`make docs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError, model_validator

from cacl.errors import ConfigError
from cacl.runtime.section import Section, key
from cacl.runtime.validation import (
    AnyCase,
    FilePath,
    TextOrTexts,
    Texts,
    error_sentences,
    to_tuple,
)
from cacl.runtime.yaml_io import read_merged
from cacl.stain.config import StainConfig

MAX_CLASSES = 8
CLASS_NAME_FORM = "a short lower-case word of letters and digits, such as nucleus"
Levels = Annotated[tuple[AnyCase, ...], Field(min_length=1), BeforeValidator(to_tuple)]
ClassName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,19}$")]
Densities = Annotated[tuple[Annotated[float, Field(gt=0, le=3)], ...], BeforeValidator(to_tuple)]
Widths = Annotated[tuple[Annotated[float, Field(gt=0, le=50)], ...], BeforeValidator(to_tuple)]


class SourceConfig(Section):
    """Where the images and their annotation come from."""

    kind: Literal["phantom", "hpa", "mirror", "manifest"] = key(
        "phantom",
        "phantom (synthetic images with ground truth), hpa (the Human Protein Atlas), mirror (a "
        "folder laid out as its host) or manifest (a CSV of your own images).",
    )
    hpa_version: str | None = key(
        "23",
        'Release of the Human Protein Atlas; "23" pins https://v23.proteinatlas.org, null takes '
        "the current one. Do not change it during a project: annotations differ by release.",
        form="a release such as '23'",
        pattern=r"^[0-9]{2}(\.[0-9])?$",
    )
    genes: TextOrTexts = key(
        (),
        "Gene symbols, synonyms or Ensembl ids; the path of a list of them (a text, or a table "
        "with a column gene or ensembl_id); or all. Empty means all for a phantom and a mirror.",
    )
    antibodies: Texts = key((), "Only these antibodies, such as HPA001873; empty for all.")
    tissues: Texts = key(
        ("duodenum",),
        "Tissues as the Human Protein Atlas names them, in any case; empty for all. A manifest "
        "ignores it.",
    )
    mirror: FilePath | None = key(None, "For kind mirror: a folder laid out as HPA's host.")
    manifest: FilePath | None = key(
        None,
        "For kind manifest: a CSV with image_path, antibody_id and patient_id, and optionally "
        "label, gene, ensembl_id, tissue, image_id, mpp, core_um and region. Its paths resolve "
        "against its own folder.",
    )
    requests_per_second: float = key(
        4.0,
        "Maximum number of requests per second to the host. 4 is polite and enough for a tissue.",
        unit="1/s",
        gt=0,
        le=200,
    )
    allowed_hosts: Texts = key(
        (), "Hosts (name or name:port) that may be contacted besides those of the release."
    )
    host: str | None = key(
        None,
        "Address of a copy of the Human Protein Atlas, such as an institute's, that serves the "
        "same paths as the release's own hosts and replaces them; null for the original.",
        form="an address that starts with https:// or http://",
        pattern=r"^https?://[^/\s]+",
    )
    max_minutes: float | None = key(
        None,
        "Maximum time of requests for the images of one shard; null for no limit. The images "
        "left are failures of reason postponed, with which the next run continues.",
        unit="minutes",
        gt=0,
    )

    def check_catalogable(self) -> None:
        """Check that the kind has what a catalog needs; `cacl acquire` needs less.

        Raises
        ------
        ConfigError
            A mirror's folder, a manifest's table, or the genes of the host are not named.
        """
        needs_folder = self.kind in ("mirror", "phantom") and self.mirror is None
        if needs_folder or (self.kind == "manifest" and self.manifest is None):
            name = "manifest" if self.kind == "manifest" else "mirror"
            raise ConfigError(
                f"source.kind is {self.kind} but source.{name} is missing; write\n"
                f"source:\n  kind: {self.kind}\n  {name}: path/to/your/{name}"
            )
        if self.kind == "hpa" and not (self.genes or self.antibodies):
            raise ConfigError(
                "source.kind is hpa but neither genes nor antibodies are named; write\n"
                "source:\n  kind: hpa\n  genes: [SI, ANPEP, ALPI]   # or a file, or all"
            )


class PhantomConfig(Section):
    """The synthetic images of source.kind phantom."""

    antibodies: int = key(32, "Antibodies, every other one positive.", ge=2, le=25_000)
    patients: int = key(2, "Patients, that is cores per antibody.", ge=1, le=3)
    setting: Literal[
        "duodenum-a",
        "duodenum-b",
        "duodenum-c",
        "duodenum-d",
        "duodenum-e",
        "duodenum-f",
        "patterns-a",
    ] = key(
        "duodenum-a",
        "What the cores look like: -f has rows of stained nuclei, packed stroma and real texture; "
        "patterns-a brush border, cytoplasm and nuclei with true masks, for labels.classes.",
    )


class TargetClassConfig(Section):
    """One entry of labels.classes."""

    cell_type: AnyCase = key(
        ...,
        "Cell type whose annotation gives the label; glandular cells where it is missing.",
        form="the name of a cell type",
        min_length=1,
    )
    location: AnyCase = key(
        "", "Text that the location of a positive staining must contain; empty for any."
    )
    shape: Literal["line", "area"] = key("line", "Candidate pixels of the class.")

    @classmethod
    def section_name(cls) -> str:
        """Return the key of the entries."""
        return "labels.classes"


class TargetClass(TargetClassConfig):
    """A class with its name; a model's folder names its classes without their cell types."""

    name: ClassName = key(..., "Its name.", form=CLASS_NAME_FORM)
    cell_type: AnyCase = ""


class LabelsConfig(Section):
    """Which images count as positive and negative when the model is trained."""

    cell_type: AnyCase = key(
        "enterocytes - microvilli",
        "Cell type whose annotation gives the label; glandular cells where it is missing. With "
        "labels.classes it is that of the first class.",
    )
    positive: Levels = key(("high", "medium"), "Staining levels that make an image positive.")
    negative: Levels = key(("not detected",), "Staining levels that make an image negative.")
    overrides: FilePath | None = key(
        None,
        "CSV image_id,label or image_id,row,col,label that takes precedence over the annotation; "
        "label is positive, negative or empty (leave out). With several classes it applies to the "
        "first.",
    )
    drawn: FilePath | None = key(
        None,
        "Folder of corrections drawn in QuPath, one file <image_id>.geojson per image (the / may "
        "be _), with areas of the classes positive and negative: labels of pixels, from which the "
        "first class learns beside the labels of images; see docs/guides/qupath_round_trip.md.",
    )
    classes: dict[ClassName, TargetClassConfig] = key(
        {},
        "Several classes in order, each with a codebook and a mask of its own; empty for one "
        "class, that of cell_type. A name (a short lower-case word) maps to cell_type, location "
        "(text that the annotated location must contain, such as nuclear; staining elsewhere is "
        "negative) and shape (line: pixels whose DAB exceeds that of their surroundings, as on a "
        "thin border; area: all DAB-positive pixels of cells). images.csv reports the first class.",
        max_length=MAX_CLASSES,
    )

    @property
    def target_classes(self) -> tuple[TargetClass, ...]:
        """The classes with their names, in order; empty for the single class of `cell_type`."""
        return tuple(
            TargetClass(name=name, **entry.model_dump()) for name, entry in self.classes.items()
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(set(self.positive) & set(self.negative))
        if both:
            raise ValueError(f"{both} cannot be both positive and negative")
        for first in list(self.classes.values())[:1]:
            object.__setattr__(self, "cell_type", first.cell_type)
        return self


class TilesConfig(Section):
    """How a core is cut into tiles. A change makes a new store: every core is tiled again."""

    source_px: int = key(
        375, "Side of a tile in pixels of the source image.", unit="px", ge=32, le=4096
    )
    tile_px: int = key(
        128,
        "Side of a tile in the store; a multiple of 8, at most source_px.",
        unit="px",
        ge=32,
        le=1024,
        multiple_of=8,
    )
    min_tissue_fraction: float = key(
        0.2,
        "Tiles with a smaller fraction of tissue are neither trained on nor measured.",
        unit="0-1",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tile_px > self.source_px:
            raise ValueError(
                f"tile_px ({self.tile_px}) must be at most tiles.source_px ({self.source_px}): "
                "tiles are reduced, never enlarged"
            )
        return self


class TrainConfig(Section):
    """How the model is trained."""

    preset: Literal["robust", "quick", "paper"] = key(
        "robust",
        "robust; quick (a sixth of its training, for a first look at somewhat lower quality); or "
        "paper (the published method unchanged; fragile).",
    )
    seeds: int = key(
        1,
        "Number of models, trained with different seeds, whose scores are averaged; their "
        "disagreement enters each image's confidence. Time of training and segmentation grows in "
        "proportion.",
        ge=1,
        le=16,
    )
    max_steps: int | None = key(None, "Training steps of each seed; null for the preset's.", ge=1)
    max_minutes: float | None = key(
        None,
        "Stop training after this time. Equal seeds then no longer give equal bytes.",
        unit="minutes",
        gt=0,
    )
    max_tiles: int = key(4000, "Maximum number of training tiles, half positive; by seed.", ge=2)
    model: FilePath | None = key(
        None,
        "Model of another run that is used as it is: its folder results/model, or a file of cacl "
        "export --model. The other keys of train then count for nothing.",
    )
    start_from: FilePath | None = key(
        None,
        "Model, as for model, from whose weights training continues on this run's labels, in a "
        "quarter of the steps.",
    )


class SegmentConfig(Section):
    """Postprocessing of a mask."""

    morphology: Literal["none", "dilation", "opening", "closing"] = key(
        "none",
        "Operation on the mask. The paper dilates its coarse masks; masks of the preset robust "
        "are better without.",
    )
    radius_px: int = key(
        1, "Radius of that operation in pixels of the store.", unit="px", ge=0, le=16
    )


class ControlsConfig(Section):
    """Spike-in controls: DAB bands painted on negative cores of antibodies that no model saw."""

    cores: int = key(24, "Maximum number of cores over all antibodies; 0 for none.", ge=0, le=500)
    doses_od: Densities = key(
        (0.1, 0.2, 0.4, 0.8),
        "Optical densities of DAB that are added, rising.",
        unit="optical density",
        min_length=1,
        max_length=12,
    )
    widths_um: Widths = key(
        (3.0,), "Widths of the band, rising.", unit="um", min_length=1, max_length=6
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("doses_od", "widths_um"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise: {', '.join(map(str, sorted(set(values))))}")
        return self


class CensusConfig(Section):
    """How the work is split."""

    shards: int = key(
        4,
        "Number of parts that are separate jobs; about one per 100 antibodies. A change computes "
        "the tables again, not the images.",
        ge=1,
        le=4096,
    )


class BenchmarkConfig(Section):
    """What the methods are compared with; read by `snakemake benchmark` alone."""

    truth: FilePath | None = key(
        None,
        "Folder of your own true masks, a file per image, named as its image_id (the / may be _): "
        ".png (pixels that are not 0 are stained) or .geojson (polygons of QuPath); see "
        "docs/guides/evaluate_on_own_masks.md. Null for the true masks of the phantom.",
    )


class Config(Section):
    """What to compute. Threads, memory, GPU and partition belong to a profile."""

    source: SourceConfig = SourceConfig()
    phantom: PhantomConfig = PhantomConfig()
    labels: LabelsConfig = LabelsConfig()
    stain: StainConfig = StainConfig()
    tiles: TilesConfig = TilesConfig()
    train: TrainConfig = TrainConfig()
    segment: SegmentConfig = SegmentConfig()
    controls: ControlsConfig = ControlsConfig()
    census: CensusConfig = CensusConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    seed: int = key(
        0,
        "Seed of every random choice. Equal seeds give equal bytes on a CPU; a training also needs "
        "equal threads and an equal instruction set.",
        ge=0,
        le=2**32 - 1,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.labels.drawn and self.train.preset == "paper":
            raise ConfigError(
                "labels.drawn cannot be used with train.preset paper, which learns from labels of "
                "images alone; set train.preset to robust, or remove labels.drawn"
            )
        further = {"labels.drawn": self.labels.drawn, "train.start_from": self.train.start_from}
        for name, value in further.items():
            if self.train.model and value:
                problem = "cannot be used with train.model, which trains nothing; remove one"
                raise ConfigError(f"{name} {problem}")
        if self.source.kind != "phantom":  # a phantom's mirror is drawn by the workflow
            self.source.check_catalogable()
        return self


def resolve(values: Mapping[Any, Any]) -> Config:
    """Return a configuration with every default filled in.

    Parameters
    ----------
    values
        Nested mapping as read from YAML; any key may be missing.

    Raises
    ------
    ConfigError
        Unknown key (the nearest one is suggested), wrong type, value out of range, or values that
        contradict each other. Every problem is named, one per line.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(error_sentences(Config, error)) from None


def load(paths: Sequence[Path]) -> Config:
    """Return the configuration of merged files; see `read_merged` and `resolve` also for errors."""
    return resolve(read_merged(paths))
