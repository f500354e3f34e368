"""A benchmark's results as one HTML file that needs nothing else: the tables, and accuracy against tokens read and against time."""

from __future__ import annotations

import html
import math
import re
from typing import Any

from .benchmark_tables import markdown

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 64, 48, 16, 190
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")  # told apart by the colour-blind, too
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#111;background:#fff}"
    "table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0}td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;"
    "white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}figure{display:inline-block;margin:1rem 1rem 1rem 0}"
    "code{font-size:90%;overflow-wrap:anywhere}svg text{font:12px system-ui,sans-serif}"
)


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    title = f"{result['conditions']['label']}: accuracy and cost"
    plots = [
        _plot(result["results"], "tokens read (mean)", lambda row: row["tokens"]["total"]),
        _plot(result["results"], "ms to the first token (median)", lambda row: row["ms"]["to_first_token"]),
    ]
    figures = "".join(f"<figure>{plot}</figure>" for plot in plots if plot)
    body = f"<h1>{html.escape(title)}</h1>{figures}{_blocks(markdown(result))}"
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head>'
    return f"{head}<body>{body}</body></html>\n"


def _blocks(text: str) -> str:
    """The Markdown that this project's tables are written in, as HTML: headings, tables, paragraphs, code."""
    made = []
    for block in text.strip().split("\n\n"):
        if block.startswith("|"):
            made.append(_table(block.splitlines()))
        elif block.startswith("### "):
            made.append(f"<h2>{_inline(block[4:])}</h2>")
        else:
            made.append(f"<p>{_inline(block)}</p>")
    return "".join(made)


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    sides = [' class="n"' if mark.endswith(":") else "" for mark in rows[1]]

    def cells(row: list[str], tag: str) -> str:
        return "".join(f"<{tag}{side}>{_inline(cell)}</{tag}>" for cell, side in zip(row, sides, strict=False))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[2:])
    return f"<table><thead><tr>{cells(rows[0], 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _plot(rows: list[dict[str, Any]], along: str, across: Any) -> str:
    """Accuracy with its interval over something that costs; one colour a method. Empty where nothing can be drawn."""
    points = [
        (row, across(row), found)
        for row in rows
        for found in row["accuracy"]
        if found["kind"] == "all" and across(row) is not None and found["ci95"]
    ]
    if not points:
        return ""
    methods = list(dict.fromkeys(row["method"] for row, _, _ in points))
    most = _nice(max(value for _, value, _ in points))
    low = math.floor(10 * min(found["ci95"][0] for *_, found in points)) / 10
    high = math.ceil(10 * max(found["ci95"][1] for *_, found in points)) / 10
    low, high = (low, high) if high > low else (max(0.0, low - 0.1), min(1.0, low + 0.1))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / most

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (share - low) / (high - low)

    drawn = [_axis(x, y, most, low, high, along)]
    for row, value, found in points:
        colour = COLOURS[methods.index(row["method"]) % len(COLOURS)]
        left, (bottom, top) = x(value), map(y, found["ci95"])
        told = f"{row['name']}: {100 * found['accuracy']:.1f} %, {value:,.0f} {along}"
        drawn.append(f'<g stroke="{colour}" fill="{colour}"><title>{html.escape(told)}</title>')
        drawn.append(f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{bottom:.1f}" y2="{top:.1f}"/>')
        drawn.append(f'<circle cx="{left:.1f}" cy="{y(found["accuracy"]):.1f}" r="4"/></g>')
    for number, method in enumerate(methods):
        height = TOP + 12 + 18 * number
        drawn.append(f'<circle cx="{WIDTH - RIGHT + 16}" cy="{height - 4}" r="4" fill="{COLOURS[number % len(COLOURS)]}"/>')
        drawn.append(f'<text x="{WIDTH - RIGHT + 26}" y="{height}">{html.escape(method)}</text>')
    label = html.escape(f"Accuracy over {along}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'


def _axis(x: Any, y: Any, most: float, low: float, high: float, along: str) -> str:
    made = [f'<path d="M{x(0)} {y(high)}V{y(low)}H{x(most)}" fill="none" stroke="#666"/>']
    for part in range(5):
        value, share = most * part / 4, low + (high - low) * part / 4
        made.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:,.0f}</text>')
        made.append(f'<text x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    made.append(f'<text x="{(x(0) + x(most)) / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(along)}</text>')
    return "".join(made)


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 8, 10 times a power of ten: it divides by four into readable numbers."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value)
