"""Cost against agreement of several runs -> one Plotly figure.

The vertical axis is the mean logarithm of how likely the full model's answer is, written as a likelihood per token. Runs that
nearly coincide share one label, which names them all, and every one keeps its own point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from omnizip.report import formats, wording
from omnizip.report.report import Run

from .. import figures, words

LIKELIHOODS = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 1e-13, 1e-18, 1e-26)
LEAST_DROP = 0.12  # nats the axis reaches below certainty at least, so that runs that all agree do not look apart
NEAR = (0.10, 0.10)  # of the axes' lengths: nearer points share a label
LINES = 5  # of a label, before names share a line
HEIGHT = 420  # pixels


@dataclass(frozen=True)
class Point:
    """A run in the chart."""

    cost: float  # GFLOPs to read the prompt
    agreement: float  # nats per token
    name: str
    full: bool


def pareto(runs: Sequence[Run]) -> go.Figure:
    """Operations of reading against agreement; a line joins the runs that none beats in both. The first run is the full model."""
    shares = {run.retention_target for run in runs if run.retention_target}
    points = [
        Point(
            run.flops_counted.prefill / 1e9,
            run.agreement.mean_log_likelihood,
            wording.run_name(run) if len(shares) > 1 else run.label,
            not number,
        )
        for number, run in enumerate(runs)
        if run.agreement and math.isfinite(run.agreement.mean_log_likelihood)
    ]
    bottom = min([-LEAST_DROP, *(point.agreement for point in points)])
    right = 1.12 * max([1e-9, *(point.cost for point in points)])
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [point.cost for point in front(points)],
        "y": [point.agreement for point in front(points)],
        "line": {"color": figures.SOUND, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    axis = {"gridcolor": figures.GRID, "linecolor": figures.GRID, "zeroline": False, "fixedrange": True, "automargin": True}
    ticks = [share for share in LIKELIHOODS if math.log(share) >= 1.02 * bottom]
    spread = [share for share, above in zip(ticks, [None, *ticks], strict=False) if not above or math.log(above / share) > -bottom / 12]
    layout = {
        "template": "none",
        "height": HEIGHT,
        "margin": {"l": 70, "r": 20, "t": 16, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": figures.FONT, "size": 12, "color": figures.INK},
        "dragmode": False,
        "xaxis": {**axis, "title": {"text": words.METHODS_COST}, "range": [0, right]},
        "yaxis": {
            **axis,
            "title": {"text": words.METHODS_AGREEMENT, "standoff": 14},
            "range": [1.12 * bottom, -0.08 * bottom],
            "tickvals": [math.log(share) for share in spread],
            "ticktext": [formats.likelihood(share) for share in spread],
        },
        "annotations": [_label(group, bottom) for group in groups(points, right, -1.2 * bottom)],
    }
    return go.Figure({"data": [line, _dots(points)], "layout": layout})


def front(points: Sequence[Point]) -> list[Point]:
    """The points that none other beats in both cost and agreement, cheapest first."""
    best, found = -math.inf, []
    for point in sorted(points, key=lambda p: (p.cost, -p.agreement)):
        if point.agreement > best:
            best = point.agreement
            found.append(point)
    return found


def groups(points: Sequence[Point], width: float, height: float) -> list[list[Point]]:
    """Points that share a label: each joins the group whose first point, the cheapest, is near in both axes.

    Args:
        width, height: lengths of the axes in the points' units.
    """
    found: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.agreement)):
        for group in found:
            first = group[0]
            near = abs(point.cost - first.cost) <= NEAR[0] * width and abs(point.agreement - first.agreement) <= NEAR[1] * height
            if near and point.full == first.full:
                group.append(point)
                break
        else:
            found.append([point])
    return found


def _label(group: Sequence[Point], bottom: float) -> dict[str, Any]:
    """The names of a group below its cheapest point, above it in the lower third of the chart."""
    per_line = -(-len(group) // LINES)
    names = [point.name for point in group]
    text = "<br>".join(", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line))
    low = group[0].agreement < 0.66 * bottom
    place = {"yanchor": "bottom", "yshift": 8} if low else {"yanchor": "top", "yshift": -8}
    side = {"xanchor": "center"} if group[0].full else {"xanchor": "left", "align": "left", "xshift": -6}
    at = group[0].agreement if low else min(point.agreement for point in group)
    return {"x": group[0].cost, "y": at, "text": text, "showarrow": False, **side, **place}


def _dots(points: Sequence[Point]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [point.cost for point in points],
        "y": [point.agreement for point in points],
        "text": [point.name for point in points],
        "customdata": [formats.likelihood(math.exp(point.agreement)) for point in points],
        "marker": {
            "size": 11,
            "color": [figures.INK if point.full else figures.PICTURE for point in points],
            "opacity": 0.8,
            "line": {"width": 1, "color": "rgba(255,255,255,0.7)"},
        },
        "hovertemplate": words.METHODS_HOVER,
        "showlegend": False,
        "cliponaxis": False,
    }
