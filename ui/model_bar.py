"""The line that says which model answers, and the choice of another: up while weights load."""

from __future__ import annotations

from typing import Any

import gradio as gr

from omnizip.report import formats, fragments

from . import markup, words
from .access import may_switch
from .model_host import EMBEDDED, ModelHost

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def model_bar(host: ModelHost, on_model: dict[str, Any]) -> None:
    """Place and wire it. A change waits in the queue of the model, behind comparisons, and is everybody's."""
    asking = {"queue": False, **QUIET}
    free = may_switch(host.settings)
    with gr.Row(elem_id="model-row"):
        line = gr.HTML(describe_model(host), elem_id="conditions")
        choice = gr.Dropdown(
            **_offered(host, free),
            value=host.state.name,
            label=words.MODEL,
            container=False,
            filterable=False,
            scale=0,
            min_width=250,
            elem_id="model",
        )
    clock = gr.Timer(1.0, active=host.state.loading)

    def refresh():
        return describe_model(host), gr.update(active=host.state.loading), gr.update(value=host.state.name, **_offered(host, free))

    def check(name):
        if not free:  # a request may name an event that the page does not show
            raise gr.Error(words.MODEL_FIXED, print_exception=False)
        if name not in _choices(host):
            raise gr.Error(words.MODEL_OTHER, print_exception=False)

    def hurry(name):
        """While one is on its way nobody answers, and who waits for it holds the model's place in the queue: exchange it at once."""
        check(name)
        if host.state.loading:
            host.start(name)
        return gr.update(active=True)

    def change(name):
        check(name)
        host.load(name)
        return refresh()

    shown = [line, clock, choice]
    clock.tick(refresh, None, shown, **asking)
    choice.input(hurry, choice, clock, **asking)
    choice.input(change, choice, shown, **on_model, **QUIET)
    gr.context.Context.root_block.load(refresh, None, shown, **asking)


def _choices(host: ModelHost) -> list[str]:
    """Models that may answer, as far as that is known: what finds room is not known before torch is there."""
    return host.choices() if host.knows_choices else [host.state.name]


def _offered(host: ModelHost, free: bool) -> dict[str, Any]:
    """What the choice of a model offers, and whether it is one; until that is known its place is kept."""
    names = _choices(host)
    return {"choices": [(words.model_name(name), name) for name in names], "visible": free and (len(names) > 1 or not host.knows_choices)}


def describe_model(host: ModelHost) -> str:
    """The model with what every number depends on, how far it has been loaded, or why it cannot be."""
    state = host.state
    if state.problem:
        return markup.problem(f"{state.problem} {words.MODEL_OTHER}")
    if state.conditions is None:
        doing = words.MODEL_FETCHING if state.stage == "download" else words.MODEL_LOADING
        notice = fragments.embedded_notice() if state.name == EMBEDDED else ""  # already, since what follows would move when it came
        return notice + markup.progress(doing.format(name=words.model_name(state.name)), state.fraction)
    free = host.free()
    room = [] if free is None else [words.MEMORY_FREE.format(size=formats.size(free))]
    room += [words.COPIES.format(n=host.at_once)] if host.at_once > 1 else []
    return fragments.model_notice(state.conditions, *room) + (markup.problem(state.refused) if state.refused else "")
