from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.stain_vectors import estimate, residual
from cacl.image import stain

HEMATOXYLIN, DAB = (0.65, 0.655, 0.385), (0.372, 0.562, 0.738)


def test_vectors_of_known_mixtures_are_estimated_and_leave_no_residual() -> None:
    """A fifth of the pixels is haematoxylin alone, a fifth DAB alone, the rest mixtures."""
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.2, 0.8, (2, 5000))
    amounts[1, :1000] = amounts[0, 1000:2000] = 0.0
    true = np.array([np.array(vector) / np.linalg.norm(vector) for vector in (HEMATOXYLIN, DAB)])
    density = true.T @ amounts
    estimated = estimate(density)
    assert estimated == pytest.approx(true, abs=0.01)
    assert residual(density, estimated) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_residual_of_a_known_colour() -> None:
    """One pixel of 0.3 OD of haematoxylin and 0.1 OD at right angles to both stains."""
    fixed = np.array([stain.HEMATOXYLIN_OD, stain.DAB_OD])
    hematoxylin, normal = (
        vector / np.linalg.norm(vector) for vector in (fixed[0], np.cross(*fixed))
    )
    density = (0.3 * hematoxylin + 0.1 * normal)[:, None]
    rms, fraction = residual(density, fixed)
    assert rms == pytest.approx(0.1)
    assert fraction == pytest.approx(0.1 / np.hypot(0.3, 0.1))
