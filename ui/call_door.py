"""Before a call, or an event of the page, waits in the queue: whether it is one, what it says and names, and whether there is room.

Gradio sees to most of this when the turn has come, and in words of its own. Its Python client passes on no sentence of a join that is
refused; so the arguments of such calls are looked at in their turn alone, by endpoints.py, and those of plain HTTP here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import get_route_path

from omnizip.errors import OmniZipError
from omnizip.settings import Settings

from . import words
from .arguments import CALLS, check_call, may_name
from .gate import CALL, JOIN, RUN, Application, Scope
from .reworded import Reworded
from .uncollected import Uncollected

BY_NAME = f"{CALL}v2/"


def call_doors(settings: Settings) -> list[Middleware]:
    """What stands before gradio's own routes for calls and events, and behind the limits of limits.py."""
    return [Middleware(CallDoor, settings=settings), Middleware(Uncollected)]


class CallDoor:
    """Answers what cannot be done with a sentence, before it waits; passes the rest on."""

    def __init__(self, app: Application, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass on, or answer 400, 404 or 429."""
        path = get_route_path(scope).rstrip("/") if scope["type"] == "http" and scope["method"] == "POST" else ""
        if not path.startswith((JOIN, CALL, RUN)):
            await self._app(scope, receive, send)
            return
        page = scope["app"].get_blocks()
        if not path.startswith(RUN) and is_full(page._queue):
            await full(page._queue)(scope, receive, send)
            return
        text = await _read(receive)
        if text is None:
            return  # the client has left
        body = _object(scope, text)
        if body is None:
            await _refusal(words.REQUEST_KIND)(scope, receive, send)
            return
        refusal = await run_in_threadpool(self._refusal_of, page, path, body)  # it looks at the disk
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        read = False

        async def again() -> dict[str, Any]:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": text, "more_body": False}

        await self._app(scope, again, Reworded(scope, receive, send, partial(_worded, page._queue)))

    def _refusal_of(self, page: Any, path: str, body: dict[str, Any]) -> Response | None:
        """What is wrong with a request, None for nothing."""
        name, number = path.rpartition("/")[2], body.get("fn_index")
        if path == JOIN and (type(number) is not int or number not in page.fns):
            return _field("fn_index", words.REQUEST_EVENT)
        if path == JOIN and not (isinstance(body.get("session_hash"), str) and body["session_hash"]):
            return _field("session_hash", words.REQUEST_SESSION)
        if path.startswith(CALL) and name not in CALLS:
            return _refusal(words.CALL_NONE.format(name=f"/{name}", names=", ".join(f"/{call}" for call in CALLS)), 404)
        if not path.startswith(BY_NAME) and not isinstance(body.get("data"), list):
            return _field("data", words.REQUEST_DATA)
        try:
            if path.startswith(CALL):
                function = next(event.fn for event in page.fns.values() if event.api_name == name)
                given = {key: value for key, value in body.items() if key != "oauth_token"} if path.startswith(BY_NAME) else body["data"]
                check_call(name, function, given, self._settings)
            elif path == JOIN and page.fns[number].api_name in CALLS:
                return None
            elif not all(may_name(named, self._settings) for named in _files(body["data"])):
                return _refusal(words.NOT_UPLOADED)
        except OmniZipError as problem:
            return _refusal(str(problem))
        return None


def _worded(queue: Any, start: dict[str, Any], body: bytes) -> Response | None:
    """A refusal of gradio's in our words, None where it has a sentence. Many may join at once, so one may find no room after all."""
    if start["status"] == 503:
        return _refusal(words.SERVER_STOPS, 503) if queue.stopped else full(queue)
    try:
        (first, *_) = json.loads(body)["detail"]
        return _field(str(first["loc"][-1]), words.REQUEST_OTHER)
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def is_full(queue: Any) -> bool:
    """Whether gradio's queue takes nobody more."""
    return queue.max_size is not None and len(queue) >= queue.max_size


def full(queue: Any) -> Response:
    """What a visitor hears who finds no room. 429, since gradio's page has words of its own for a 503."""
    return _refusal(words.QUEUE_FULL.format(most=queue.max_size), 429)


async def _read(receive: Any) -> bytes | None:
    """The body, whose length limits.py has seen to; None where the client has left."""
    chunks, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _object(scope: Scope, text: bytes) -> dict[str, Any] | None:
    """The JSON object that was sent, None for anything else."""
    kind = next((value for name, value in scope["headers"] if name.lower() == b"content-type"), b"")
    if b"json" not in kind.partition(b";")[0].lower():
        return None  # gradio would not read it either
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _files(data: list[Any]) -> Iterator[str]:
    """Paths that values name, however deep."""
    left: list[Any] = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            yield value["path"]
        left.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())


def _field(name: str, wanted: str) -> Response:
    return _refusal(words.REQUEST_FIELD.format(name=name, wanted=wanted))


def _refusal(sentence: str, status: int = 400) -> Response:
    return JSONResponse({"detail": sentence}, status)
