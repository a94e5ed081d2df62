"""Schemas of the tables of the spike-in controls."""

from __future__ import annotations

from dataclasses import dataclass

from cacl.tables.schemas import column

MODEL = "CaCL"
"""Value of `method` for the run's model."""
LOW = "lower limit of its 95 % interval over antibodies"
HIGH = "upper limit"


@dataclass(frozen=True, kw_only=True)
class ControlCoreRow:
    """A core that was examined for spike-in controls."""

    image_id: str = column("image")
    antibody_id: str = column("antibody; negative, and not seen by the training")
    used: bool = column("whether a band was painted on it")
    border_um: float = column("length of the apical border that was found", "um")
    painted_um: float = column("length of the border that was painted", "um")
    note: str = column("why the core was not used; empty if it was")


@dataclass(frozen=True, kw_only=True)
class ControlMeasureRow:
    """A method's mask of one core, painted with one band; a dose of 0 is the core as it is."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    method: str = column("method that made the mask")
    width_um: float = column("width of the painted band", "um")
    dose_od: float = column("optical density of DAB that was added", "optical density")
    tiles: int = column("tiles with at least 20 painted pixels; the next five columns are of these")
    painted_px: int = column("painted area", "analysis px")
    found_px: int = column("mask inside the cell area", "analysis px")
    overlap_px: int = column("mask inside the painted area", "analysis px")
    dice_sum: float = column("sum of Dice over the tiles")
    boundary_f1_sum: float = column("sum of the boundary F1 (2 px) over the tiles")
    painted_ratio: float = column("painted area / cell area of the whole core", "0-1")
    found_ratio: float = column("mask / cell area of the whole core", "0-1")


@dataclass(frozen=True, kw_only=True)
class ControlRow:
    """One method, width and dose, over all cores."""

    method: str = column("method that made the mask")
    threshold: float | None = column(
        "threshold with the highest mean Dice over all doses of these cores; empty for the model",
        "optical density",
    )
    width_um: float = column("width of the painted band", "um")
    dose_od: float = column(
        "optical density of DAB that was added; 0 is the core as it is", "optical density"
    )
    antibodies: int = column("antibodies")
    cores: int = column("cores")
    tiles: int = column("tiles with at least 20 painted pixels")
    recall: float | None = column("painted area that was found", "0-1")
    recall_low: float | None = column(LOW, "0-1")
    recall_high: float | None = column(HIGH, "0-1")
    precision: float | None = column("mask on painted tiles that is painted", "0-1")
    dice: float | None = column("mean over painted tiles", "0-1")
    dice_low: float | None = column(LOW, "0-1")
    dice_high: float | None = column(HIGH, "0-1")
    boundary_f1: float | None = column("mean over painted tiles, within 2 px", "0-1")
    found_percent: float = column("mean over cores of mask / cell area", "%")
    painted_percent: float = column("mean over cores of painted area / cell area", "%")
    slope: float | None = column(
        "slope of the regression of the found on the painted ratio, over cores; empty without paint"
    )
    ccc: float | None = column(
        "Lin's concordance of the found and the painted ratio; empty without paint", "-1-1"
    )


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """The detection limit of one method and width."""

    method: str = column("method that made the mask")
    width_um: float = column("width of the painted band", "um")
    limit_od: float | None = column(
        "lowest dose at which half of the painted border is found, between doses by linear "
        "interpolation; empty if it is above the highest dose",
        "optical density",
    )
    limit_low: float | None = column(
        "lower limit of the 95 % interval over antibodies; empty if above the highest dose",
        "optical density",
    )
    limit_high: float | None = column(
        "upper limit; empty if above the highest dose", "optical density"
    )
    highest_dose_od: float = column("highest dose that was tried", "optical density")
