"""Write synthetic images with ground truth, laid out as the Human Protein Atlas's host."""

from __future__ import annotations

from pathlib import Path

from cacl.config import PhantomConfig
from cacl.phantom import write_phantom


def phantom(
    host: Path, truth: Path, config: PhantomConfig, *, seed: int = 0, jobs: int = 1
) -> None:
    """Write the images of a synthetic atlas; files that still match are left as they are.

    Parameters
    ----------
    host
        Folder of gene XML, the bulk table and JPEG cores, usable as a mirror.
    truth
        Folder of masks `<antibody_id>/<stem>.png`; see `cacl.phantom.write_phantom`.
    config
        Number of antibodies and patients, and the setting.
    seed
        With the setting, decides every byte.
    jobs
        Cores drawn at the same time; does not change the result.

    Raises
    ------
    OSError
        Disk full or no permission.
    """
    write_phantom(
        host,
        truth,
        antibodies=config.antibodies,
        patients=config.patients,
        seed=seed,
        jobs=jobs,
        setting=config.setting,
    )
