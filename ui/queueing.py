"""Waiting for the model, and giving up. Gradio tells browsers a rank in its own words; the page has its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from omnizip.report import fragments

from . import words

LOOK_S = 1.0  # how often a waiting visitor is told how many come before
CUT_S = 1.0  # from a stopped run to the cut: longer than an answer of a loaded server takes; gradio stumbles over a second cut


def runs_ahead(page: gr.Blocks, visitor: str, line: str) -> int | None:
    """Runs that have to end or start before the visitor's, in the queue of `line`; None for one who does not wait there.

    Args:
        visitor: session hash of a browser's tab.
        line: the concurrency_id of the events.
    """
    queue = page._queue.event_queue_per_concurrency_id.get(line)
    if queue is None:
        return None
    places = [place for place, event in enumerate(queue.queue) if event.session_hash == visitor]
    if not places:
        return None
    together = queue.concurrency_limit or 1
    return places[0] + max(0, queue.current_concurrency - together + 1)


def waiting(app: Any, theirs: Callable[[Any], bool]) -> int:
    """Requests that wait in any queue of a launched app, of those whose scope `theirs` says yes to."""
    queues = app.get_blocks()._queue.event_queue_per_concurrency_id.values()
    return sum(1 for queue in queues for event in list(queue.queue) if theirs(event.request.scope))


def has_left(page: gr.Blocks, visitor: str) -> bool:
    """Whether nobody listens any more to a run of the visitor's that goes on; `visitor` is a session hash."""
    jobs = [job for running in page._queue.active_jobs if running for job in running]
    return any(job.session_hash == visitor and not job.alive for job in jobs)


def show_place(
    page: gr.Blocks, clock: gr.Timer, place: gr.HTML, line: str, given_up: Callable[[str], bool] = lambda visitor: False, **quiet: Any
) -> None:
    """While `clock` runs, `place` says how many come before the visitor in the queue of `line`.

    A look's answer may reach the browser after news that is younger. So the place has a piece of its own, and the stylesheet
    shows it only while the status is `markup.waiting()`: what comes late is not seen.

    Args:
        given_up: whether the visitor has wished to stop; between the wish and the cut nothing is said.
    """

    def on_look(request: gr.Request):
        visitor = request.session_hash or ""
        ahead = None if given_up(visitor) else runs_ahead(page, visitor, line)
        return gr.skip() if ahead is None else fragments.hint(words.place(ahead))

    clock.tick(on_look, None, place, queue=False, **quiet)


class CutOff:
    """Cuts off a visitor's runs that do not end by themselves, a moment after a button has asked for it.

    A run that the visitor begins meanwhile is spared: whatever begins one has to disarm the cut, see `disarmed`.
    """

    def __init__(self, button: gr.Button, stop: Callable[[str], bool], given_up: Callable[[str], bool]) -> None:
        """Prepare the cut that a click on `button` arms.

        Args:
            stop: takes the session hash of the tab; returns when the run has ended or has had its time, and whether it has ended.
            given_up: whether the visitor still wishes to stop, by session hash.
        """
        self._button, self._stop, self._given_up = button, stop, given_up
        # gradio forgets the cancels of an event that comes after another, so that a timer's only tick has to carry them
        self.timer = gr.Timer(CUT_S, active=False)

    def disarmed(self) -> dict[Any, Any]:
        """The update by which a run that begins keeps an earlier wish from cutting it off."""
        return {self.timer: gr.Timer(active=False)}

    def wire(self, runs: Sequence[Any], stopped: Callable[[], dict[Any, Any]], outputs: Sequence[Any], **quiet: Any) -> None:
        """Lay the events.

        Args:
            runs: events of the model's queue.
            stopped: what the page shows once they are cut off, among `outputs`.
            quiet: how gradio is to treat the events.
        """

        def clicked(request: gr.Request):
            return gr.Timer(active=not self._stop(request.session_hash or ""))

        def told(request: gr.Request):
            return stopped() if self._given_up(request.session_hash or "") else gr.skip()

        self._button.click(clicked, None, self.timer, queue=False, **quiet)
        # the browser ends the timer itself: were the server's answer waited for, a loaded one would let it tick and cut twice
        self.timer.tick(None, None, self.timer, js="() => ({__type__: 'update', active: false})", **quiet)
        self.timer.tick(None, None, None, cancels=list(runs))
        self.timer.tick(told, None, list(outputs), queue=False, **quiet)
