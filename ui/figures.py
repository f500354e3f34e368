"""A record of what was kept -> Plotly figures. Pure: no page, no files.

Backgrounds are transparent and the ink is a grey that reads on white and on black, so one figure serves both. Sound and
picture differ in shape (bars, a stepped line) as well as in colour; the colours are Okabe and Ito's, apart for every kind
of colour vision.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from omnizip.record import CompressionRecord, WindowRecord

from . import words

SOUND = "#D98300"  # Okabe-Ito orange, a little darker so that it shows on white
PICTURE = "#0F7FC2"  # Okabe-Ito blue, a little lighter so that it shows on black
INK = "#757B84"
GRID = "rgba(125,131,140,0.22)"
TICKS = (0, 0.25, 0.5, 0.75, 1)
BUCKETS = 600  # of the waveform as drawn
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'


def envelope(waveform: np.ndarray, rate_hz: int, buckets: int = BUCKETS) -> tuple[np.ndarray, np.ndarray]:
    """(B,) times in seconds and (B,) loudest amplitude of each of at most `buckets` equal stretches of a waveform (S,)."""
    n = min(buckets, waveform.shape[0])
    if n == 0:
        return np.zeros(0), np.zeros(0)
    edges = np.linspace(0, waveform.shape[0], n + 1).astype(np.int64)
    loudest = np.maximum.reduceat(np.abs(waveform), edges[:-1])
    return (edges[:-1] + edges[1:]) / 2 / rate_hz, loudest


def _of(kept: int, total: int) -> float | None:
    return kept / total if total else None


def _hover(number: int, w: WindowRecord) -> str:
    sound, picture = _of(w.audio_kept, w.audio_tokens), _of(w.video_tokens - w.video_kept, w.video_tokens)
    lines = [f"<b>{w.start_s:g}–{w.end_s:g} s</b>  window {number + 1}"]
    if sound is None:
        lines.append(words.NO_SOUND)
    else:
        lines.append(f"{words.SOUND_KEPT}: {words.share(sound)}, {words.count(w.audio_kept)} of {words.count(w.audio_tokens)} tokens")
    if picture is not None:
        dropped = w.video_tokens - w.video_kept
        lines.append(f"{words.PICTURE_DROPPED}: {words.share(picture)}, {words.count(dropped)} of {words.count(w.video_tokens)} tokens")
    return "<br>".join(lines)


def time_chart(record: CompressionRecord, waveform: np.ndarray | None, rate_hz: int = 16_000) -> go.Figure:
    """Per two seconds the share of the sound kept and of the picture dropped; below, the sound on the same time axis.

    Args:
        waveform: (S,) float32 from the first picture on, or None without sound.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.74, 0.26], vertical_spacing=0.07)
    windows = record.windows
    end = max([record.duration_s, *(w.end_s for w in windows)]) if windows else record.duration_s
    _add_sound(figure, windows)
    _add_picture(figure, windows)
    if windows:  # one clear target per window, so that hovering anywhere above it tells everything
        figure.add_bar(
            x=[(w.start_s + w.end_s) / 2 for w in windows],
            y=[1.0] * len(windows),
            width=[w.end_s - w.start_s for w in windows],
            marker_color="rgba(0,0,0,0)",
            marker_line_width=0,
            hovertemplate="%{customdata}<extra></extra>",
            customdata=[_hover(i, w) for i, w in enumerate(windows)],
            showlegend=False,
            name="",
            row=1,
            col=1,
        )
    if waveform is not None and waveform.size:
        times, loudest = envelope(waveform, rate_hz)
        peak = float(loudest.max()) or 1.0
        figure.add_scatter(
            x=np.concatenate([times, times[::-1]]),
            y=np.concatenate([loudest, -loudest[::-1]]) / peak,
            fill="toself",
            fillcolor="rgba(117,123,132,0.55)",
            line_width=0,
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            name=words.AXIS_WAVE,
            row=2,
            col=1,
        )
    return _dressed(figure, end)


def _add_sound(figure: go.Figure, windows: tuple[WindowRecord, ...]) -> None:
    heard = [w for w in windows if w.audio_tokens]
    if not heard:
        return
    figure.add_bar(
        x=[(w.start_s + w.end_s) / 2 for w in heard],
        y=[w.audio_kept / w.audio_tokens for w in heard],
        width=[0.86 * (w.end_s - w.start_s) for w in heard],
        marker_color=SOUND,
        marker_line_width=0,
        opacity=0.85,
        hoverinfo="skip",
        name=words.SOUND_KEPT,
        row=1,
        col=1,
    )


def _add_picture(figure: go.Figure, windows: tuple[WindowRecord, ...]) -> None:
    seen = [w for w in windows if w.video_tokens]
    if not seen:
        return
    rates = [(w.video_tokens - w.video_kept) / w.video_tokens for w in seen]
    x, y = [], []
    for w, rate in zip(seen, rates, strict=True):
        x += [w.start_s, w.end_s]
        y += [rate, rate]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"color": PICTURE, "width": 2.5}, hoverinfo="skip", name=words.PICTURE_DROPPED, row=1, col=1
    )
    total = sum(w.video_tokens for w in seen)
    mean = sum(w.video_tokens - w.video_kept for w in seen) / total
    figure.add_scatter(
        x=[seen[0].start_s, seen[-1].end_s],
        y=[mean, mean],
        mode="lines",
        line={"color": PICTURE, "width": 1.2, "dash": "dot"},
        hoverinfo="skip",
        name=words.PICTURE_MEAN,
        row=1,
        col=1,
    )


def _dressed(figure: go.Figure, end_s: float) -> go.Figure:
    figure.update_layout(
        template="none",
        height=330,
        margin={"l": 58, "r": 8, "t": 34, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": INK},
        barmode="overlay",
        hovermode="closest",
        hoverlabel={"bgcolor": "#1F2430", "bordercolor": "#1F2430", "align": "left", "font": {"color": "#FFFFFF", "family": FONT}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom", "font": {"size": 12}},
        dragmode=False,
    )
    axis = {"gridcolor": GRID, "zeroline": False, "fixedrange": True, "linecolor": GRID}
    figure.update_xaxes(**axis, range=[0, end_s], ticks="", showgrid=False)
    figure.update_xaxes(title={"text": words.AXIS_TIME, "standoff": 6}, row=2, col=1)
    figure.update_yaxes(**axis, range=[0, 1.0], tickvals=TICKS, ticktext=[words.share(x) for x in TICKS], row=1, col=1)
    figure.update_yaxes(title={"text": words.AXIS_SHARE, "standoff": 8}, row=1, col=1)
    figure.update_yaxes(range=[-1.05, 1.05], showticklabels=False, showgrid=False, fixedrange=True, zeroline=False, row=2, col=1)
    figure.update_yaxes(title={"text": words.AXIS_WAVE, "standoff": 12}, row=2, col=1)
    return figure
