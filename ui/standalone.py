"""A comparison as one HTML file that opens without a server: the clip in the lens, both answers, costs, settings. Pure.

The film travels inside, made small where it is large or no browser plays it, and the whole report as JSON.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import Any

from omnizip.assets import asset
from omnizip.media import Clip, transcode_preview
from omnizip.report.report import Run, RunReport, differing_words
from omnizip.settings import Settings

from . import markup, words
from .lens import packed as lens_data

AS_IT_IS_BYTES = 4_000_000  # a larger film is made small
SMALLER = "The film shown here is a smaller copy; the models read the original."
OTHER_CODEC = "Browsers cannot play the original, so this is a copy; the models read the original."


def html_report(report: RunReport, clip: Clip, second_per_step: float, settings: Settings) -> str:
    """The whole page as text.

    Args:
        clip: as it was read; its file must still be there.
        second_per_step: of the clip's video tokens.

    Raises:
        MediaError: the film has to be made small or playable, and cannot be read any more.
    """
    film, kind, note = _film(clip, settings)
    packed = lens_data.pack_clip(clip, report.clip.grid, second_per_step, b64encode(film).decode("ascii"), report.clip.name, note)
    runs = [run for run in report.runs if run.method != "full"] or list(report.runs)
    data = {"clip": packed, "film": kind, "maps": [lens_data.pack_map(run.compression, _title(run)) for run in runs]}
    style = "\n".join((_text("style.css"), lens_data.style(), _text("lens/report.css")))
    start = _text("lens/report.js")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words.TITLE)}: {escape(report.clip.name)}</title><link rel='icon' href='data:,'><style>{style}</style></head>"
        f'<body><main class="gradio-container"><div class="report">{_body(report)}</div></main>'
        f"{_json('lens-data', data)}{_json('report-data', report.to_json())}"
        f"<script>{lens_data.script()}\n{start}</script></body></html>\n"
    )


def _text(name: str) -> str:
    return asset(name).read_text("utf-8")


def _film(clip: Clip, settings: Settings) -> tuple[bytes, str, str]:
    """The film's bytes, their type, and what there is to say about them."""
    if clip.playable and clip.path.stat().st_size <= AS_IT_IS_BYTES:
        return clip.path.read_bytes(), "video/webm" if clip.path.suffix.lower() == ".webm" else "video/mp4", ""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        transcode_preview(clip.path, copy, settings, small=True)
        return copy.read_bytes(), "video/mp4", SMALLER if clip.playable else OTHER_CODEC


def _title(run: Run) -> str:
    return f"{run.label}, {words.share(run.retained['total'])}"


def _body(report: RunReport) -> str:
    c = report.clip
    line = words.clip_line(c.duration_s, c.frames, c.fps, c.width, c.height, c.has_sound)
    full, *others = report.runs
    first = others[0] if others else full
    reasons = markup.heading(f"{words.REASONS}: {first.label}")
    return (
        f'<header><h1>{escape(c.name)}</h1><p class="oz-question">{escape(report.question)}</p>{markup.hint(line)}'
        f"{markup.sentences(c.warnings)}</header>{markup.conditions(words.model_line(report.conditions), report.conditions.embedded)}"
        f"{markup.headline(words.headline(report.ratios(first))) if others else ''}"
        f'<div class="oz-answers">{_answers(report.runs)}</div>'
        f'<div id="lens">{lens_data.markup()}</div>'
        f"{markup.heading(words.COSTS)}{_costs(report)}"
        f'<div class="oz-two"><div>{markup.heading("Settings")}{_settings(report)}</div>'
        f"<div>{reasons}{markup.reasons(first.compression)}</div></div>"
        f'<p class="oz-hint"><a id="save-json" download="{escape(Path(c.name).stem, quote=True)}-report.json">'
        "Save the report as JSON</a></p>"
    )


def _costs(report: RunReport) -> str:
    """The full model beside the first method; further methods folded away below."""
    full, *others = report.runs
    on_cpu = report.conditions.device == "cpu"
    tables = [f'<div class="oz-scroll">{markup.costs([full, run], on_cpu)}</div>' for run in others] or [markup.costs([full], on_cpu)]
    more = (f"<details><summary>{escape(run.label)}</summary>{table}</details>" for run, table in zip(others[1:], tables[1:], strict=True))
    return tables[0] + "".join(more)


def _answers(runs: tuple[Run, ...]) -> str:
    """Every answer; what differs from the full model's is underlined."""
    full = runs[0].answer.text
    shown = []
    for run in runs:
        spans = () if run is runs[0] else differing_words(full, run.answer.text)[1]
        title = run.label if run is runs[0] else words.arm_line(run.label, run.retention_target)
        shown.append(markup.answer(title, (), run.answer.text, spans=spans))
    return "".join(shown)


def _settings(report: RunReport) -> str:
    rows = [
        (f"{run.label}", ", ".join(f"{name} {_plain(value)}" for name, value in run.parameters.items()) or "none") for run in report.runs
    ]
    s = report.sampling
    rows.append(("sampling", f"temperature {s.temperature:g}, top_p {s.top_p:g}, seed {s.seed}, at most {s.max_new_tokens} tokens"))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())))
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    return f'<table class="oz-settings">{body}</table>'


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _json(name: str, value: Any) -> str:
    """JSON within HTML: no tag can end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'
