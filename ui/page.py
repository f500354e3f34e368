"""The page: arrangement and wiring only. What is shown comes from handlers.py, decisions.py and files.py, what it says from words.py.

`build_page(engine)` returns the Blocks; `launch_options(settings)` what they are launched with. No request leaves the page:
fonts are the system's, analytics and the browser-side history of runs are off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr  # noqa: E402

from omnizip.assets import asset  # noqa: E402
from omnizip.engine import ComparisonEngine  # noqa: E402
from omnizip.errors import OmniZipError  # noqa: E402
from omnizip.media import tracks  # noqa: E402
from omnizip.report import fragments, languages, wording  # noqa: E402
from omnizip.settings import Settings  # noqa: E402

from . import decisions, endpoints, files, first_look, handlers, links, markup, part_strip, presets, queueing, sound_change, words  # noqa: E402
from .access import access_options, address  # noqa: E402
from .call_door import call_doors  # noqa: E402
from .chat import Update, empty_page  # noqa: E402
from .columns import METHODS, Asked, answer_column, ask_column, follow_section, kept_section, more_section  # noqa: E402
from .examples import examples_of, folder_of  # noqa: E402
from .gate import Door  # noqa: E402
from .kept_looks import KeptLooks  # noqa: E402
from .lens import component  # noqa: E402
from .lens import view as lens_view
from .methods.tab import methods_tab  # noqa: E402
from .model_bar import model_bar  # noqa: E402
from .model_host import ModelHost  # noqa: E402
from .openai_door import openai_doors  # noqa: E402
from .openai_routes import offer, openai_routes  # noqa: E402
from .stops import PATIENCE_S, Stops  # noqa: E402
from .theme import page_theme  # noqa: E402

if TYPE_CHECKING:
    from omnizip.engine import Engine

LINE = "model"  # the queue of whatever has the model answer
IDLE = {"busy": False, "waiting": False}
QUIET = {"show_progress": "hidden", "api_visibility": "private"}


def launch_options(settings: Settings, door: Door | None = None) -> dict[str, Any]:
    """What `build_page(...).launch()` takes: calm neutrals, one blue accent, the system's fonts, nothing kept or sent.

    Args:
        door: shut by whoever stops the server.

    Raises OmniZipError in one sentence for settings that do not go together.
    """
    access = access_options(settings, door or Door(), queueing.waiting)
    access["app_kwargs"]["middleware"][:0] = openai_doors(settings)
    access["app_kwargs"]["middleware"] += call_doors(settings)
    access["app_kwargs"]["routes"] = openai_routes(settings)
    return {
        "server_name": address(settings),
        "server_port": settings.port,
        "theme": page_theme(),
        "head": f"<script>{languages.script()}</script>",
        "css_paths": [asset("style.css"), asset("lens/lens.css"), asset("methods.css")],
        "max_file_size": int(settings.max_file_mb * 1_000_000),
        "state_session_capacity": settings.open_pages,
        "run_history": False,
        "footer_links": [],
        "enable_monitoring": False,
        "_frontend": False,  # gradio would ask the page for itself once, and call a busy machine's three seconds an unreachable address
        "show_error": False,  # sentences are gr.Error and shown all the same; what nobody expected may name paths of the server
        **access,
    }


def build_page(engine: Engine | ModelHost, stops: Stops | None = None) -> gr.Blocks:
    """Arrange the page around a loaded engine, or around one that is still to come; `stops` ends the runs of all visitors."""
    engine = engine if isinstance(engine, ModelHost) else ModelHost.of(engine)
    start, look = empty_page(), first_look.first_look(engine.settings)
    first, shown_first = None, None
    if look is not None:
        first = look[0]
        start |= look[1]
        shown_first = first_look.lens(engine.settings, start)
    # served from where they lie: thumbnails, and no copy for every visitor
    gr.set_static_paths([folder_of(examples_of(engine.settings)), *languages.files()])
    keep_s, on_model = engine.settings.keep_files_s, {"concurrency_id": LINE, "concurrency_limit": engine.at_once}
    with gr.Blocks(title=wording.TITLE, fill_width=True, delete_cache=(keep_s, keep_s), analytics_enabled=False, elem_id="page") as page:
        gr.HTML(markup.masthead(), elem_id="masthead")
        model_bar(engine, on_model)
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=5, min_width=320, elem_id="ask"):
                asked = ask_column(engine.settings, first, start["clip_notes"])
            with gr.Column(scale=8, min_width=320, elem_id="answers"):
                gr.HTML(markup.first_hints(), js_on_load=asset("hints.js").read_text("utf-8"), apply_default_css=False, elem_id="hints")
                answered = answer_column(start)
                shown, empty, views = kept_section(start.get("kept_line", ""), shown_first)
                asking_on, follow = follow_section(look is not None)
                costs = {"costs": gr.HTML(start["costs"], elem_id="costs")}
                taken, more, charts = more_section()
        states = {name: gr.State(start[name], time_to_live=keep_s) for name in ("chat", "kept")}
        clock = gr.Timer(queueing.LOOK_S, active=False)
        by_name = {**states, **asked.pieces, **answered, **shown, **asking_on, **costs, **taken}
        pieces = _Pieces(by_name, (views, follow, more), empty, clock)
        stops = stops or Stops()
        answers = _wire_answers(page, engine, asked, pieces, stops, KeptLooks(), on_model)
        _wire_charts(engine, pieces, charts, [*answers, *_wire_lens(engine, asked, pieces, answers)])
        _wire_choices(engine, asked, pieces)
        methods_tab(page, engine, asked, on_model)
        endpoints.register(page, engine, stops, on_model)
        offer(page, engine, stops, on_model)
    page.queue(max_size=engine.settings.queue_size, default_concurrency_limit=1, api_open=False)  # nobody goes past the queue
    return page


@dataclass
class _Pieces:
    """The page's components by the names handlers use for them."""

    by_name: dict[str, gr.components.Component]
    views: tuple[gr.Column, ...]  # what was kept, where to ask on, what to take along; shown once there is an answer
    empty: gr.HTML  # in their place before
    clock: gr.Timer  # runs while the visitor waits in the queue

    @property
    def outputs(self) -> list[Any]:
        return [*self.by_name.values(), *self.views, self.empty, self.clock]

    def __getitem__(self, name: str) -> gr.components.Component:
        return self.by_name[name]

    def place(self, update: Update) -> dict[Any, Any]:
        """A handler's update as gradio takes it."""
        placed: dict[Any, Any] = {}
        for name, value in update.items():
            if name == "talking":
                placed |= {self.empty: gr.update(visible=not value), **{view: gr.update(visible=value) for view in self.views}}
            elif name == "waiting":
                placed[self.clock] = gr.update(active=value)
            elif name == "busy":
                placed |= {self["compare"]: gr.update(interactive=not value), self["ask_on"]: gr.update(interactive=not value)}
                placed[self["ask_sound"]] = gr.update(interactive=not value)
                placed[self["stop"]] = gr.update(interactive=value)
            elif name == "sounded":
                placed[self["ask_sound"]] = gr.update(visible=value)
            elif name == "video":
                placed[self[name]] = gr.update(value=value, visible=value is not None)
            else:
                placed[self[name]] = value
        return placed


def _wire_answers(
    page: gr.Blocks, engine: ModelHost, asked: Asked, pieces: _Pieces, stops: Stops, looks: KeptLooks, on_model: dict[str, Any]
) -> list[Any]:
    """Compare, ask on, stop, begin anew. Returns the events that end with an answer."""

    def show_run(request: gr.Request, path: str | None, updates: Any) -> Iterator[dict[Any, Any]]:
        """Pass a run's updates on; the buttons are free again however it ends, and a closed tab frees the model."""
        with stops.run(request.session_hash or "", path) as wish:
            # the news of an upload may have come after the click, and freed the buttons
            yield pieces.place({"busy": True, "waiting": False})
            busy = True
            for update in updates(wish):
                if wish.abandoned:
                    return
                yield pieces.place(update)
                busy = update.get("busy", busy)
        if stops.closing:
            yield pieces.place({**IDLE, "status": markup.problem(words.SERVER_STOPS)})
        elif busy:
            yield pieces.place({"busy": False})

    def on_compare(request: gr.Request, path, question, part, method, retention, *values):
        options = asked.controls.options(method, values)

        def updates(flag):
            for update in handlers.compare(engine, path, question, method, retention, options, flag, part_strip.read(part, path)):
                yield update
                if update.get("chat") is not None:
                    looks.keep(engine, update["chat"])  # the answer is shown by now

        yield from show_run(request, path, updates)

    def on_ask(request: gr.Request, chat, question):
        yield from show_run(request, chat and chat.path, lambda flag: handlers.ask_on(engine, chat, question, flag))

    def on_sound(request: gr.Request, chat):
        yield from show_run(request, chat and chat.path, lambda flag: sound_change.compare(engine, chat, flag))

    def on_busy(request: gr.Request):
        stops.begin(request.session_hash or "")
        placed = pieces.place({"busy": True, "waiting": True, "status": markup.waiting(), "place": ""})
        return placed | cuts[0].disarmed() | cuts[1].disarmed()

    def on_failure(request: gr.Request):
        wished = stops.wished(request.session_hash or "")  # then the page already says what it has to
        return pieces.place(IDLE if wished else {**IDLE, "status": markup.problem(words.RUN_FAILED)})

    def on_stopped():
        return pieces.place({**IDLE, "status": markup.done(words.STOPPED)})

    def on_new():
        return pieces.place({**empty_page(), **IDLE})

    def on_clip(request: gr.Request, chat, path):
        """Another clip, another conversation. Not so if Compare was pressed on this clip before the news of it came."""
        if stops.turn_to(request.session_hash or "", path) or (path and chat and chat.path == path):
            return gr.skip()
        return pieces.place({**empty_page(), "busy": False})  # who waits by then is told so again by the clock

    def on_leave(request: gr.Request):
        stops.leave(request.session_hash or "")

    patiently = partial(stops.stop, patience_s=PATIENCE_S)
    cuts = queueing.CutOff(asked.stop, patiently, stops.wished), queueing.CutOff(pieces["new_chat"], stops.stop, stops.wished)
    busy = {"fn": on_busy, "outputs": [*pieces.outputs, *(cut.timer for cut in cuts)], "queue": False, **QUIET}
    failed = {"fn": on_failure, "outputs": pieces.outputs, "queue": False, **QUIET}
    followed = _wire_link(page, engine, asked, pieces, looks)
    compare = gr.on([asked.compare.click, asked.question.submit, followed.change], **busy).then(
        on_compare, [asked.video, asked.question, asked.part, *asked.choices], pieces.outputs, **on_model, **QUIET
    )
    ask = gr.on([pieces["ask_on"].click, pieces["follow_up"].submit], **busy).then(
        on_ask, [pieces["chat"], pieces["follow_up"]], pieces.outputs, **on_model, **QUIET
    )
    sound = pieces["ask_sound"].click(**busy).then(on_sound, pieces["chat"], pieces.outputs, **on_model, **QUIET)
    for run in (compare, ask, sound):
        run.failure(**failed)
    for cut, after in zip(cuts, (on_stopped, on_new), strict=True):
        cut.wire([compare, ask, sound], after, pieces.outputs, **QUIET)
    pieces["new_chat"].click(on_new, None, pieces.outputs, queue=False, **QUIET)  # at once, and again when a run is cut off
    asked.video.change(on_clip, [pieces["chat"], asked.video], pieces.outputs, queue=False, **QUIET)
    queueing.show_place(page, pieces.clock, pieces["place"], LINE, stops.wished, **QUIET)
    page.unload(on_leave)
    return [compare, ask]


def _wire_choices(engine: ComparisonEngine, asked: Asked, pieces: _Pieces) -> None:
    """What a choice opens and hides, an example, a gif, and the overlay video."""
    controls = asked.controls

    def on_method(method, retention):
        return [fragments.hint(METHODS[method].summary), *controls.visibility(method, retention)]

    def on_gif(path):
        for update in files.open_gif(engine, path):
            if notice := update.pop("notice", None):
                gr.Info(notice)  # the status is wiped when the clip has changed
            yield pieces.place(update)

    def on_video(kept):
        for update in files.make_video(engine, kept):
            yield pieces.place(update)

    def on_tracks(path):
        """What the clip offers to choose from; one that cannot be read says so when it is asked about."""
        if not path:
            return gr.update(value="", offer=None)
        try:
            found = tracks(path, engine.settings)
        except OmniZipError:
            found = None
        return gr.update(offer=part_strip.offer(path, found))

    asked.video.change(on_tracks, asked.video, asked.part, queue=False, **QUIET)
    offered = examples_of(engine.settings)

    def on_example(event: gr.EventData):
        number = getattr(event, "example", None)
        if type(number) is not int or not 0 <= number < len(offered):
            return gr.skip(), gr.skip()
        return str(offered[number].path), offered[number].question

    asked.examples.select(on_example, None, [asked.video, asked.question], queue=False, **QUIET)
    asked.open_gif.upload(on_gif, asked.open_gif, pieces.outputs, concurrency_id="drawing", concurrency_limit=2, **QUIET)

    def on_paper(name):
        if name not in presets.PAPER:
            return {asked.published: ""}
        settings = zip(controls.components, controls.updates(presets.METHOD, presets.options_of(name)), strict=True)
        published = fragments.hint(words.PAPER_PUBLISHED.format(figures=presets.PAPER[name].published))
        return {asked.published: published, asked.method: presets.METHOD, asked.retention: words.CUSTOM, **dict(settings)}

    asked.paper.input(on_paper, asked.paper, [asked.published, *asked.choices], queue=False, **QUIET)
    by_hand = [asked.method.input, asked.retention.input, *(control.input for control in controls.components)]
    gr.on(by_hand, None, None, [asked.paper, asked.published], js="() => ['', '']", queue=False, **QUIET)
    gr.on(
        [asked.method.change, asked.retention.change],
        on_method,
        [asked.method, asked.retention],
        [pieces["about"], *controls.groups],
        queue=False,
        **QUIET,
    )
    pieces["make_video"].click(on_video, pieces["kept"], pieces.outputs, concurrency_id="video", concurrency_limit=1, **QUIET)


def _wire_lens(engine: ComparisonEngine, asked: Asked, pieces: _Pieces, answers: list[Any]) -> list[Any]:
    """The lens: clip and decision after an answer, decisions alone while choices change. Returns the latter's events."""
    shown = [pieces[name] for name in ("kept", "kept_line", "video", "status")]

    def on_answer(chat, kept, over, method, retention, *values):
        if chat is None or kept is None:
            return gr.skip()
        try:
            options = asked.controls.options(method, values)
            update = decisions.redraw(engine, chat, chat.path, method, retention, options)
            maps = lens_view.maps(engine, chat, update.get("kept", kept), method, retention, options, over)
            # the line too: a preview of the clip's earlier answer may have come to the page after this answer
            return {**pieces.place(update), pieces["lens"]: component.update(lens_view.clip(engine, chat), maps)}
        except OmniZipError as problem:
            return {pieces["status"]: markup.problem(str(problem))}

    def on_choice(chat, over, method, retention, *values):
        options = asked.controls.options(method, values)
        update = decisions.redraw(engine, chat, chat and chat.path, method, retention, options)
        if "kept" not in update:
            return pieces.place(update) or gr.skip()
        try:
            maps = lens_view.maps(engine, chat, update["kept"], method, retention, options, over)
            return {**pieces.place(update), pieces["lens"]: component.update(None, maps)}
        except OmniZipError as problem:
            return {pieces["status"]: markup.problem(str(problem))}

    # another clip ends the chat, so the chat's clip is the one shown
    for answer in answers:
        answer.success(
            on_answer,
            [pieces["chat"], pieces["kept"], pieces["over"], *asked.choices],
            [pieces["lens"], *shown],
            concurrency_id="lens",
            concurrency_limit=2,
            **QUIET,
        )
    chosen = gr.on(
        [choice.change for choice in (pieces["over"], *asked.choices)],
        on_choice,
        [pieces["chat"], pieces["over"], *asked.choices],
        [pieces["lens"], *shown],
        trigger_mode="always_last",
        queue=False,
        **QUIET,
    )
    return [chosen]


def _wire_charts(engine: ComparisonEngine, pieces: _Pieces, charts: gr.Accordion, events: list[Any]) -> None:
    """Charts are drawn when they are unfolded, and while they are, after every one of `events`."""
    unfolded = gr.State(False)
    outputs = [pieces[name] for name in ("chart", "reasons", "status")]
    drawing = {"trigger_mode": "always_last", "concurrency_id": "drawing", "concurrency_limit": 2, **QUIET}

    def on_unfold(kept):
        return {unfolded: True, **pieces.place(decisions.draw_charts(engine, kept))}

    def on_event(looked_at, kept):
        return (looked_at and pieces.place(decisions.draw_charts(engine, kept))) or gr.skip()

    charts.expand(on_unfold, pieces["kept"], [unfolded, *outputs], **drawing)
    charts.collapse(lambda: False, None, unfolded, queue=False, **QUIET)
    for event in events:
        event.then(on_event, [unfolded, pieces["kept"]], outputs, **drawing)


def _wire_link(page: gr.Blocks, engine: ModelHost, asked: Asked, pieces: _Pieces, looks: KeptLooks) -> gr.Textbox:
    """A link that is followed puts example, question and settings in place; the unseen text it changes then presses Compare."""
    followed = gr.Textbox(visible="hidden", elem_id="followed")
    outputs = list(dict.fromkeys([followed, asked.question, asked.part, *pieces.outputs, *asked.choices]))

    def on_load(request: gr.Request):
        try:
            view = links.read(dict(request.query_params), examples_of(engine.settings))
        except OmniZipError as problem:
            return {pieces["status"]: markup.problem(str(problem))}
        if view is None:
            if found := looks.shown(engine):
                example, look, lens = found
                placed = {**pieces.place({**empty_page(), **look, "talking": True}), pieces["lens"]: component.update(**lens)}
                return placed | {asked.video: str(example.path), asked.question: example.question}
            # what was computed earlier is the embedded model's, and by now another may answer
            return gr.skip() if engine.state.name == engine.settings.model else {**pieces.place(empty_page()), asked.video: None}
        placed = {followed: str(request.query_params), asked.video: str(view.path), asked.question: view.question}
        placed[asked.part] = part_strip.written(view.part, str(view.path))
        placed |= {pieces["over"]: view.over, asked.method: view.method, asked.retention: view.retention}
        return placed | dict(zip(asked.controls.components, asked.controls.updates(view.method, view.options), strict=True))

    page.load(on_load, None, outputs, queue=False, **QUIET)
    return followed
