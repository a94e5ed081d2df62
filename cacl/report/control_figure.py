"""The figure of the spike-in controls: recall by dose."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from cacl.image import palette
from cacl.report.figures import Figure, blank, finished
from cacl.tables.control_schemas import MODEL, ControlRow

MODEL_COLOUR = palette.hex_code(palette.BLUE)
BASELINE_COLOUR = palette.hex_code(palette.ORANGE)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def recall_by_dose(rows: Sequence[ControlRow]) -> Figure | None:
    """Return recall against dose, one line per method and width; None without rows.

    Parameters
    ----------
    rows
        By method and width, then by dose.
    """
    if not rows:
        return None
    figure = blank()
    widths = sorted({row.width_um for row in rows})
    for (method, width_um), group in groupby(rows, lambda row: (row.method, row.width_um)):
        line = list(group)
        colour = MODEL_COLOUR if method == MODEL else BASELINE_COLOUR
        figure.add_scatter(
            x=[row.dose_od for row in line],
            y=[row.recall for row in line],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_above(row.recall_high, row.recall) for row in line],
                "arrayminus": [_above(row.recall, row.recall_low) for row in line],
                "thickness": 1.5,
                "width": 3,
            },
            mode="lines+markers",
            cliponaxis=False,
            name=method if len(widths) == 1 else f"{method}, {width_um:g} um",
            line={"color": colour, "width": 2, "dash": DASHES[widths.index(width_um)]},
            marker={"size": 8, "symbol": "circle" if method == MODEL else "diamond"},
            hovertemplate="%{x:.2g} OD<br>%{y:.0%} found<extra></extra>",
        )
    figure.add_hline(y=0.5, line={"color": "#333", "width": 1, "dash": "dash"})
    figure.update_xaxes(title="added optical density of DAB", rangemode="tozero")
    figure.update_yaxes(title="painted area that is found", tickformat=".0%", range=[-0.03, 1.03])
    figure.update_layout(height=380)
    return finished(
        figure,
        "controls",
        "Painted area that is found",
        "DAB bands of known density, painted on the apical border of negative cores. Bars show the "
        "95 % interval over antibodies. The detection limit is where a line crosses half. The DAB "
        "threshold is the best one for these very cores; its precision is in the table.",
        "half",
    )


def _above(value: float | None, base: float | None) -> float:
    return 0.0 if value is None or base is None else max(value - base, 0.0)
