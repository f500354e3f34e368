"""The figure of costs over clip length, drawn from the committed measurement."""

from __future__ import annotations

import json
import math
from xml.sax.saxutils import escape

from .results import FOLDER, ROOT

SOURCE, TARGET = FOLDER / "lengths-cpu.json", ROOT / "docs" / "figures" / "costs-by-length.svg"

WIDTH, HEIGHT, TOP, BOTTOM = 1000, 440, 92, 56
PANELS = ((74, 290), (590, 270))  # left edge and width of each; labels stand to the right
INK, FAINT, GRID = "#1f2430", "#667085", "#e4e7ec"
TIME = (  # field, name, colour, dashed
    ("saliency_clip_ms", "saliency, whole clip", "#b42318", True),
    ("encode_ms", "encoders", "#1d4ed8", False),
    ("compress_ms", "compression", "#0f766e", False),
    ("saliency_window_ms", "saliency, windows", "#7a5af8", False),
)
MEMORY = (
    ("encode_peak_bytes", "encoders", "#1d4ed8", False),
    ("feature_bytes", "features", "#667085", True),
    ("compress_peak_bytes", "compression", "#0f766e", False),
)
TIMES = {10: "10 s", 30: "", 60: "1 min", 600: "10 min", 3600: "1 h"}


def write() -> None:
    """Draw it."""
    TARGET.write_text(drawn(json.loads(SOURCE.read_text())))


def drawn(result: dict) -> str:
    """The figure as SVG."""
    made = result["conditions"]
    rows = result["rows"]
    told = f"{made['device']}, {made['threads']} thread, {made['dtype']}, torch {made['torch']}, {made['date'][:10]}; logarithmic axes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="system-ui, sans-serif">',
        "<title>Time and memory before the language model, over clip length</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="#ffffff"/>',
        _text(30, 36, "Before the language model, cost grows with the clip; whole-clip saliency with its square", 18, INK, weight=600),
        _text(30, 58, told, 12.5, FAINT),
        *_panel(PANELS[0], rows, TIME, "time", 1e-3, _seconds),
        *_panel(PANELS[1], rows, MEMORY, "memory at the peak, above the clip", 1, _bytes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(place: tuple[int, int], rows: list[dict], lines: tuple, title: str, unit: float, named) -> list[str]:
    left, width = place
    height = HEIGHT - TOP - BOTTOM
    values = [row[field] * unit for field, *_ in lines for row in rows if row[field]]
    low, high = (limit(math.log10(v)) for limit, v in ((math.floor, min(values)), (math.ceil, max(values))))
    first, last = math.log10(rows[0]["seconds"]), math.log10(rows[-1]["seconds"])

    def x(seconds: float) -> float:
        return left + width * (math.log10(seconds) - first) / (last - first)

    def y(value: float) -> float:
        return TOP + height * (high - math.log10(value)) / (high - low)

    parts = [_text(left, TOP - 12, title, 13, INK, weight=600)]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, at + 4, named(10.0**power), 12, FAINT, anchor="end"))
    for row in rows:
        seconds = row["seconds"]
        parts.append(_text(x(seconds), HEIGHT - BOTTOM + 20, TIMES.get(seconds, f"{seconds} s"), 12, FAINT, anchor="middle"))
    parts.append(_text(left + width / 2, HEIGHT - 14, "length of the clip", 12, FAINT, anchor="middle"))
    span = rows[-1]["seconds"] / rows[0]["seconds"]
    start = 10.0**low * 10 ** (0.5 * max(0.0, high - low - math.log10(span)))
    parts.append(_line([(x(rows[0]["seconds"]), y(start)), (x(rows[-1]["seconds"]), y(start * span))], "#98a2b3", 1, "2 4"))
    ends = []
    for field, name, colour, dashed in lines:
        points = [(x(row["seconds"]), y(row[field] * unit)) for row in rows if row[field]]
        parts.append(_line(points, colour, 2.5, "7 5" if dashed else ""))
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
        ends.append((points[-1][1], points[-1][0], name, colour))
    lowest = -math.inf
    for py, px, name, colour in sorted(ends):
        if px < left + width - 1:  # a line that ends early is named high above its end, where no other passes
            parts.append(_text(left + 10, py - 62, name, 12.5, colour, weight=600))
            continue
        lowest = max(py + 4, lowest + 16)  # labels keep a line's distance
        parts.append(_text(px + 10, lowest, name, 12.5, colour, weight=600))
    return parts


def _line(points: list[tuple[float, float]], colour: str, width: float, dashes: str) -> str:
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"{dashed}/>'


def _text(x: float, y: float, text: str, size: float, colour: str, *, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _seconds(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:,.0f} s"


def _bytes(value: float) -> str:
    return f"{value / 1e9:,.0f} GB" if value >= 1e9 else f"{value / 1e6:g} MB"
