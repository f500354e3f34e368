"""A record of what was kept -> Plotly figures. Pure: no page, no files.

Backgrounds are transparent and the ink is a grey that reads on white and on black, so one figure serves both. Sound and
picture differ in shape (bars, a stepped line) as well as in colour; the colours are Okabe and Ito's, apart for every kind
of colour vision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from omnizip.report import formats
from omnizip.report.decision import CompressionRecord, WindowRecord
from omnizip.report.packed import SOUND_HZ, envelope

from . import words

SOUND = "#D98300"  # Okabe-Ito orange, a little darker so that it shows on white
PICTURE = "#0F7FC2"  # Okabe-Ito blue, a little lighter so that it shows on black
INK = "#757B84"
GRID = "rgba(125,131,140,0.22)"
TICKS = (0, 0.25, 0.5, 0.75, 1)
BUCKETS = 600  # of the waveform as drawn
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'


def _hover(number: int, w: WindowRecord) -> str:
    """What hovering over a window says: its span, the sound kept, the picture dropped."""
    lines = [words.HOVER_WINDOW.format(start=w.start_s, end=w.end_s, n=number + 1)]
    lines.append(_hover_share(words.SOUND_KEPT, w.audio_kept, w.audio_tokens) if w.audio_tokens else words.NO_SOUND)
    if w.video_tokens:
        lines.append(_hover_share(words.PICTURE_DROPPED, w.video_tokens - w.video_kept, w.video_tokens))
    return "<br>".join(lines)


def _hover_share(name: str, n: int, total: int) -> str:
    return words.HOVER_SHARE.format(name=name, share=formats.share(n / total), n=formats.count(n), total=formats.count(total))


def time_chart(record: CompressionRecord, waveform: np.ndarray | None, rate_hz: int = SOUND_HZ) -> go.Figure:
    """Per two seconds the share of the sound kept and of the picture dropped; below, the sound on the same time axis.

    Args:
        waveform: (S,) float32 from the first picture on, or None without sound.

    Built as one plain dict: Plotly checks a figure once, not after every addition, which a redraw would wait for.
    """
    windows = record.windows
    end = max([record.duration_s, *(w.end_s for w in windows)])
    traces = [*_sound_bars(windows), *_picture_lines(windows), *_hover_bars(windows), *_wave_area(waveform, rate_hz)]
    return go.Figure({"data": traces, "layout": _layout(end)})


def _sound_bars(windows: tuple[WindowRecord, ...]) -> list[dict[str, Any]]:
    heard = [w for w in windows if w.audio_tokens]
    if not heard:
        return []
    bars = {
        "type": "bar",
        "name": words.SOUND_KEPT,
        "x": [(w.start_s + w.end_s) / 2 for w in heard],
        "y": [w.audio_kept / w.audio_tokens for w in heard],
        "width": [0.86 * (w.end_s - w.start_s) for w in heard],
        "marker": {"color": SOUND, "line": {"width": 0}},
        "opacity": 0.85,
        "hoverinfo": "skip",
    }
    return [bars]


def _picture_lines(windows: tuple[WindowRecord, ...]) -> list[dict[str, Any]]:
    """Two traces: a step per window, and the mean over the clip."""
    seen = [w for w in windows if w.video_tokens]
    if not seen:
        return []
    line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    rates = [(w.video_tokens - w.video_kept) / w.video_tokens for w in seen]
    mean = 1 - sum(w.video_kept for w in seen) / sum(w.video_tokens for w in seen)
    steps = {
        **line,
        "name": words.PICTURE_DROPPED,
        "x": [edge for w in seen for edge in (w.start_s, w.end_s)],
        "y": [rate for rate in rates for _ in range(2)],
        "line": {"color": PICTURE, "width": 2.5},
    }
    dots = {
        **line,
        "name": words.PICTURE_MEAN,
        "x": [seen[0].start_s, seen[-1].end_s],
        "y": [mean, mean],
        "line": {"color": PICTURE, "width": 1.2, "dash": "dot"},
    }
    return [steps, dots]


def _hover_bars(windows: tuple[WindowRecord, ...]) -> list[dict[str, Any]]:
    """One clear bar per window over the whole height, so that hovering anywhere above it tells everything."""
    if not windows:
        return []
    bars = {
        "type": "bar",
        "name": "",
        "x": [(w.start_s + w.end_s) / 2 for w in windows],
        "y": [1.0] * len(windows),
        "width": [w.end_s - w.start_s for w in windows],
        "marker": {"color": "rgba(0,0,0,0)", "line": {"width": 0}},
        "customdata": [_hover(i, w) for i, w in enumerate(windows)],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }
    return [bars]


def _wave_area(waveform: np.ndarray | None, rate_hz: int) -> list[dict[str, Any]]:
    if waveform is None or not waveform.size:
        return []
    times, loudest = envelope(waveform, rate_hz, BUCKETS)
    height = loudest / (float(loudest.max()) or 1.0)
    area = {
        "type": "scatter",
        "mode": "lines",
        "name": words.AXIS_WAVE,
        "x": np.concatenate([times, times[::-1]]),
        "y": np.concatenate([height, -height[::-1]]),
        "yaxis": "y2",
        "fill": "toself",
        "fillcolor": "rgba(117,123,132,0.55)",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [area]


def _layout(end_s: float) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "fixedrange": True}
    font = {"family": FONT, "size": 12, "color": INK}
    return {
        "template": "none",
        "height": 330,
        "margin": {"l": 58, "r": 8, "t": 34, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": font,
        "barmode": "overlay",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#1F2430", "bordercolor": "#1F2430", "align": "left", "font": {"color": "#FFFFFF", "family": FONT}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom", "font": {"size": 12}},
        "dragmode": False,
        "xaxis": {**axis, "range": [0, end_s], "showgrid": False, "anchor": "y2", "title": {"text": words.AXIS_TIME, "standoff": 6}},
        "yaxis": {
            **axis,
            "domain": [0.31, 1.0],
            "range": [0, 1.0],
            "tickvals": TICKS,
            "ticktext": [formats.share(x) for x in TICKS],
            "title": {"text": words.AXIS_SHARE, "standoff": 8},
        },
        "yaxis2": {
            **axis,
            "domain": [0.0, 0.24],
            "range": [-1.05, 1.05],
            "showticklabels": False,
            "showgrid": False,
            "title": {"text": words.AXIS_WAVE, "standoff": 12},
        },
    }
