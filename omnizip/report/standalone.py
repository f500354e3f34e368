"""A comparison as one HTML file that opens without a server: the clip in the lens, both answers, costs, settings. Pure.

The film travels inside, made small where it is large or no browser plays it, and the whole report as JSON.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from dataclasses import asdict
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from ..assets import asset
from ..errors import MediaError
from ..media import Clip, transcode_preview
from ..settings import Settings
from . import formats, fragments, languages, lens_files, packed, wording
from .report import Run, RunReport, differing_words

AS_IT_IS_BYTES = 4_000_000  # a larger film is made small


def html_report(report: RunReport, clip: Clip, second_per_step: float, settings: Settings) -> str:
    """The whole page as text.

    Args:
        clip: as it was read; its file must still be there.
        second_per_step: of the clip's video tokens.

    Raises:
        MediaError: the film has to be made small or playable, and cannot be read any more.
        OmniZipError: this installation lacks a file of the lens.
    """
    film, kind, note = _film(clip, settings)
    shown = packed.pack_clip(clip, report.clip.grid, second_per_step, b64encode(film).decode("ascii"), report.clip.name, note)
    runs = [run for run in report.runs if run.method != "full"] or list(report.runs)
    data = {"clip": shown, "film": kind, "maps": [_map(run) for run in runs]}
    style = f"{asset('style.css').read_text('utf-8')}\n{lens_files.style()}\n{lens_files.read('report.css')}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(wording.TITLE)}: {escape(report.clip.name)}</title><link rel='icon' href='data:,'><style>{style}</style></head>"
        f'<body><main class="gradio-container"><div class="report">{_body(report)}</div></main>'
        f"{_json('lens-data', data)}{_json('report-data', report.to_json())}"
        f"<script>{languages.script(inline=True)}</script>"
        f"<script>{lens_files.script()}\n{lens_files.read('report.js')}</script></body></html>\n"
    )


def _film(clip: Clip, settings: Settings) -> tuple[bytes, str, str]:
    """The film's bytes, their type, and what there is to say about them. Raises MediaError where it cannot be read any more."""
    try:
        if clip.shows_as_it_is and clip.path.stat().st_size <= AS_IT_IS_BYTES:
            return clip.path.read_bytes(), "video/webm" if clip.path.suffix.lower() == ".webm" else "video/mp4", ""
    except OSError as error:
        raise MediaError(f"{clip.path.name} cannot be read any more ({error.strerror}); put it back for the report.") from None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        transcode_preview(clip.path, copy, settings, small=True)
        note = wording.FILM_SMALLER if clip.playable else wording.FILM_COPY
        return copy.read_bytes(), "video/mp4", note if clip.whole else wording.FILM_PART


def _map(run: Run) -> dict[str, Any]:
    return packed.pack_map(run.compression, wording.kept_title(run.label, run.retained["total"]))


def _body(report: RunReport) -> str:
    """What is read from top to bottom, without data and programs."""
    full, *others = report.runs
    first = others[0] if others else full
    name = report.clip.name
    stem = escape(Path(name).stem, quote=True)
    return (
        f'<header>{fragments.language_switch()}<h1 translate="no">{escape(name)}</h1>'
        f'<p class="oz-question" translate="no">{escape(report.question)}</p>'
        f"{fragments.hint(wording.clip_line(report.clip))}{fragments.sentences(report.clip.warnings)}</header>"
        f"{fragments.model_notice(report.conditions)}"
        f"{fragments.headline(report.ratios(first)) if others else ''}"
        f'<div class="oz-answers">{_answers(report.runs)}</div>'
        f'<div id="lens">{lens_files.elements()}</div>'
        f"{fragments.heading(wording.COSTS)}{_costs(report)}"
        f'<div class="oz-two"><div>{fragments.heading(wording.SETTINGS)}{_settings(report)}</div>'
        f"<div>{fragments.heading(f'{wording.REASONS}: {first.label}')}{fragments.reasons(first.compression)}</div></div>"
        f'<p class="oz-hint"><a id="save-json" download="{stem}-report.json">{escape(wording.SAVE_JSON)}</a></p>'
    )


def _costs(report: RunReport) -> str:
    """The full model beside the first method; further methods folded away below."""
    full, *others = report.runs
    costs = partial(fragments.costs, on_cpu=report.conditions.device == "cpu", load=report.load)
    tables = [f'<div class="oz-scroll">{costs([full, run])}</div>' for run in others] or [costs([full])]
    more = (f"<details><summary>{escape(run.label)}</summary>{table}</details>" for run, table in zip(others[1:], tables[1:], strict=True))
    return tables[0] + "".join(more)


def _answers(runs: tuple[Run, ...]) -> str:
    """Every answer; what differs from the full model's is underlined."""
    full = runs[0].answer.text
    shown = []
    for run in runs:
        spans = () if run is runs[0] else differing_words(full, run.answer.text)[1]
        title = run.label if run is runs[0] else wording.asked_title(run.label, run.retention_target)
        shown.append(fragments.answer(title, (), run.answer.text, spans=spans))
    return "".join(shown)


def _settings(report: RunReport) -> str:
    """Every run's parameters, how tokens were chosen, and versions, one row each."""
    rows = []
    for run in report.runs:
        chosen = ", ".join(f"{name} {formats.parameter(value)}" for name, value in run.parameters.items())
        rows.append((run.label, chosen or wording.SETTINGS_NONE))
    sampling, how = wording.SAMPLING
    rows.append((sampling, how.format(**asdict(report.sampling))))
    rows.append((wording.VERSIONS, ", ".join(f"{name} {version}" for name, version in report.versions.items())))
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>' for name, text in rows)
    return f'<table class="oz-settings">{body}</table>'


def _json(name: str, value: Any) -> str:
    """JSON within HTML: no tag can end it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'
