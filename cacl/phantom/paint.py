"""Paint haematoxylin and DAB onto an anatomy, and the truth with them."""

from __future__ import annotations

import numpy as np

from cacl.phantom.anatomy import Anatomy
from cacl.phantom.canvas import Canvas, blank
from cacl.phantom.debris import paint_debris
from cacl.phantom.epithelium import paint_epithelium
from cacl.phantom.fields import ramp, within
from cacl.phantom.settings import Setting
from cacl.phantom.staining import Staining
from cacl.phantom.stroma import paint_stroma

RIM_UM = (6.0, 15.0)


def paint(
    rng: np.random.Generator,
    anatomy: Anatomy,
    setting: Setting,
    staining: Staining,
    cover: float,
) -> Canvas:
    """Paint one core.

    Parameters
    ----------
    rng
        The core's own.
    anatomy
        Its tissue.
    setting, staining
        How and what to stain.
    cover
        Share of the villi's surface on which a stained border is not interrupted, 0 to 1.

    Returns
    -------
    The densities, and the truth: where there are cells, a stained border, stained cytoplasm of the
    epithelium, and stained nuclei of any cell.
    """
    canvas = blank(rng, setting, staining, anatomy.solid.shape[0])
    epithelium = paint_epithelium(rng, canvas, anatomy, cover)
    paint_stroma(rng, canvas, anatomy, anatomy.solid & ~epithelium)
    uneven = 1.0 + np.float32(0.08) * canvas.broad
    reach = within(rng, RIM_UM) * canvas.px
    rim = (1.0 - ramp(anatomy.edge, 0.0, reach)) * ramp(canvas.broad + canvas.middle, -0.8, 0.8)
    rim *= anatomy.solid & canvas.cell
    canvas.dab[...] = canvas.dab * uneven + np.float32(staining.rim_od) * rim
    canvas.dab[...] *= anatomy.tissue
    canvas.hematoxylin[...] *= uneven * anatomy.tissue
    canvas.cell[...] &= anatomy.tissue
    paint_debris(rng, canvas, anatomy)
    canvas.border[...] &= canvas.cell
    canvas.cytoplasm[...] &= canvas.cell & ~canvas.border
    canvas.nuclei[...] &= canvas.cell & ~canvas.border
    for density in (canvas.hematoxylin, canvas.dab):
        np.maximum(density, 0.0, out=density)
    return canvas
