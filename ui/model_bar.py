"""The line that says which model answers, and the choice of another: up while weights load."""

from __future__ import annotations

from typing import Any

import gradio as gr

from omnizip.report import formats, fragments

from . import markup, words
from .model_host import Serving

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def model_bar(serving: Serving, on_model: dict[str, Any]) -> None:
    """Place and wire it. A change waits in the queue of the model, behind comparisons, and is everybody's."""
    asking = {"queue": False, **QUIET}
    line = gr.HTML(told(serving), elem_id="conditions")
    choices = serving.choices()
    choice = gr.Dropdown(
        [(words.model_name(name), name) for name in choices],
        value=serving.state.name,
        label=words.MODEL,
        info=words.MODEL_HINT,
        filterable=False,
        visible=len(choices) > 1,
        elem_id="model",
    )
    clock = gr.Timer(1.0, active=serving.state.loading)

    def now():
        return told(serving), gr.update(active=serving.state.loading), gr.update(value=serving.state.name)

    def change(name):
        serving.load(name)
        return now()

    shown = [line, clock, choice]
    clock.tick(now, None, shown, **asking)
    choice.input(lambda: gr.update(active=True), None, clock, **asking)
    choice.input(change, choice, shown, **on_model, **QUIET)
    gr.context.Context.root_block.load(now, None, shown, **asking)


def told(serving: Serving) -> str:
    """The model with what every number depends on, how far it has been loaded, or why it cannot be."""
    state = serving.state
    if state.problem:
        return markup.problem(f"{state.problem} {words.MODEL_OTHER}")
    if state.conditions is None:
        return markup.progress(words.MODEL_LOADING.format(name=words.model_name(state.name)), state.fraction)
    free = serving.free()
    room = [] if free is None else [words.MEMORY_FREE.format(size=formats.size(free))]
    return fragments.model_notice(state.conditions, *room)
