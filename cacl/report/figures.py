"""Figures of the report, as Plotly's JSON."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from cacl.image import palette
from cacl.report.aggregate import NEGATIVE
from cacl.report.text import SIGNIFICANT_Q, describe_negatives
from cacl.runtime.json_text import parse_json
from cacl.tables.schemas import AntibodyRow

POSITIVE_COLOUR = palette.hex_code(palette.VERMILLION)
NEGATIVE_COLOUR = palette.hex_code(palette.BLUE)
NEUTRAL_COLOUR = palette.hex_code(palette.GREY)
CURVE_COLOUR = palette.hex_code(palette.BLUE)
LABEL_COLOURS = {"positive": POSITIVE_COLOUR, "negative": NEGATIVE_COLOUR, "": NEUTRAL_COLOUR}
LABEL_SYMBOLS = {"positive": "circle", "negative": "diamond", "": "circle-open"}
ANNOTATION_NAMES = {"positive": "annotated as stained", "negative": "not detected", "": "no label"}
LABEL_NAMES = {"positive": "labelled positive", "negative": "labelled negative", "": "no label"}
STAINING_ORDER = ("not detected", "low", "medium", "high")
NOT_ANNOTATED = "not annotated"
MAX_POINTS = 2000
MAX_RANKED = 20
MIN_P_OF_DENSE_TICKS = 1e-4
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Parameters
    ----------
    key
        Id on the page.
    title, caption
        What the figure shows, and how to read it.
    spec
        Plotly's `data` and `layout`.
    size
        Width on the page: `wide`, `half`, or `small`.
    """

    key: str
    title: str
    caption: str
    spec: dict[str, Any]
    size: str


def report_figures(antibodies: Sequence[AntibodyRow], curves: pd.DataFrame) -> list[Figure]:
    """Return the figures of the page, in its order, without those that have no data.

    Parameters
    ----------
    antibodies
        By rank.
    curves
        `training.csv`; may be empty.
    """
    plots = (
        volcano(antibodies),
        against_annotation(antibodies),
        specificity(antibodies),
        ranking(antibodies),
        *training(curves),
    )
    return [plot for plot in plots if plot]


def ranking(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return the highest ratios with their intervals; None if no antibody has a ratio."""
    rows = [row for row in antibodies if row.stained_to_cell_ratio is not None][:MAX_RANKED]
    if not rows:
        return None
    figure = blank()
    # Heights are numbers: as a category, Plotly looks a name up in an object of JavaScript, where
    # names such as `constructor` are taken.
    heights = {row.antibody_id: len(rows) - 1 - index for index, row in enumerate(rows)}
    for label, name in label_names(rows).items():
        group = [row for row in rows if row.label == label]
        if group:
            figure.add_scatter(
                x=[row.stained_to_cell_ratio for row in group],
                y=[heights[row.antibody_id] for row in group],
                error_x=_whiskers(group),
                mode="markers",
                cliponaxis=False,
                name=name,
                marker={"color": LABEL_COLOURS[label], "symbol": LABEL_SYMBOLS[label], "size": 9},
                text=[_name(row) for row in group],
                customdata=[row.antibody_id for row in group],
                hovertemplate="%{text}<br>ratio %{x:.2%}<extra></extra>",
            )
    figure.update_yaxes(
        tickvals=[heights[row.antibody_id] for row in rows],
        ticktext=[_name(row) for row in rows],
        range=[-0.7, len(rows) - 0.3],
        automargin=True,
    )
    figure.update_xaxes(title="stained area / cell area", tickformat=".1~%", rangemode="tozero")
    figure.update_layout(height=130 + 22 * len(rows))
    return finished(
        figure,
        "ranking",
        "Highest ratios",
        f"{_count_antibodies(len(rows))} with the highest stained-to-cell ratio. Lines show the "
        "95 % interval over patients (over images if patients are unknown). An antibody with a "
        "single patient or without stain has no interval.",
        "half",
    )


def _count_antibodies(count: int) -> str:
    return "The antibody" if count == 1 else f"The {count} antibodies"


def label_names(rows: Sequence[AntibodyRow]) -> dict[str, str]:
    """Return the legend of the labels: the annotation of the HPA, or the user's labels."""
    is_annotated = all(row.hpa_staining for row in rows if row.label)
    return ANNOTATION_NAMES if is_annotated else LABEL_NAMES


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
    """Return ratios by the HPA's staining; None if no antibody is annotated."""
    rows = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    annotations = {row.hpa_staining for row in rows}
    if not annotations - {""}:
        return None
    others = sorted(annotations - set(STAINING_ORDER) - {""})
    order = [staining for staining in (*STAINING_ORDER, *others) if staining in annotations]
    order += [""] if "" in annotations else []
    points, points_caption = "outliers", "Points are antibodies beyond the whiskers"
    if len(rows) <= MAX_POINTS:
        points, points_caption = "all", "Each point is an antibody"
    figure = blank()
    for staining in order:
        group = [row for row in rows if row.hpa_staining == staining]
        colour = POSITIVE_COLOUR
        if staining == "not detected":
            colour = NEGATIVE_COLOUR
        elif staining in ("", *others):
            colour = NEUTRAL_COLOUR
        figure.add_box(
            y=[row.stained_to_cell_ratio for row in group],
            name=f"{_escape(staining or NOT_ANNOTATED).replace(' ', '<br>')}<br>n = {len(group)}",
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
    return finished(
        figure,
        "annotation",
        "Ratio against the HPA annotation",
        f"{points_caption}; boxes show quartiles. The Human Protein Atlas (HPA) annotates images "
        "by eye. The measurement does not use the annotation, but the model was trained with "
        "labels from it.",
        "half",
    )


def volcano(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return ratio against p on a falling logarithmic axis; None if no antibody has both.

    The axis shows p and not q, because antibodies with different p often have equal q.
    """
    rows = [
        row
        for row in antibodies
        if row.stained_to_cell_ratio is not None and row.p_value is not None
    ]
    if not rows:
        return None
    shown = thin(rows, MAX_POINTS)
    figure = _points(shown, lambda row: row.p_value, "ratio %{x:.2%}, p %{y:.2g}")
    levels = {significant_p(rows): (f"q = {SIGNIFICANT_Q}", "dash")}
    extrapolated = ""
    if any(row.p_extrapolated for row in rows):
        smallest = 1 / (1 + sum(row.label == NEGATIVE for row in rows))
        levels |= {smallest: ("smallest empirical p", "dot")}
        extrapolated = " Above the dotted line, p is extrapolated."
    for level, (name, dash) in levels.items():
        figure.add_hline(y=level, line={"color": "#333", "width": 1, "dash": dash})
        figure.add_annotation(
            text=name,
            font={"size": 12},
            x=1,
            xref="paper",
            xanchor="right",
            y=math.log10(level),
            yanchor="bottom" if level == min(levels) else "top",
            showarrow=False,
        )
    lowest = min(*levels, *(row.p_value or 1.0 for row in rows))
    figure.update_yaxes(
        title="p (smaller = more significant)",
        type="log",
        range=[0.04, math.log10(lowest) - 0.2],
        tickformat=".2~g",
        dtick="D2" if lowest > MIN_P_OF_DENSE_TICKS else 1,
        minor={"showgrid": False},
    )
    figure.update_layout(height=420)
    return finished(
        figure,
        "volcano",
        "Ratio and significance",
        "Further to the right, more of the cell area is stained. Further up, the ratio is less "
        f"likely among the antibodies {describe_negatives(antibodies)}. On and above the dashed "
        f"line, q is at most {SIGNIFICANT_Q}.{extrapolated}" + _thinned_note(shown, rows),
        "half",
    )


def significant_p(rows: Sequence[AntibodyRow]) -> float:
    """Return the threshold of Benjamini and Hochberg: q is at most 0.05 up to this p.

    With n p values of which k have such a q, it is 0.05 k / n, and 0.05 / n if k is 0.
    """
    significant = sum(row.q_value is not None and row.q_value <= SIGNIFICANT_Q for row in rows)
    return SIGNIFICANT_Q * max(significant, 1) / len(rows)


def _thinned_note(shown: Sequence[AntibodyRow], rows: Sequence[AntibodyRow]) -> str:
    if len(shown) == len(rows):
        return ""
    return (
        f" The figure shows {len(shown):,} of {len(rows):,} antibodies, including all of the "
        "highest ratios."
    )


def specificity(antibodies: Sequence[AntibodyRow]) -> Figure | None:
    """Return ratio against border share; None if no antibody has both."""
    rows = [
        row
        for row in antibodies
        if row.stained_to_cell_ratio is not None and row.border_share is not None
    ]
    if not rows:
        return None
    shown = thin(rows, MAX_POINTS)
    figure = _points(shown, lambda row: row.border_share, "ratio %{x:.2%}, border share %{y:.0%}")
    figure.update_yaxes(title="border share of all DAB", tickformat=".0%", range=[-0.03, 1.03])
    figure.update_layout(height=420)
    return finished(
        figure,
        "specificity",
        "Ratio and specificity",
        "Further to the right, more of the cell area is stained brush border. Further up, a larger "
        "share of all DAB lies in it. Upper right: strong and specific staining."
        + _thinned_note(shown, rows),
        "half",
    )


def _points(
    rows: Sequence[AntibodyRow], y_value: Callable[[AntibodyRow], float | None], hover: str
) -> go.Figure:
    """Return a figure with one point per antibody: ratio on the x axis, symbol by label."""
    figure = blank()
    for label, name in label_names(rows).items():
        group = [row for row in rows if row.label == label]
        if group:
            figure.add_scatter(
                x=[row.stained_to_cell_ratio for row in group],
                y=[y_value(row) for row in group],
                mode="markers",
                cliponaxis=False,
                name=name,
                marker={"color": LABEL_COLOURS[label], "symbol": LABEL_SYMBOLS[label], "size": 8},
                text=[_name(row) for row in group],
                customdata=[row.antibody_id for row in group],
                hovertemplate=f"%{{text}}<br>{hover}<extra></extra>",
            )
    figure.update_xaxes(title="stained area / cell area", tickformat=".1~%", rangemode="tozero")
    return figure


def thin(rows: Sequence[AntibodyRow], max_rows: int) -> list[AntibodyRow]:
    """Return at most `max_rows` rows: the first `max_rows / 2`, and every n-th of the rest."""
    if len(rows) <= max_rows:
        return list(rows)
    head = max_rows // 2
    step = -(-(len(rows) - head) // (max_rows - head))
    return [*rows[:head], *rows[head::step]]


def training(curves: pd.DataFrame) -> list[Figure]:
    """Return a small figure for each numeric column of `training.csv`, against the step.

    Columns of zeros, such as losses that the preset does not use, are left out. If several networks
    were trained in turn, each has a line; the line of the last network is blue.
    """
    numbers = curves.apply(pd.to_numeric, errors="coerce").dropna(axis="columns", how="all")
    numbers = numbers.loc[:, numbers.fillna(0).ne(0).any()]
    has_steps = "step" in numbers
    numbers = numbers.assign(step=numbers["step"] if has_steps else range(len(numbers)))
    network = numbers["network"] if "network" in numbers else pd.Series(1, index=numbers.index)
    curves_by_network = [rows for _, rows in numbers.groupby(network)]
    plots: list[Figure] = []
    for name in numbers.columns.drop(["step", "network"], errors="ignore"):
        figure = blank()
        for rows in curves_by_network:
            figure.add_scatter(
                x=rows["step"].tolist(),
                y=rows[name].tolist(),
                mode="lines",
                line={
                    "color": CURVE_COLOUR if rows is curves_by_network[-1] else NEUTRAL_COLOUR,
                    "width": 1.75,
                },
                hovertemplate="step %{x}<br>%{y:.4g}<extra></extra>",
            )
        figure.update_layout(height=170, showlegend=False, margin={"t": 8, "b": 30, "l": 60})
        figure.update_xaxes(tickangle=0, nticks=4)
        title = str(name).replace("_", " ")
        plots.append(finished(figure, f"training-{len(plots)}", title, "", "small"))
    return plots


def blank() -> go.Figure:
    """Return a figure without Plotly's template, which every update of the figure would copy."""
    return go.Figure(layout={"template": {}})


def finished(figure: go.Figure, key: str, title: str, caption: str, size: str) -> Figure:
    """Apply the common layout and convert a Plotly figure to a `Figure`."""
    figure.update_layout(
        font={"family": FONT, "size": 14, "color": "#222"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        hoverlabel={"font": {"family": FONT}},
    )
    figure.update_xaxes(ticklabelstandoff=4)
    figure.update_yaxes(ticklabelstandoff=8)
    spec: dict[str, Any] = parse_json(figure.to_json())
    spec["layout"].pop("template", None)
    return Figure(key=key, title=title, caption=caption, spec=spec, size=size)


def _name(row: AntibodyRow) -> str:
    return _escape(f"{row.gene} {row.antibody_id}".strip())


def _escape(text: str) -> str:
    """Escape text for Plotly, which interprets some HTML."""
    return html.escape(text, quote=False)
