"""Answers that nobody collects: dropped after a while, or when there are many; who asks for one that is not there is told so.

Gradio keeps the messages of an event until somebody listens to its session, and for ever where nobody does. It also leaves one who
listens to a session it does not know with half a response.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import get_route_path

from . import words
from .gate import CALL, JOIN, LISTEN, Application, Scope

KEPT_S, MOST = 300.0, 64  # how long an answer waits to be collected, and how many do
LOOK_S = 15.0  # how often they are looked at, while there are any


class Uncollected:
    """Passes requests on, and keeps gradio's queue from holding what nobody collects."""

    def __init__(self, app: Application, clock: Callable[[], float] = monotonic) -> None:
        self._app, self._clock = app, clock
        self._since: dict[tuple[str, str], float] = {}  # (session, event) that has ended: when that was seen first
        self._listening: Counter[str] = Counter()  # requests that listen to a session
        self._looks = False  # whether a look is to come

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass on; answer who asks for what is not there."""
        path = get_route_path(scope).rstrip("/") if scope["type"] == "http" else ""
        if not path.startswith((JOIN, CALL, LISTEN)):
            await self._app(scope, receive, send)
            return
        queue = scope["app"].get_blocks()._queue
        if scope["method"] == "POST":
            try:
                await self._app(scope, receive, send)
            finally:
                self._look(queue)
            return
        event = path.rpartition("/")[2] if path.startswith(CALL) else None
        session = Request(scope).query_params.get("session_hash", "") if event is None else _session_of(queue, event)
        if session is None or session not in queue.pending_messages_per_session:
            await (_stream() if event is None else JSONResponse({"detail": sentence()}, 404))(scope, receive, send)
            return
        self._listening[session] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._listening[session] -= 1
            if not self._listening[session]:
                del self._listening[session]
            self._look(queue)

    def _look(self, queue: Any) -> None:
        """Drop what has waited too long, and the oldest of too many; in the server's loop, as all that gradio does with its queue."""
        now = self._clock()
        pending = queue.pending_event_ids_session
        ended = [(session, event) for session, events in pending.items() for event in events if event not in queue.event_ids_to_events]
        seen = {waits: self._since.get(waits, now) for waits in ended}
        self._since = dict(sorted(seen.items(), key=lambda item: item[1]))
        unheard = [waits for waits in self._since if waits[0] not in self._listening]
        many = set(unheard[: max(0, len(unheard) - MOST)])
        for waits in [waits for waits, since in self._since.items() if now - since > KEPT_S or waits in many]:
            del self._since[waits]
            _drop(queue, *waits)
        for session in [session for session, events in pending.items() if not events and session not in self._listening]:
            del pending[session]
            queue.pending_messages_per_session.pop(session, None)
        if pending and not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(LOOK_S, self._look_again, queue)

    def _look_again(self, queue: Any) -> None:
        self._looks = False
        if not queue.stopped:
            self._look(queue)


def sentence() -> str:
    """What somebody hears who asks for an answer that is not there."""
    return words.ANSWER_GONE.format(kept=words.span(KEPT_S), most=MOST)


def _session_of(queue: Any, event: str) -> str | None:
    """The session whose messages tell of an event, as gradio finds it; None for an event that is unknown, or told already."""
    if event in queue.event_ids_to_events:
        return queue.event_ids_to_events[event].session_hash
    return next((session for session, events in queue.pending_event_ids_session.items() if event in events), None)


def _drop(queue: Any, session: str, event: str) -> None:
    """Forget an event that has ended, and all messages that tell of it; those of other events stay in their order."""
    queue.pending_event_ids_session.get(session, set()).discard(event)
    messages = queue.pending_messages_per_session.get(session)
    if messages is None:
        return
    for _ in range(messages.qsize()):
        message = messages.get_nowait()
        if message.event_id != event:
            messages.put_nowait(message)


def _stream() -> Response:
    """What a listener hears of a session that is not there: an event that failed, and the end, as gradio's clients take them."""
    told = ({"msg": "process_completed", "event_id": None, "output": {"error": sentence()}, "success": False}, {"msg": "close_stream"})
    lines = (json.dumps(message, separators=(",", ":")) for message in told)
    return Response("".join(f"data: {line}\n\n" for line in lines), media_type="text/event-stream")
