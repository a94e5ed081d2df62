"""The report's figures, as Plotly's JSON."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from cacl.report.text import SIGNIFICANT_Q, negatives_are
from cacl.tables.schemas import AntibodyRow

# Okabe & Ito's colours, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7A7A7A"
LABEL_COLOURS = {"positive": ORANGE, "negative": BLUE, "": GREY}
LABEL_SYMBOLS = {"positive": "circle", "negative": "diamond", "": "circle-open"}
ANNOTATED = {"positive": "annotated as stained", "negative": "not detected", "": "no label"}
LABELLED = {"positive": "labelled positive", "negative": "labelled negative", "": "no label"}
STAINING_ORDER = ("not detected", "low", "medium", "high")
NOT_ANNOTATED = "not annotated"
MAX_POINTS = 2000
MAX_WHISKERS = 20
SMALLEST_Q = 1e-12
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Parameters
    ----------
    key
        Its id on the page.
    title, caption
        What it shows, and how to read it.
    spec
        Plotly's `data` and `layout`.
    size
        Its place: `wide`, `half` of the page, or `small`.
    """

    key: str
    title: str
    caption: str
    spec: dict[str, Any]
    size: str


def ranking(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return the highest ratios with their intervals; None where no antibody has a ratio."""
    rows = [row for row in antibodies if row.stained_to_cell_ratio is not None][:MAX_WHISKERS]
    if not rows:
        return None
    figure = _blank()
    for label, name in label_names(rows).items():
        group = [row for row in rows if row.label == label]
        if group:
            figure.add_scatter(
                x=[row.stained_to_cell_ratio for row in group],
                y=[_name(row) for row in group],
                error_x=_whiskers(group),
                mode="markers",
                cliponaxis=False,
                name=name,
                marker={"color": LABEL_COLOURS[label], "symbol": LABEL_SYMBOLS[label], "size": 9},
                customdata=[row.antibody_id for row in group],
                hovertemplate="%{y}<br>ratio %{x:.2%}<extra></extra>",
            )
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[_name(row) for row in reversed(rows)],
        range=[-0.7, len(rows) - 0.3],
        automargin=True,
    )
    figure.update_xaxes(title="stained area / cell area", tickformat=".1~%", rangemode="tozero")
    figure.update_layout(height=130 + 22 * len(rows))
    return _figure(
        figure,
        "ranking",
        "Highest ratios",
        f"{_counted(len(rows))} with the highest stained-to-cell ratio. Lines: 95 % interval over "
        "patients (images, where patients are unknown); none where an antibody has a single one, "
        "or no stain at all.",
        "half",
    )


def _counted(antibodies: int) -> str:
    return "The antibody" if antibodies == 1 else f"The {antibodies} antibodies"


def label_names(rows: Sequence[AntibodyRow]) -> dict[str, str]:
    """Return what the marks' labels are called: the atlas's annotation, or the user's labels."""
    return ANNOTATED if all(row.hpa_staining for row in rows if row.label) else LABELLED


def _whiskers(rows: Sequence[AntibodyRow]) -> dict[str, Any]:
    up, down = [], []
    for row in rows:
        ratio = row.stained_to_cell_ratio or 0.0
        up.append((ratio if row.ratio_high is None else row.ratio_high) - ratio)
        down.append(ratio - (ratio if row.ratio_low is None else row.ratio_low))
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(value, 0.0) for value in up],
        "arrayminus": [max(value, 0.0) for value in down],
        "thickness": 1.5,
        "width": 3,
    }


def against_annotation(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return ratios by the atlas's staining; None where nothing is annotated."""
    rows = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    found = {row.hpa_staining for row in rows}
    if not found - {""}:
        return None
    others = sorted(found - set(STAINING_ORDER) - {""})
    order = [word for word in (*STAINING_ORDER, *others) if word in found]
    order += [""] if "" in found else []
    points, drawn = "outliers", "Points are antibodies beyond the whiskers"
    if len(rows) <= MAX_POINTS:
        points, drawn = "all", "Each point is an antibody"
    figure = _blank()
    for word in order:
        group = [row for row in rows if row.hpa_staining == word]
        colour = BLUE if word == "not detected" else GREY if word in ("", *others) else ORANGE
        figure.add_box(
            y=[row.stained_to_cell_ratio for row in group],
            name=f"{_text(word or NOT_ANNOTATED).replace(' ', '<br>')}<br>n = {len(group)}",
            boxpoints=points,
            jitter=0.5,
            pointpos=0,
            marker={"color": colour, "size": 6, "opacity": 0.75},
            line={"color": "#333", "width": 1.2},
            fillcolor="rgba(0,0,0,0.05)",
            text=[_name(row) for row in group],
            customdata=[row.antibody_id for row in group],
            hovertemplate="%{text}<br>ratio %{y:.2%}<extra></extra>",
        )
    figure.update_yaxes(title="stained area / cell area", tickformat=".1~%", rangemode="tozero")
    figure.update_xaxes(tickangle=0)
    figure.update_layout(showlegend=False, height=420, margin={"b": 75})
    return _figure(
        figure,
        "annotation",
        "Ratio against the atlas's annotation",
        f"{drawn}; boxes show quartiles. The annotation was made by eye and took no part in "
        "measuring, but it labelled the images that trained the model.",
        "half",
    )


def volcano(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return ratio against q, q on a falling logarithmic axis; None where no antibody has both."""
    rows = [
        row
        for row in antibodies
        if row.stained_to_cell_ratio is not None and row.q_value is not None
    ]
    if not rows:
        return None
    shown = thinned(rows, MAX_POINTS)
    figure = _points(
        shown, lambda row: max(row.q_value or 0.0, SMALLEST_Q), "ratio %{x:.2%}, q %{y:.2g}"
    )
    least = min(min(row.q_value or 1.0 for row in rows), SIGNIFICANT_Q)
    figure.add_hline(
        y=SIGNIFICANT_Q,
        line={"color": "#333", "width": 1, "dash": "dash"},
    )
    figure.add_annotation(
        text=f"q = {SIGNIFICANT_Q}",
        font={"size": 12},
        x=1,
        xref="paper",
        xanchor="right",
        y=math.log10(SIGNIFICANT_Q),
        yanchor="bottom",
        showarrow=False,
    )
    figure.update_yaxes(
        title="q (smaller is surer)",
        type="log",
        range=[0.04, math.log10(max(least, SMALLEST_Q)) - 0.2],
        tickformat=".2~g",
        dtick="D2",
        minor={"showgrid": False},
    )
    figure.update_layout(height=420)
    return _figure(
        figure,
        "volcano",
        "How much, and how surely",
        "To the right: more of the cell area is stained. Upwards: rarer among the antibodies "
        f"{negatives_are(antibodies)}. Above the dashed line q is below {SIGNIFICANT_Q}."
        + _thinned_note(shown, rows),
        "half",
    )


def _thinned_note(shown: Sequence[AntibodyRow], rows: Sequence[AntibodyRow]) -> str:
    if len(shown) == len(rows):
        return ""
    return f" {len(shown):,} of {len(rows):,} antibodies are drawn, all of the highest ratios."


def specificity(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return ratio against border share; None where no antibody has both."""
    rows = [
        row
        for row in antibodies
        if row.stained_to_cell_ratio is not None and row.border_share is not None
    ]
    if not rows:
        return None
    shown = thinned(rows, MAX_POINTS)
    figure = _points(shown, lambda row: row.border_share, "ratio %{x:.2%}, border share %{y:.0%}")
    figure.update_yaxes(title="border share of all DAB", tickformat=".0%", range=[-0.03, 1.03])
    figure.update_layout(height=420)
    return _figure(
        figure,
        "specificity",
        "How much, and how exclusively",
        "To the right: more of the cell area is stained brush border. Upwards: more of all DAB "
        "lies there. Upper right: strong and specific." + _thinned_note(shown, rows),
        "half",
    )


def _points(
    rows: Sequence[AntibodyRow], height: Callable[[AntibodyRow], float | None], said: str
) -> go.Figure:
    """Return a figure with a point an antibody: its ratio to the right, marked by its label."""
    figure = _blank()
    for label, name in label_names(rows).items():
        group = [row for row in rows if row.label == label]
        if group:
            figure.add_scatter(
                x=[row.stained_to_cell_ratio for row in group],
                y=[height(row) for row in group],
                mode="markers",
                cliponaxis=False,
                name=name,
                marker={"color": LABEL_COLOURS[label], "symbol": LABEL_SYMBOLS[label], "size": 8},
                text=[_name(row) for row in group],
                customdata=[row.antibody_id for row in group],
                hovertemplate=f"%{{text}}<br>{said}<extra></extra>",
            )
    figure.update_xaxes(title="stained area / cell area", tickformat=".1~%", rangemode="tozero")
    return figure


def thinned(rows: Sequence[AntibodyRow], most: int) -> list[AntibodyRow]:
    """Return at most `most` rows: the first half of them as they are, of the rest every n-th."""
    if len(rows) <= most:
        return list(rows)
    kept = most // 2
    every = -(-(len(rows) - kept) // (most - kept))
    return [*rows[:kept], *rows[kept::every]]


def training(curves: pd.DataFrame) -> list[Figure]:
    """Return a small figure for every numeric column of `training.csv`, against its steps.

    Columns that are 0 throughout, such as losses that the preset does not use, are left out. Where
    networks were trained one after the other, each has a line; that of the last is blue.
    """
    numbers = curves.apply(pd.to_numeric, errors="coerce").dropna(axis="columns", how="all")
    numbers = numbers.loc[:, numbers.fillna(0).ne(0).any()]
    has_steps = "step" in numbers
    numbers = numbers.assign(step=numbers["step"] if has_steps else range(len(numbers)))
    network = numbers["network"] if "network" in numbers else pd.Series(1, index=numbers.index)
    parts = [part for _, part in numbers.groupby(network)]
    plots: list[Figure] = []
    for name in numbers.columns.drop(["step", "network"], errors="ignore"):
        figure = _blank()
        for part in parts:
            figure.add_scatter(
                x=part["step"].tolist(),
                y=part[name].tolist(),
                mode="lines",
                line={"color": BLUE if part is parts[-1] else GREY, "width": 1.75},
                hovertemplate="step %{x}<br>%{y:.4g}<extra></extra>",
            )
        figure.update_layout(height=170, showlegend=False, margin={"t": 8, "b": 30, "l": 60})
        figure.update_xaxes(tickangle=0, nticks=4)
        title = str(name).replace("_", " ")
        plots.append(_figure(figure, f"training-{len(plots)}", title, "", "small"))
    return plots


def _blank() -> go.Figure:
    """Return a figure without a template, which would be copied with every change to it.

    The page sets its own.
    """
    return go.Figure(layout={"template": {}})


def _figure(figure: go.Figure, key: str, title: str, caption: str, size: str) -> Figure:
    figure.update_layout(
        font={"family": FONT, "size": 14, "color": "#222"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"font": {"family": FONT}},
    )
    figure.update_xaxes(ticklabelstandoff=4)
    figure.update_yaxes(ticklabelstandoff=8)
    spec: dict[str, Any] = json.loads(figure.to_json())
    spec["layout"].pop("template", None)
    return Figure(key=key, title=title, caption=caption, spec=spec, size=size)


def _name(row: AntibodyRow) -> str:
    return _text(f"{row.gene} {row.antibody_id}".strip())


def _text(text: str) -> str:
    """Return text that Plotly shows as it is: it reads some HTML."""
    return html.escape(text, quote=False)
