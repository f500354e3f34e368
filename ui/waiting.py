"""How many come before a visitor who waits for the model. Gradio tells browsers a rank in its own words; the page has its own."""

from __future__ import annotations

import gradio as gr


def before(page: gr.Blocks, visitor: str, line: str) -> int | None:
    """Runs that end or start before the visitor's, in the queue of `line`; None for one who does not wait there.

    Args:
        visitor: session hash of a browser's tab.
        line: the concurrency_id of the events.
    """
    queue = page._queue.event_queue_per_concurrency_id.get(line)
    if queue is None:
        return None
    places = [place for place, event in enumerate(queue.queue) if event.session_hash == visitor]
    return places[0] + queue.current_concurrency if places else None
