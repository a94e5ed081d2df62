"""The first files of a run: a commented configuration and an example table or profile."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Literal

import yaml

from cacl.config import Config
from cacl.errors import ConfigError
from cacl.launch.preflight import CONFIG
from cacl.runtime.validation import json_schema
from cacl.runtime.workflow_files import bundled_profiles

Kind = Literal["manifest", "hpa", "demo", "slurm"]
PROFILE = Path("profiles/slurm-gpu/config.yaml")
WIDTH = 96
MANIFEST = """\
image_path,antibody_id,patient_id,label,gene,tissue,mpp
images/core-1.jpg,AB0001,patient-1,positive,SI,duodenum,
images/core-2.jpg,AB0002,patient-1,negative,INS,duodenum,
images/core-3.jpg,AB0003,patient-2,,ANPEP,duodenum,
"""
GENES = """\
gene
SI
ANPEP
ALPI
DPP4
MME
VIL1
CDH17
GAPDH
INS
CD3E
"""
HEADS = {
    "manifest": "Your own images: list them in manifest.csv, one row per image; a label (positive "
    "or negative) on some images of each kind is what the model learns from. Then: cacl run",
    "hpa": "Genes of the Human Protein Atlas, from its own host: list them in genes.csv, a few "
    "that stain the cell type and a few that do not. Then: cacl run",
    "demo": "A synthetic atlas with known masks. Run it with: cacl run",
}
VALUES: dict[str, dict[str, dict[str, Any]]] = {
    "manifest": {
        "source": {"kind": "manifest", "manifest": "manifest.csv"},
        "census": {"shards": 1},
    },
    "hpa": {
        "source": {"kind": "hpa", "hpa_version": "23", "genes": "genes.csv"},
        "census": {"shards": 2},
    },
    "demo": {
        "source": {"kind": "phantom"},
        "census": {"shards": 4},
        "train": {"preset": "quick"},
    },
}
TABLES = {"manifest": {"manifest.csv": MANIFEST}, "hpa": {"genes.csv": GENES}, "demo": {}}
CLIENT = ("hpa_version", "tissues", "requests_per_second", "allowed_hosts", "host", "max_minutes")
FOR_CLIENT = {f"source.{key}" for key in CLIENT}
UNUSED = {
    "manifest": {"phantom", "source.mirror"} | FOR_CLIENT,
    "hpa": {"phantom", "source.mirror", "source.manifest"},
    "demo": {f"source.{key}" for key in ("genes", "antibodies", "mirror", "manifest")} | FOR_CLIENT,
}
"""Sections and keys that another source uses."""

OTHER_KEYS = (
    "A line such as #seed: 0 has a default; remove its # (and that of its section) to change it."
)


def write_first_files(kind: Kind, folder: Path) -> list[Path]:
    """Write the files that a run starts from; none that exists is overwritten.

    Parameters
    ----------
    kind
        Source of the images; or `slurm` for the profile of a cluster.
    folder
        Where they go.

    Returns
    -------
    The files that were written.

    Raises
    ------
    ConfigError
        One of them exists; nothing is written then.
    """
    if kind == "slurm":
        source = bundled_profiles()[PROFILE.parent.name] / PROFILE.name
        texts = {str(PROFILE): source.read_text(encoding="utf-8")}
    else:
        texts = {str(CONFIG): commented_config(kind)} | TABLES[kind]
    paths = {folder / name: text for name, text in texts.items()}
    existing = [str(path) for path in paths if path.exists()]
    if existing:
        raise ConfigError(
            f"{' and '.join(existing)}: already there and not overwritten; edit or rename what is "
            "there, or name another folder with --directory"
        )
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return list(paths)


def commented_config(kind: str) -> str:
    """Return a configuration with its values, and every other key with its default as a comment."""
    values, nodes = VALUES[kind], json_schema(Config)["properties"]
    names = [*values, *(name for name in nodes if name not in {*values, *UNUSED[kind]})]
    lines = _comment(HEADS[kind]) + _comment(OTHER_KEYS)
    for name in names:
        lines += ["", *_section(name, nodes[name], values.get(name), UNUSED[kind])]
    return "\n".join(lines) + "\n"


def _section(
    name: str, node: Mapping[str, Any], values: Mapping[str, Any] | None, unused: Set[str]
) -> Iterator[str]:
    """Yield the lines of a section; it is a comment if it has no values."""
    yield from _comment(node["description"])
    if "properties" not in node:
        yield f"#{name}: {_yaml(node['default'])}"
        return
    yield f"{'#' if values is None else ''}{name}:"
    for key, child in node["properties"].items():
        is_set = values is not None and key in values
        if is_set or f"{name}.{key}" not in unused:
            yield from _comment(child["description"], "  ")
            value = values[key] if values is not None and is_set else child["default"]
            yield f"  {'' if is_set else '#'}{key}: {_yaml(value)}"


def _comment(text: str, indent: str = "") -> list[str]:
    """Return a text as lines of a comment."""
    start = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=start)


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").strip()
