"""Groups of parameters of the steps: files that belong together, and how a step is run.

The commands derive options from the fields: name, type, default, and the metadata `help`, `min`
and `envvar`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

STRICT = {"help": "Exit with an error if an image failed."}
STORE = {"help": "The OME-Zarr store."}
DASK_SCHEDULER = {
    "help": "Process the images on this dask scheduler, such as tcp://10.0.0.1:8786, not in "
    "threads. Its workers must see the same folders. Use only a scheduler that you trust: it can "
    "run any code on this machine.",
    "envvar": "CACL_DASK_SCHEDULER",
}


@dataclass(frozen=True, kw_only=True)
class ImageJobs:
    """How a step processes the images of a shard."""

    jobs: int = field(
        default=1, metadata={"help": "Number of images processed at the same time.", "min": 1}
    )
    dask_scheduler: str | None = field(default=None, metadata=DASK_SCHEDULER)
    strict: bool = field(default=False, metadata=STRICT)


@dataclass(frozen=True, kw_only=True)
class SegmentJobs:
    """How the masks of a shard are predicted."""

    threads: int = field(default=2, metadata={"help": "CPU threads.", "min": 1})
    strict: bool = field(default=False, metadata=STRICT)


@dataclass(frozen=True, kw_only=True)
class AttemptOptions:
    """Which attempt of a step at a shard this is; the workflow counts them."""

    attempt: int = field(
        default=0,
        metadata={
            "help": "Number of this attempt; another one tries failed or changed images again.",
            "min": 0,
        },
    )
    attempt_record: Path | None = field(
        default=None,
        metadata={"help": "JSON file of what was read and failed; the next run is planned by it."},
    )


@dataclass(frozen=True, kw_only=True)
class DearrayOptions:
    """What is known of the slides of tissue microarrays."""

    map: Path | None = field(
        default=None,
        metadata={
            "help": "CSV of the array: position, and patient_id, label, antibody_id, gene, "
            "ensembl_id, tissue of each core; a manifest of an earlier call works, too."
        },
    )
    grid: Path | None = field(
        default=None,
        metadata={
            "help": "GeoJSON of the places, corrected in QuPath, in the place of the search for "
            "cores."
        },
    )
    antibody: str | None = field(
        default=None,
        metadata={"help": "Antibody of the slides; by default each slide's file name."},
    )
    core_um: float | None = field(
        default=None,
        metadata={
            "help": "Diameter of a core in um; needed for sizes in um if the slide states no "
            "pixel size."
        },
    )


@dataclass(frozen=True, kw_only=True)
class AcquireOptions:
    """How images are acquired."""

    jobs: int = field(
        default=1, metadata={"help": "Number of images linked at the same time.", "min": 1}
    )
    refresh: bool = field(
        default=False, metadata={"help": "Download images again that have changed on the host."}
    )
    check: bool = field(
        default=False, metadata={"help": "Verify the images that are present; download nothing."}
    )
    strict: bool = field(default=False, metadata=STRICT)


@dataclass(frozen=True, kw_only=True)
class SelectionFiles:
    """What tiles are selected from."""

    images: Path = field(metadata={"help": "The catalog's images.parquet."})
    tiles: list[Path] = field(metadata={"help": "Tables of `cacl tile`; repeat."})
    store: Path = field(metadata=STORE)


@dataclass(frozen=True, kw_only=True)
class EarlierModel:
    """A model whose training antibodies keep their split; at most one of both."""

    model: Path | None = field(
        default=None,
        metadata={
            "help": "Model of another run that is used again: antibodies that it has not seen are "
            "test antibodies, and no label is required."
        },
    )
    start_from: Path | None = field(
        default=None, metadata={"help": "Model of another run whose training continues."}
    )


@dataclass(frozen=True, kw_only=True)
class TileFiles:
    """What `tile` reads, and its store."""

    acquired: Path = field(metadata={"help": "Table of `cacl acquire`."})
    store: Path = field(metadata=STORE)
    estimate: Path | None = field(
        default=None,
        metadata={"help": "File of `cacl estimate-stain`, for --vectors estimated."},
    )


@dataclass(frozen=True, kw_only=True)
class TrainFiles:
    """What a model is trained on."""

    tiles: Path = field(metadata={"help": "Table of `cacl select`."})
    store: Path = field(metadata=STORE)
    catalog: Path | None = field(
        default=None,
        metadata={"help": "The catalog's images.parquet; the model then records pixel sizes."},
    )


@dataclass(frozen=True, kw_only=True)
class ExportFiles:
    """What a report is exported to: a folder for GeoJSON, files; None for what is not wanted."""

    geojson: Path | None = field(
        default=None, metadata={"help": "Folder for masks as GeoJSON for QuPath."}
    )
    h5ad: Path | None = field(
        default=None, metadata={"help": "File for antibodies x measures as AnnData."}
    )
    xlsx: Path | None = field(
        default=None, metadata={"help": "File for all tables as an Excel workbook."}
    )
    model: Path | None = field(
        default=None,
        metadata={"help": "File for the model beside the report, for train.model of another run."},
    )


@dataclass(frozen=True, kw_only=True)
class MeasureFiles:
    """What a shard is measured from."""

    segmented: Path = field(metadata={"help": "Table of `cacl segment`."})
    images: Path = field(metadata={"help": "The shard's list of images."})
    annotations: Path = field(metadata={"help": "The catalog's annotations.parquet."})
    tiles: Path = field(metadata={"help": "The shard's table of `cacl tile`."})
    store: Path = field(metadata=STORE)


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """What a report is made from."""

    census: list[Path] = field(metadata={"help": "Tables of `cacl measure`; repeat."})
    failures: list[Path] = field(metadata={"help": "Failures of every step; repeat."})
    store: Path = field(metadata=STORE)
    model: Path = field(metadata={"help": "Folder of the trained model."})
    catalog: Path = field(metadata={"help": "Folder of `cacl catalog`."})
    classes_table: list[Path] = field(
        default_factory=list, metadata={"help": "Areas by class of `cacl measure`; repeat."}
    )
    benchmark: Path | None = field(
        default=None, metadata={"help": "Table of `cacl benchmark`, shown if it exists."}
    )
    attempts: Path | None = field(
        default=None, metadata={"help": "Folder of the records of attempts, counted if it exists."}
    )
    controls: Path | None = field(
        default=None, metadata={"help": "Folder of `cacl controls`, shown if it exists."}
    )
    reused_model: Path | None = field(
        default=None,
        metadata={"help": "Where the model comes from, if another run trained it (train.model)."},
    )


@dataclass(frozen=True, kw_only=True)
class ControlFiles:
    """What the spike-in controls are made from."""

    tiles: Path = field(metadata={"help": "Table of `cacl select`."})
    store: Path = field(metadata=STORE)
    model: Path = field(metadata={"help": "Folder of the trained model."})


@dataclass(frozen=True, kw_only=True)
class EvaluationFiles:
    """The test split of a run, and the true masks of synthetic images."""

    tiles: Path = field(metadata={"help": "Table of `cacl select`."})
    store: Path = field(metadata=STORE)
    phantom_truth: Path | None = field(
        default=None,
        metadata={"help": "Folder of true masks of `cacl phantom`, used without --truth."},
    )


@dataclass(frozen=True, kw_only=True)
class TrainedModels:
    """Folders of the models that are compared; None leaves a baseline out."""

    model: Path = field(metadata={"help": "Folder of `cacl train`."})
    paper: Path | None = field(
        default=None, metadata={"help": "Folder of `cacl train --preset paper`, on equal tiles."}
    )
    classifier: Path | None = field(
        default=None, metadata={"help": "Folder of `cacl train-classifier`, for the CAM methods."}
    )
