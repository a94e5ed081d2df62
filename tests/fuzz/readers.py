"""The functions under test, each called on the folder of a case, and the values they may return."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from lightning_fabric import Fabric

from cacl import config
from cacl.config import Config, SourceConfig
from cacl.dearray.array_map import read_array_map
from cacl.dearray.grid_file import read_grid
from cacl.errors import ImageError
from cacl.hpa import labels
from cacl.hpa import provenance as provenance_module
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.gene_index import GeneIndex
from cacl.hpa.gene_xml import read_entries, read_name
from cacl.hpa.genes import expand_names
from cacl.hpa.http.client import Client
from cacl.hpa.http.download import download_file
from cacl.hpa.http.limits import HttpLimits
from cacl.hpa.manifest import read_manifest
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.image.polygon_file import read_drawing
from cacl.image.readers import check_size, open_source
from cacl.image.readers.mask import read_mask
from cacl.image.tile_grid import TileGrid
from cacl.model.checkpoint import CURVES, load_model, save_model
from cacl.model.config import NetworkConfig, Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.inference.masks import Thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import ROBUST, TEACHER
from cacl.model.training.run import TrainingRun
from cacl.model.training_data import ENTRY, TrainingData
from cacl.runtime.section import Section
from cacl.steps.reuse_model import reuse_model
from cacl.store import ImageMeta, Store, is_safe_name
from cacl.tables import read_csv, read_parquet, write_checked_text
from cacl.tables.schemas import FailureRow
from tests.fixtures.hpa_server import jpeg
from tests.fuzz import http, images, markup, tables, truth
from tests.fuzz.genome import Genome
from tests.fuzz.mutations import edited
from tests.fuzz.products import Files, damaged, files_below

IMAGE_ID = "HPA000001/a"
URL = "http://v18.proteinatlas.org/images/115/2043_A_7_2.jpg"
LIMITS = HttpLimits(
    max_attempts=2,
    connect_timeout_s=2,
    read_timeout_s=2,
    transfer_timeout_s=3,
    file_timeout_s=3,
    initial_backoff_s=0.001,
    max_backoff_s=0.002,
    max_file_bytes=8 * 2**20,
)
MAX_FILE_BYTES = 2**20
TRAINING_DATA = TrainingData(
    train=("A", "B"), validation=(), mpp=None, tissue_fraction=(0.2, 0.9), dab_fraction=(0.0, 0.1)
)


def gene_xml(folder: Path) -> None:
    """Read names and entries; no text of another file is in them."""
    path = folder / "gene.xml"
    (folder / "secret.txt").write_text(markup.SECRET)
    with suppress(StopIteration):
        assert markup.SECRET not in repr(read_name(path))
    for entry in read_entries(path):
        assert markup.SECRET not in repr(entry)


def annotation_table(folder: Path) -> None:
    """Read the rows; each has a gene and a tissue."""
    for row in read_annotation_table(folder / "table.tsv"):
        assert row.ensembl_id, row
        assert row.tissue == row.tissue.lower(), row


def gene_table(folder: Path) -> None:
    """Read the table of gene names and look up a name."""
    index = GeneIndex()
    index.add_gene_table(folder / "table.tsv")
    index.genes("SI")


def manifest(folder: Path) -> None:
    """Read the rows; each has a plausible pixel size and an id of two safe names."""
    rows = read_manifest(folder / "manifest.csv")
    assert rows
    for row in rows:
        assert all(map(is_safe_name, row.image_id.split("/"))), row
        assert row.mpp is None or 0 < row.mpp < 1e9


def gene_list(folder: Path) -> None:
    """Read the names; none is empty or has outer spaces."""
    for name in expand_names((str(folder / "genes.txt"),)):
        assert name, name
        assert name == name.strip(), name


def overrides(folder: Path) -> None:
    """Read the labels."""
    for override in labels.read_overrides(folder / "overrides.csv"):
        assert override.label in ("positive", "negative", ""), override
        assert (override.row is None) == (override.col is None), override


def configuration(folder: Path) -> None:
    """Resolve the configuration, and write it as options."""
    resolved = config.load([folder / "config.yaml"])
    resolved.source.cli_args()
    assert resolved.seed >= 0


@cache
def config_keys() -> tuple[tuple[str, str], ...]:
    """Return section and name of every key."""
    keys = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            keys += [(name, key) for key in section.model_fields]
        keys.append(("", name))
    return tuple(keys)


@cache
def config_seeds() -> tuple[bytes, ...]:
    """Return the examples of the project."""
    folder = Path(__file__).parents[2] / "config"
    return tuple(path.read_bytes() for path in sorted(folder.rglob("*.yaml")))


def configuration_case(genome: Genome) -> Files:
    """Return a configuration."""
    return {"config.yaml": tables.configuration(genome, config_keys(), config_seeds())}


@cache
def store_files() -> Files:
    """Return the files of a store with one image of 2 x 2 tiles."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "atlas.zarr")
        meta = ImageMeta(
            image_id=IMAGE_ID, source_sha256="0" * 64, source_height=64, source_width=64,
            source_px=32, tile_px=16, mpp=None, digest="d",
        )  # fmt: skip
        rgb = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(3, 32, 32)
        store.write_image(meta, rgb, rgb[0] > 99)
        store.write_label(IMAGE_ID, "stain", rgb[1] > 99, "d")
        return files_below(Path(folder))


def store_case(genome: Genome) -> Files:
    """Return a store, damaged unless the genome is empty."""
    return damaged(genome, store_files()) if genome.below(256) else store_files()


def store(folder: Path) -> None:
    """Read metadata, pixels, a tile and masks of an image."""
    opened = Store(folder / "atlas.zarr")
    opened.has_image(IMAGE_ID, "d")
    meta = opened.meta(IMAGE_ID)
    assert meta.grid.height > 0
    image = opened.image(IMAGE_ID)
    assert np.asarray(image).dtype == np.uint8
    opened.tile(IMAGE_ID, 0, 1)
    opened.label_digest(IMAGE_ID, "stain")
    for name in ("cell", "stain"):
        assert np.asarray(opened.label(IMAGE_ID, name)).dtype == np.uint8


@cache
def small_preset() -> Preset:
    """Return a preset whose network has a few thousand weights."""
    network = NetworkConfig(
        input="rgb", width=8, residual_channels=4, blocks=1, embedding_channels=8, shared_codes=4
    )
    return replace(ROBUST, network=network, n_ensemble=1)


@cache
def model_files(preset: Preset | None = None) -> Files:
    """Return the files of a model, by default of `small_preset`."""
    preset = preset or small_preset()
    thresholds = Thresholds(low=-1.0, high=1.5, edge_high=1.5, min_area_fraction=0.0)
    with TemporaryDirectory() as folder:
        save_model(
            Path(folder) / "model",
            [AutoEncoder(preset.network)],
            preset,
            classes=(SINGLE_CLASS,),
            thresholds=(thresholds,),
            attributes={ENTRY: TRAINING_DATA.model_dump(mode="json")},
        )
        write_checked_text(Path(folder) / "model" / CURVES, "step,total\n10,0.5\n")
        return files_below(Path(folder))


def checkpoint_case(genome: Genome) -> Files:
    """Return a model, damaged unless the genome is empty."""
    return damaged(genome, model_files()) if genome.below(256) else model_files()


def checkpoint(folder: Path) -> None:
    """Load the model; its thresholds and weights are finite."""
    model = load_model(folder / "model", small_preset())
    assert all(map(np.isfinite, (model.thresholds[0].low, model.thresholds[0].high)))
    assert all(bool(torch.isfinite(weight).all()) for weight in model.networks[0].parameters())


def reused_model_case(genome: Genome) -> Files:
    """Return a model of a preset that this version knows, damaged unless the genome is empty."""
    files = model_files(TEACHER)
    return damaged(genome, files) if genome.below(256) else files


def reused_model(folder: Path) -> None:
    """Check the model and copy it; the copy is as good."""
    reuse_model(folder / "model", folder / "copy")
    assert load_model(folder / "copy").digest == load_model(folder / "model").digest


@cache
def _tiles() -> TileDataset:
    return TileDataset(
        pixels=torch.zeros(2, 5, 16, 16, dtype=torch.uint8),
        positive=torch.tensor([[True], [False]]),
        negative=torch.tensor([[False], [True]]),
        selected=torch.tensor([True, True]),
        image_index=torch.tensor([0, 1]),
        manual=torch.zeros(2, 1, dtype=torch.bool),
        classes=(SINGLE_CLASS,),
    )


@cache
def _fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@cache
def _training_run() -> TrainingRun:
    return TrainingRun.create(small_preset(), _tiles(), _fabric(), seed=0)


@cache
def _label_types() -> dict[str, tuple[torch.dtype, torch.Size]]:
    """Return type and shape of each tensor of a new training's labels."""
    new = TrainingRun.create(small_preset(), _tiles(), _fabric(), seed=0)
    return {name: (value.dtype, value.shape) for name, value in vars(new.labels).items()}


@cache
def training_files() -> Files:
    """Return the state of a training after no step."""
    with TemporaryDirectory() as folder:
        _training_run().save(Path(folder) / "state.safetensors", "f")
        return files_below(Path(folder))


def training_case(genome: Genome) -> Files:
    """Return a state, damaged unless the genome is empty."""
    return damaged(genome, training_files()) if genome.below(256) else training_files()


def training_state(folder: Path) -> None:
    """Resume a training; its state is usable."""
    run = _training_run()
    run.resume(folder / "state.safetensors", "f")
    assert run.step >= 0
    assert run.bad_checks >= 0
    for name, expected in _label_types().items():
        found = getattr(run.labels, name)
        assert (found.dtype, found.shape) == expected, name
    for row in (*run.history, *run.recent):
        assert all(isinstance(value, float) for value in row.values()), row


def parquet(folder: Path) -> None:
    """Read the records; their values are texts."""
    for row in read_parquet(folder / "table.parquet", FailureRow):
        assert isinstance(row.reason, str), row


def csv(folder: Path) -> None:
    """Read the table as text."""
    frame = read_csv(folder / "table.csv", FailureRow)
    assert len(frame.columns) == 5


def provenance(folder: Path) -> None:
    """Read the record of a file; its fields have their types."""
    record = provenance_module.read_provenance(folder / "a.jpg")
    if record is not None:
        assert isinstance(record.sha256, str), record
        assert isinstance(record.size_bytes, int), record
        assert isinstance(record.etag, str), record
        assert isinstance(record.url, str), record


def responses(genome: Genome) -> Files:
    """Return what a host sends to the first requests; a valid JPEG for an empty genome."""
    return {f"response-{number}": http.response(genome) for number in range(http.RESPONSES)}


def _client(folder: Path) -> Client:
    server = http.server()
    server.responses = [path.read_bytes() for path in sorted(folder.glob("response-*"))]
    source = SourceConfig(
        kind="hpa", hpa_version="18", genes=("SI",), requests_per_second=200.0,
        host=f"http://{server.netloc}",
    )  # fmt: skip
    return Client(source, LIMITS)


def http_image(folder: Path) -> None:
    """Fetch an image, and ask whether it has changed; what is returned is a JPEG."""
    with _client(folder) as client:
        response = client.fetch(URL, provenance_module.check_jpeg)
        assert response.data.startswith(b"\xff\xd8\xff")
        assert len(response.data) <= LIMITS.max_file_bytes
        client.fetch_if_changed(URL, provenance_module.check_jpeg, etag=response.etag)


def http_file(folder: Path) -> None:
    """Download a file of which a part exists; it is complete or not there, and never too large."""
    target = folder / "file.tsv"
    (folder / ".file.tsv.part").write_bytes(jpeg(size=24)[:4])
    with _client(folder) as client:
        try:
            download_file(
                client, URL, target, max_bytes=MAX_FILE_BYTES, write_record=lambda *_: None
            )
        except ImageError:
            assert not target.exists()
            raise
    assert target.stat().st_size <= MAX_FILE_BYTES


def image(folder: Path) -> None:
    """Open an image and read all its tiles; a small one of them is white outside."""
    path = next(iter(folder.iterdir()))
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, 32, 16)
        check_size(source, grid)
        rows, cols = range(min(3, grid.rows)), range(min(3, grid.cols))
        pixels = source.read(grid, rows, cols)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (3, 16 * len(rows), 16 * len(cols))
        assert source.mpp is None or 0.05 <= source.mpp <= 5


def truth_geojson(folder: Path) -> None:
    """Read the masks of polygons; both have the size of the stored image."""
    grid = TileGrid(truth.SIDE, truth.SIDE, 16, 6)
    names = {"stained": ("", "positive", "stained"), "clean": ("negative",)}
    drawing = read_drawing(folder / "drawn.geojson", grid, names)
    for mask in drawing.masks.values():
        assert mask.dtype == bool
        assert mask.shape == (18, 18)
    assert all(count > 0 for count in drawing.ignored.values())


def array_grid(folder: Path) -> None:
    """Read a grid; its regions lie inside the slide."""
    grid = read_grid(folder / "grid.geojson", 48, 48)
    assert grid.cores
    for region in grid.regions().values():
        assert 0 <= region.x < region.x + region.width <= 49, region
        assert 0 <= region.y < region.y + region.height <= 49, region


def array_map(folder: Path) -> None:
    """Read a map; its places are of an array."""
    for _, row, col in read_array_map(folder / "array.csv").lines:
        assert 0 <= row < 702, row
        assert 0 <= col < 999, col


def truth_png(folder: Path) -> None:
    """Read a mask; it has the size of the image."""
    found = read_mask(folder / "mask.png", images.SIDE + 4, images.SIDE)
    assert found.mask.dtype == bool
    assert found.mask.shape == (images.SIDE + 4, images.SIDE)
    assert found.second is None or found.second.shape == found.mask.shape


def packed(name: str, header: tuple[str, ...], seed: bytes) -> Callable[[Genome], Files]:
    """Return a maker of annotation tables, plain or compressed."""

    def make(genome: Genome) -> Files:
        data = tables.table(genome, header, (seed,), ("\t", ",", ";"))
        kind = genome.below(6)
        if kind == 4:
            data = gzip.compress(data, compresslevel=1, mtime=0)
        if kind == 5:
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                inner = genome.choice(("a.tsv", "../a.tsv", "a.txt", "b", "", "a\0.tsv"))
                archive.writestr(zipfile.ZipInfo(inner), data)
            data = stream.getvalue()
        if kind > 3 and genome.chance(2):
            data = edited(genome, (data,))
        return {name: data}

    return make
