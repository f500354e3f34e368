"""The line that says which model answers, and the choice of another: up while weights load."""

from __future__ import annotations

from typing import Any

import gradio as gr

from omnizip.report import formats, fragments

from . import markup, words
from .access import may_switch
from .model_host import ModelHost

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def model_bar(host: ModelHost, on_model: dict[str, Any]) -> None:
    """Place and wire it. A change waits in the queue of the model, behind comparisons, and is everybody's."""
    asking = {"queue": False, **QUIET}
    choices, free = host.choices(), may_switch(host.settings)
    with gr.Row(elem_id="model-row"):
        line = gr.HTML(describe_model(host), elem_id="conditions")
        choice = gr.Dropdown(
            [(words.model_name(name), name) for name in choices],
            value=host.state.name,
            label=words.MODEL,
            container=False,
            filterable=False,
            scale=0,
            min_width=250,
            visible=len(choices) > 1 and free,
            elem_id="model",
        )
    clock = gr.Timer(1.0, active=host.state.loading)

    def refresh():
        return describe_model(host), gr.update(active=host.state.loading), gr.update(value=host.state.name)

    def change(name):
        if not free:  # a request may name an event that the page does not show
            raise gr.Error(words.MODEL_FIXED, print_exception=False)
        if name not in choices:
            raise gr.Error(words.MODEL_OTHER, print_exception=False)
        host.load(name)
        return refresh()

    shown = [line, clock, choice]
    clock.tick(refresh, None, shown, **asking)
    choice.input(lambda: gr.update(active=True), None, clock, **asking)
    choice.input(change, choice, shown, **on_model, **QUIET)
    gr.context.Context.root_block.load(refresh, None, shown, **asking)


def describe_model(host: ModelHost) -> str:
    """The model with what every number depends on, how far it has been loaded, or why it cannot be."""
    state = host.state
    if state.problem:
        return markup.problem(f"{state.problem} {words.MODEL_OTHER}")
    if state.conditions is None:
        doing = words.MODEL_FETCHING if state.stage == "download" else words.MODEL_LOADING
        return markup.progress(doing.format(name=words.model_name(state.name)), state.fraction)
    free = host.free()
    room = [] if free is None else [words.MEMORY_FREE.format(size=formats.size(free))]
    return fragments.model_notice(state.conditions, *room) + (markup.problem(state.refused) if state.refused else "")
