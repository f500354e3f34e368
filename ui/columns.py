"""How the page is arranged: what is asked at the left, in view all the time; the answers and what was kept at the right.

Every piece has an elem_id; these are what tests and other scripts hold on to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from omnizip.assets import asset
from omnizip.compressors import COMPRESSORS
from omnizip.media import SUFFIXES, Tracks
from omnizip.report import fragments, wording
from omnizip.settings import Settings

from . import examples, markup, part_strip, presets, words
from .chat import Update
from .controls import Controls
from .lens import component

METHODS = {name: kind for name, kind in COMPRESSORS.items() if name != "full"}
OTHER_FILES = [spelt for suffix in SUFFIXES for spelt in (suffix, suffix.upper())]  # browsers know no type for many of them
FIRST_METHOD, FIRST_RETENTION = "omnizip", "45 %"


@dataclass
class Asked:
    """The left column: what a person chooses and presses."""

    video: gr.Video
    part: gr.HTML  # its value is the choice, as ui/part_strip.py reads it
    examples: gr.HTML  # its event "select" says which one
    question: gr.Textbox
    retention: gr.Radio
    method: gr.Dropdown
    controls: Controls
    open_gif: gr.UploadButton  # the player above takes none
    paper: gr.Dropdown  # the paper's settings by name
    published: gr.HTML  # what it says of them
    compare: gr.Button
    stop: gr.Button
    pieces: dict[str, gr.components.Component]

    @property
    def choices(self) -> list[gr.components.Component]:
        return [self.method, self.retention, *self.controls.components]


def ask_column(settings: Settings, first: examples.Example | None = None, notes: str = "") -> Asked:
    """The clip, the question and how to compress, then the buttons; below them what most visitors leave as it is.

    Args:
        first, notes: the example the page begins with, and what is said of its clip.
    """
    asked_first = {"clip": str(first.path), "question": first.question} if first else {"clip": None, "question": ""}
    video = gr.Video(asked_first["clip"], label=words.CLIP, sources=["upload", "webcam"], include_audio=True, elem_id="clip")
    part = gr.HTML(
        "",
        html_template=part_strip.strip(),
        js_on_load=asset("part.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="part",
        offer=part_strip.offer(asked_first["clip"], Tracks(None, ("",))) if first else None,
    )
    clip_notes = gr.HTML(notes, elem_id="clip-notes")
    offered = gr.HTML(
        examples.strip(examples.examples_of(settings)),
        js_on_load=asset("examples.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="examples",
    )
    question = gr.Textbox(
        asked_first["question"], label=words.QUESTION, placeholder=words.QUESTION_HINT, lines=1, max_lines=6, elem_id="question"
    )
    with gr.Row(elem_id="choice"):
        retention = gr.Radio(words.RETENTIONS, value=FIRST_RETENTION, label=words.RETENTION, scale=3, min_width=0, elem_id="retention")
        method = gr.Dropdown(
            [(kind.label, name) for name, kind in METHODS.items()],
            value=FIRST_METHOD,
            label=words.METHOD,
            filterable=False,
            scale=2,
            min_width=0,
            elem_id="method",
        )
    with gr.Row(elem_id="actions"):
        compare = gr.Button(words.COMPARE, variant="primary", scale=3, min_width=120, elem_id="compare")
        stop = gr.Button(words.STOP, scale=1, min_width=80, interactive=False, elem_id="stop")
    status, place = gr.HTML("", elem_id="status"), gr.HTML("", elem_id="place")
    about = gr.HTML(fragments.hint(METHODS[FIRST_METHOD].summary), elem_id="method-about")
    controls = Controls(METHODS)
    with gr.Accordion(words.ADVANCED, open=False, elem_id="advanced"):
        menu = [(words.PAPER_NONE, ""), *((preset.label, name) for name, preset in presets.PAPER.items())]
        paper = gr.Dropdown(menu, value="", label=words.PAPER_MENU, filterable=False, elem_id="paper")
        published = gr.HTML("", elem_id="published")
        controls.build(FIRST_METHOD, FIRST_RETENTION)
    with gr.Row(elem_id="limits-row"):
        gr.HTML(fragments.hint(words.limits(settings)), elem_id="limits")
        open_gif = gr.UploadButton(words.OPEN_GIF, file_types=OTHER_FILES, size="sm", scale=0, min_width=200, elem_id="open-gif")
    return Asked(
        video,
        part,
        offered,
        question,
        retention,
        method,
        controls,
        open_gif,
        paper,
        published,
        compare,
        stop,
        {"clip": video, "status": status, "place": place, "clip_notes": clip_notes, "about": about, "compare": compare, "stop": stop},
    )


def answer_column(start: Update) -> dict[str, gr.components.Component]:
    """The headline, and both answers under it."""
    pieces: dict[str, gr.components.Component] = {"origin": gr.HTML(start["origin"], elem_id="origin")}
    pieces["headline"] = gr.HTML(start["headline"], elem_id="headline")
    with gr.Row(elem_id="side-by-side", equal_height=True):
        pieces["answer_full"] = gr.HTML(start["answer_full"], elem_id="answer-full")
        pieces["answer_compressed"] = gr.HTML(start["answer_compressed"], elem_id="answer-compressed")
    with gr.Row(elem_id="difference-row"):
        pieces["difference"] = gr.HTML(start["difference"], elem_id="difference")
        pieces["ask_sound"] = gr.Button(words.SOUND_ASK, visible=start["sounded"], size="sm", scale=0, min_width=230, elem_id="ask-sound")
    return pieces


def kept_section(kept_line: str = "", shown: dict[str, Any] | None = None) -> tuple[dict[str, gr.components.Component], gr.HTML, gr.Column]:
    """What was kept, on the playing clip: its pieces, the invitation shown before there is anything, the views shown after.

    Args:
        kept_line, shown: what the line says and the lens shows to begin with.
    """
    empty = gr.HTML(fragments.hint(words.KEPT_EMPTY), visible=shown is None, elem_id="kept-empty")
    pieces: dict[str, gr.components.Component] = {}
    with gr.Column(visible=shown is not None, elem_id="kept-views") as views:
        with gr.Row(elem_id="kept-head"):
            with gr.Column(scale=3, min_width=260):
                gr.HTML(markup.subheading(words.KEPT))
                pieces["kept_line"] = gr.HTML(kept_line, elem_id="kept-line")
            pieces["over"] = gr.Dropdown(
                [*words.OVER_CHOICES, *((kind.label, name) for name, kind in METHODS.items())],
                value="",
                label=words.OVER,
                filterable=False,
                scale=2,
                min_width=260,
                elem_id="lens-over",
            )
        pieces["lens"] = component.lens(**(shown or {}))
    return pieces, empty, views


def follow_section(shown: bool = False) -> tuple[dict[str, gr.components.Component], gr.Column]:
    """Where to ask on, as a column shown once there is an answer."""
    pieces: dict[str, gr.components.Component] = {}
    with gr.Column(visible=shown, elem_id="follow") as follow:
        gr.HTML(markup.subheading(words.FOLLOW_UP, words.FOLLOW_UP_HINT))
        with gr.Row(equal_height=True, elem_id="follow-row"):
            pieces["follow_up"] = gr.Textbox(
                label=words.FOLLOW_UP,
                placeholder=words.FOLLOW_UP_EMPTY,
                show_label=False,
                container=False,
                lines=1,
                max_lines=4,
                scale=6,
                min_width=200,
                elem_id="follow-up",
            )
            pieces["ask_on"] = gr.Button(words.ASK_ON, scale=1, min_width=96, elem_id="ask-on")
            pieces["new_chat"] = gr.Button(words.NEW_CHAT, scale=1, min_width=96, elem_id="new-chat")
    return pieces, follow


def more_section() -> tuple[dict[str, gr.components.Component], gr.Column, gr.Accordion]:
    """What can be taken along, and the charts: a column shown once there is an answer, the charts within."""
    pieces: dict[str, gr.components.Component] = {}
    with gr.Column(visible=False, elem_id="more") as more:
        with gr.Row(elem_id="take"):
            with gr.Column(scale=1, min_width=300):
                gr.HTML(markup.subheading(words.VIDEO, words.VIDEO_HINT))
                pieces["make_video"] = gr.Button(words.MAKE_VIDEO, elem_id="make-video")
                pieces["video_status"] = gr.HTML("", elem_id="video-status")
                pieces["video"] = gr.Video(
                    visible=False, show_label=False, interactive=False, buttons=["download"], height=420, elem_id="kept-video"
                )
            with gr.Column(scale=1, min_width=300):
                gr.HTML(markup.subheading(words.DOWNLOADS, words.DOWNLOADS_HINT))
                with gr.Row():
                    pieces["report_json"] = gr.DownloadButton(words.REPORT_JSON, min_width=140, elem_id="report-json")
                    pieces["windows_csv"] = gr.DownloadButton(words.WINDOWS_CSV, min_width=140, elem_id="windows-csv")
        with gr.Accordion(words.CHARTS, open=False, elem_id="charts") as charts:
            gr.HTML(markup.subheading(words.TIME_CHART, words.TIME_CHART_HINT))
            pieces["chart"] = gr.Plot(show_label=False, container=False, elem_id="chart")
            gr.HTML(markup.subheading(wording.REASONS))
            pieces["reasons"] = gr.HTML("", elem_id="reasons")
    return pieces, more, charts
