"""Settings of the phantom: sizes, colours, stain densities and optics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cacl.errors import ConfigError

Range = tuple[float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of the tissue, in micrometres; a range is the range of a uniform distribution."""

    mpp: float = 0.4
    core_diameter_um: float = 1010.0
    villus_length_um: Range = (330.0, 560.0)
    villus_width_um: Range = (95.0, 140.0)
    villus_gap_um: Range = (8.0, 34.0)
    villus_bend: float = 0.16
    outline_wobble: float = 0.2
    crosswise_fraction: float = 0.3
    islands: tuple[int, int] = (5, 11)
    crypt_zone_um: Range = (130.0, 220.0)
    crypt_pitch_um: float = 62.0
    crypt_wedge: float = 2.2
    gland_wedge: float = 3.5
    gland_pitch_um: float = 48.0
    crypt_lumen_um: Range = (2.0, 7.0)
    crypt_epithelium_um: Range = (17.0, 22.0)
    epithelium_um: Range = (24.0, 34.0)
    cell_width_um: Range = (4.6, 7.2)
    border_um: Range = (2.6, 5.6)
    goblet_fraction_villus: float = 0.1
    goblet_fraction_crypt: float = 0.22
    stroma_pitch_um: float = 9.5


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Optical density vectors (R, G, B) of the two stains, and the level of the background.

    `white` is the level without tissue in R, G, B, 0 to 255; the jitters are standard deviations.
    """

    hematoxylin: Vector = (0.650, 0.655, 0.385)
    dab: Vector = (0.372, 0.562, 0.738)
    vector_jitter: float = 0.02
    white: Vector = (244.0, 244.0, 245.0)
    white_jitter: float = 3.0


@dataclass(frozen=True)
class Confounder:
    """A stain other than that of the brush border.

    `fraction` of the antibodies have it, with a DAB optical density in the range `od`.
    """

    fraction: float
    od: Range


@dataclass(frozen=True, kw_only=True)
class Densities:
    """Optical densities of the stains; positive and negative antibodies share the confounders."""

    strong_od: Range = (0.85, 1.2)
    moderate_od: Range = (0.6, 0.85)
    weak_od: Range = (0.42, 0.55)
    strong_fraction: float = 0.5
    weak_fraction: float = 0.1
    coverage: Range = (0.4, 0.95)
    patient_coverage: Range = (0.65, 1.0)
    cytoplasm: Confounder = Confounder(0.55, (0.1, 0.42))
    cytoplasm_to_border: float = 0.3
    stroma: Confounder = Confounder(0.6, (0.5, 1.1))
    stroma_cells: Range = (0.05, 0.25)
    mucus: Confounder = Confounder(0.5, (0.4, 1.0))
    nuclei: Confounder = Confounder(0.25, (0.2, 0.6))
    debris: Confounder = Confounder(0.7, (0.4, 1.15))
    edge: Confounder = Confounder(0.45, (0.35, 1.0))
    background_od: Range = (0.01, 0.07)
    nucleus_h_od: Range = (0.26, 0.46)
    cytoplasm_h_od: Range = (0.07, 0.14)


@dataclass(frozen=True, kw_only=True)
class NucleusRows:
    """Nuclei of the columnar epithelium, in a row; depths and lengths in cell heights.

    `depth` is the mean distance of the centres from the lumen, `depth_sd` its standard deviation,
    `spacing_um` the distance of neighbours.
    """

    depth: float = 0.73
    depth_sd: float = 0.04
    spacing_um: Range = (4.0, 5.4)
    half_length: Range = (0.15, 0.2)
    half_width_um: Range = (1.8, 2.4)


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What real tissue has and the simpler settings lack, with the texture of `texture.py`.

    An antibody that stains nuclei stains these fractions of those of the epithelium and of the
    stroma. `stroma_pitch_um` is the distance of the nuclei where the stroma is packed.
    """

    rows: NucleusRows = NucleusRows()
    epithelial_nuclei: Range = (0.8, 1.0)
    stroma_nuclei: Range = (0.15, 0.8)
    stroma_pitch_um: float = 6.6


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Blur (source pixels), noise (grey levels) and JPEG quality of the camera."""

    blur_sigma_px: Range = (0.7, 1.7)
    noise_sd: Range = (1.2, 2.6)
    jpeg_quality: int = 75


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All parameters of a phantom except its seed.

    `structures` are the keys of `imaging.MASK_VALUES` that the ground truth contains. The
    structures are stained whether or not the ground truth contains them.
    """

    name: str
    geometry: Geometry = Geometry()
    colours: Colours = Colours()
    densities: Densities = Densities()
    optics: Optics = Optics()
    structures: tuple[str, ...] = ("microvilli",)
    detail: Detail | None = None

    def __str__(self) -> str:
        """Return the name, the diameter of a core and the size of a pixel."""
        geometry = self.geometry
        return f"{self.name}: {geometry.core_diameter_um:g} um cores at {geometry.mpp:g} um/px"


DUODENUM_A = Setting(name="duodenum-a")

DUODENUM_B = Setting(
    name="duodenum-b",
    geometry=dataclasses.replace(
        DUODENUM_A.geometry,
        villus_length_um=(240.0, 400.0),
        villus_width_um=(75.0, 115.0),
        villus_gap_um=(10.0, 42.0),
        villus_bend=0.3,
        crosswise_fraction=0.35,
        crypt_zone_um=(170.0, 280.0),
        epithelium_um=(20.0, 28.0),
        border_um=(2.4, 4.6),
        goblet_fraction_villus=0.16,
    ),
    colours=Colours(
        hematoxylin=(0.60, 0.72, 0.34),
        dab=(0.30, 0.59, 0.75),
        vector_jitter=0.03,
        white=(236.0, 237.0, 240.0),
        white_jitter=5.0,
    ),
    optics=Optics(blur_sigma_px=(1.2, 2.6), noise_sd=(2.0, 4.5), jpeg_quality=60),
)

DUODENUM_C = Setting(
    name="duodenum-c",
    geometry=dataclasses.replace(
        DUODENUM_A.geometry,
        villus_length_um=(420.0, 680.0),
        villus_width_um=(120.0, 180.0),
        villus_gap_um=(14.0, 50.0),
        villus_bend=0.08,
        crosswise_fraction=0.2,
        crypt_zone_um=(90.0, 160.0),
        epithelium_um=(28.0, 38.0),
        cell_width_um=(5.2, 8.0),
        border_um=(3.0, 6.4),
        goblet_fraction_villus=0.05,
        stroma_pitch_um=11.0,
    ),
    colours=Colours(
        hematoxylin=(0.72, 0.60, 0.36),
        dab=(0.42, 0.55, 0.72),
        vector_jitter=0.025,
        white=(250.0, 249.0, 246.0),
        white_jitter=2.0,
    ),
    densities=dataclasses.replace(
        DUODENUM_A.densities,
        strong_od=(0.7, 1.0),
        moderate_od=(0.5, 0.7),
        weak_od=(0.36, 0.48),
        cytoplasm=Confounder(0.7, (0.08, 0.35)),
        stroma=Confounder(0.4, (0.4, 0.9)),
        mucus=Confounder(0.3, (0.3, 0.8)),
        nuclei=Confounder(0.35, (0.15, 0.5)),
        background_od=(0.02, 0.1),
        nucleus_h_od=(0.34, 0.56),
    ),
    optics=Optics(blur_sigma_px=(0.5, 1.2), noise_sd=(3.0, 6.0), jpeg_quality=85),
)

# For tests only: chosen by the result of colour deconvolution, never by the result of a model.
DUODENUM_D = Setting(
    name="duodenum-d",
    geometry=dataclasses.replace(
        DUODENUM_A.geometry,
        villus_length_um=(300.0, 500.0),
        villus_width_um=(105.0, 160.0),
        villus_gap_um=(16.0, 56.0),
        villus_bend=0.22,
        outline_wobble=0.3,
        crosswise_fraction=0.25,
        epithelium_um=(26.0, 36.0),
        border_um=(4.4, 8.0),
        goblet_fraction_villus=0.08,
    ),
    colours=Colours(
        hematoxylin=(0.68, 0.63, 0.36),
        dab=(0.34, 0.60, 0.72),
        vector_jitter=0.025,
        white=(240.0, 242.0, 243.0),
        white_jitter=4.0,
    ),
    densities=dataclasses.replace(
        DUODENUM_A.densities,
        strong_od=(0.95, 1.35),
        moderate_od=(0.7, 0.95),
        weak_od=(0.48, 0.6),
        cytoplasm=Confounder(0.45, (0.1, 0.38)),
        stroma=Confounder(0.5, (0.4, 0.95)),
        stroma_cells=(0.04, 0.18),
        mucus=Confounder(0.4, (0.35, 0.9)),
        debris=Confounder(0.6, (0.4, 1.0)),
        edge=Confounder(0.35, (0.3, 0.9)),
    ),
    optics=Optics(blur_sigma_px=(0.6, 1.5), noise_sd=(1.5, 3.5), jpeg_quality=80),
)

# For tests only: each number is random between the extremes of the settings above.
DUODENUM_E = Setting(
    name="duodenum-e",
    geometry=dataclasses.replace(
        DUODENUM_A.geometry,
        villus_length_um=(247.0, 410.0),
        villus_width_um=(86.8, 132.0),
        villus_gap_um=(10.4, 40.7),
        villus_bend=0.264,
        outline_wobble=0.217,
        crosswise_fraction=0.259,
        crypt_zone_um=(166.0, 274.0),
        epithelium_um=(22.1, 30.7),
        cell_width_um=(4.65, 7.27),
        border_um=(2.72, 5.15),
        goblet_fraction_villus=0.0538,
        stroma_pitch_um=10.9,
    ),
    colours=Colours(
        hematoxylin=(0.689, 0.689, 0.374),
        dab=(0.305, 0.552, 0.721),
        vector_jitter=0.0299,
        white=(245.0, 245.0, 244.0),
        white_jitter=2.45,
    ),
    densities=dataclasses.replace(
        DUODENUM_A.densities,
        strong_od=(0.878, 1.25),
        moderate_od=(0.67, 0.912),
        weak_od=(0.367, 0.487),
        cytoplasm=Confounder(0.666, (0.0973, 0.411)),
        stroma=Confounder(0.503, (0.452, 1.0)),
        stroma_cells=(0.0458, 0.22),
        mucus=Confounder(0.429, (0.365, 0.929)),
        nuclei=Confounder(0.318, (0.184, 0.568)),
        debris=Confounder(0.675, (0.4, 1.11)),
        edge=Confounder(0.397, (0.324, 0.947)),
        background_od=(0.0103, 0.071),
        nucleus_h_od=(0.263, 0.463),
    ),
    optics=Optics(blur_sigma_px=(1.05, 2.3), noise_sd=(2.61, 5.27), jpeg_quality=64),
)

# For tests only: chosen by pictures of real tissue, before any model saw it.
DUODENUM_F = Setting(
    name="duodenum-f",
    colours=dataclasses.replace(DUODENUM_A.colours, hematoxylin=(0.689, 0.640, 0.340)),
    densities=dataclasses.replace(
        DUODENUM_A.densities,
        nuclei=Confounder(0.5, (0.5, 1.2)),
        stroma_cells=(0.05, 0.5),
        nucleus_h_od=(0.34, 0.52),
    ),
    optics=Optics(blur_sigma_px=(0.5, 1.2), noise_sd=(0.6, 1.4)),
    detail=Detail(),
)

PATTERNS_A = Setting(
    name="patterns-a",
    densities=dataclasses.replace(
        DUODENUM_A.densities,
        cytoplasm=Confounder(0.5, (0.28, 0.5)),
        cytoplasm_to_border=0.45,
        nuclei=Confounder(0.5, (0.4, 0.9)),
    ),
    structures=("microvilli", "cytoplasm", "nucleus"),
)

_ALL = (DUODENUM_A, DUODENUM_B, DUODENUM_C, DUODENUM_D, DUODENUM_E, DUODENUM_F, PATTERNS_A)
SETTINGS = {setting.name: setting for setting in _ALL}
# Settings whose ground truth contains only the brush border.
BRUSH_BORDER_SETTINGS = tuple(
    name for name, setting in SETTINGS.items() if len(setting.structures) == 1
)


def setting_by_name(name: str) -> Setting:
    """Return a setting by name.

    Raises
    ------
    ConfigError
        No setting has this name.
    """
    if name not in SETTINGS:
        raise ConfigError(
            f"The phantom has no setting {name!r}; choose one of {', '.join(sorted(SETTINGS))}"
        )
    return SETTINGS[name]
