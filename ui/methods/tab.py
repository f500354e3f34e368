"""Several methods side by side on the page's clip and question: arrangement and wiring of one section."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import gradio as gr

from omnizip.engine import ComparisonEngine
from omnizip.errors import OmniZipError
from omnizip.report import fragments, wording

from .. import markup, part_strip, queueing, words
from ..columns import METHODS, Asked
from ..stops import PATIENCE_S, Stops
from . import chart as methods_chart
from . import view

FIRST = ("omnizip", "random", "fastv")
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def methods_tab(page: gr.Blocks, engine: ComparisonEngine, asked: Asked, on_model: dict[str, Any]) -> None:
    """Add the section where this is called. It asks about the clip and question of the left column, in the model's queue."""
    with gr.Accordion(words.METHODS_TAB, open=False, elem_id="methods"):
        gr.HTML(fragments.hint(words.METHODS_HINT))
        choices = [(kind.label, name) for name, kind in METHODS.items()]
        methods = gr.CheckboxGroup(choices, value=[name for name in FIRST if name in METHODS], label=words.METHOD, elem_id="methods-names")
        shares = gr.CheckboxGroup(list(words.PRESETS), value=[next(iter(words.PRESETS))], label=words.RETENTION, elem_id="methods-shares")
        with gr.Row():
            start = gr.Button(words.METHODS_RUN, variant="primary", scale=3, min_width=120, elem_id="methods-run")
            end = gr.Button(words.STOP, interactive=False, scale=1, min_width=80, elem_id="methods-stop")
        status, place = gr.HTML("", elem_id="methods-status"), gr.HTML("", elem_id="methods-place")
        table = gr.HTML("", elem_id="methods-table")
        with gr.Column(visible=False, elem_id="methods-views") as views:
            gr.HTML(markup.subheading(words.METHODS_CHART, words.METHODS_CHART_HINT))
            chart = gr.Plot(show_label=False, container=False, elem_id="methods-chart")
            gr.HTML(markup.subheading(words.METHODS_DIFFERENCE, words.METHODS_DIFFERENCE_HINT))
            with gr.Row():
                with gr.Column(scale=4, min_width=280):
                    a, b = (gr.Dropdown([], label=label, filterable=False, elem_id=f"methods-{label.lower()}") for label in "AB")
                    moment = gr.Slider(1, 2, value=1, step=1, label=words.METHODS_MOMENT, buttons=[], elem_id="methods-moment")
                with gr.Column(scale=7, min_width=280):
                    frame = gr.HTML("", elem_id="methods-frame")
        kept = gr.State(None, time_to_live=3600)
        clock = gr.Timer(queueing.LOOK_S, active=False)  # runs while the visitor waits in the queue
    pieces = (methods, shares, start, end, views, chart, a, b, moment, frame, kept, clock)
    _wire(page, engine, asked, on_model, {"status": status, "place": place, "table": table}, pieces)


def _wire(
    page: gr.Blocks, engine: ComparisonEngine, asked: Asked, on_model: dict[str, Any], texts: dict[str, gr.HTML], pieces: tuple[Any, ...]
) -> None:
    methods, shares, start, end, views, chart, a, b, moment, frame, kept, clock = pieces
    stops = Stops()

    def drawn(state: Any, first: Any, second: Any, step: float) -> str:
        if state is None or first is None or second is None:
            return ""
        try:
            return view.difference(engine, state[0], state[1], int(first), int(second), int(step) - 1)
        except OmniZipError as problem:
            return markup.problem(str(problem))

    def on_run(request: gr.Request, path, question, part, names, chosen) -> Iterator[dict[Any, Any]]:
        with stops.run(request.session_hash or "", path) as wish:
            yield {clock: gr.update(active=False)}
            for update in view.run(engine, path, question, names, chosen, wish.is_set, part_strip.read(part, path)):
                runs = update.pop("runs", None)
                if runs is None:
                    yield {texts[name]: value for name, value in update.items()}
                    continue
                listed = [(wording.run_name(run), number) for number, run in enumerate(runs)]
                state, steps, pair = (update.pop("clip"), runs), runs[0].compression.grid[0], view.pair(runs)
                step = 1 + view.most_different_step(*(runs[number] for number in pair))
                yield {
                    **{texts[name]: value for name, value in update.items()},
                    kept: state,
                    chart: methods_chart.pareto(runs),
                    a: gr.update(choices=listed, value=pair[0]),
                    b: gr.update(choices=listed, value=pair[1]),
                    moment: gr.update(maximum=max(2, steps), value=step, interactive=steps > 1),
                    frame: drawn(state, *pair, step),
                    views: gr.update(visible=True),
                }

    def set_busy(running: bool) -> dict[Any, Any]:
        return {start: gr.update(interactive=not running), end: gr.update(interactive=running), clock: gr.update(active=False)}

    def on_start(request: gr.Request):
        stops.begin(request.session_hash or "")
        return {
            views: gr.update(visible=False),
            texts["table"]: "",
            texts["status"]: markup.waiting(),
            texts["place"]: "",
            **set_busy(True),
            clock: gr.update(active=True),
            **cut.disarmed(),
        }

    def on_failure(request: gr.Request):
        wished = stops.wished(request.session_hash or "")
        return set_busy(False) if wished else {texts["status"]: markup.problem(words.METHODS_FAILED), **set_busy(False)}

    def on_stopped():
        return {texts["status"]: markup.done(words.STOPPED), **set_busy(False)}

    def on_leave(request: gr.Request):
        stops.leave(request.session_hash or "")

    cut = queueing.CutOff(end, partial(stops.stop, patience_s=PATIENCE_S), stops.wished)
    outputs = [*texts.values(), views, chart, a, b, moment, frame, kept, clock, start, end]
    inputs = [asked.video, asked.question, asked.part, methods, shares]
    run = start.click(on_start, None, [*outputs, cut.timer], queue=False, **QUIET).then(on_run, inputs, outputs, **on_model, **QUIET)
    run.success(lambda: set_busy(False), None, outputs, queue=False, **QUIET)
    run.failure(on_failure, None, outputs, queue=False, **QUIET)
    cut.wire([run], on_stopped, outputs, **QUIET)
    queueing.show_place(page, clock, texts["place"], on_model["concurrency_id"], stops.wished, **QUIET)
    page.unload(on_leave)
    gr.on(
        [a.input, b.input, moment.change],
        drawn,
        [kept, a, b, moment],
        frame,
        trigger_mode="always_last",
        concurrency_id="drawing",
        concurrency_limit=2,
        **QUIET,
    )
