"""Answers in OpenAI's form, from the page's own server and queue: GET /v1/models, POST /v1/chat/completions.

A request joins the queue of the model among the page's visitors, as an event that no client can call. When its turn comes, gradio runs
`Turns.take` in a thread, and what the engine says goes straight to whoever waits for it. What was sent lies in a folder of its own as
long as it is needed. What a request may ask is checked in omnizip/serving/ before it waits.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from logging import getLogger
from pathlib import Path
from threading import Event as Flag
from time import monotonic, time
from typing import Any
from uuid import uuid4

import gradio as gr
from gradio.data_classes import PredictBodyInternal
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from omnizip import media
from omnizip.engine.events import Finished, Piece
from omnizip.engine.out_of_memory import is_out_of_memory
from omnizip.errors import OmniZipError
from omnizip.report.report import Run
from omnizip.serving import chat_reply
from omnizip.serving.chat_request import ChatRequest, RequestError
from omnizip.serving.remote_clip import RemoteClips
from omnizip.settings import Settings

from . import words
from .gate import API, COMPLETIONS, PROGRAMS_AT
from .limits import SPEND
from .model_host import HostState, ModelHost
from .stops import Stops

LOOK_S = 0.2  # how soon it is seen that a client has left
PATIENT_S = 15.0  # so long a stream waits for its first words; then it begins without, lest a proxy gives it up
AT_ONCE = 4  # requests that are read, written or joined, and as many that are fetched, which may take long
JOIN = f"{API}/queue/join"
SUFFIXES = {"video/quicktime": ".mov", "video/webm": ".webm", "video/x-matroska": ".mkv", "image/gif": ".gif"}
STARTED_S = int(time())
Said = str | Run | OmniZipError  # the text so far; how it ended; why it did not


def model_id(state: HostState) -> str | None:
    """The name by which programs ask for the model that answers; None while there is none. No path of the server."""
    if state.conditions is None:
        return None
    if state.conditions.embedded:
        return state.conditions.model.lower().replace(" ", "-")
    return words.model_name(state.name) if state.name.startswith(("/", "~", ".")) else state.name


@dataclass(eq=False)
class _Call:
    """A request that waits for its turn, or is being answered."""

    asked: ChatRequest
    path: Path
    gone: Flag = field(default_factory=Flag)  # nobody waits any more
    begun: Flag = field(default_factory=Flag)
    said: asyncio.Queue[Said] = field(default_factory=asyncio.Queue)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def say(self, what: Said) -> None:
        """From the thread that answers, to whoever waits."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.said.put_nowait, what)


class Turns:
    """Requests on their way through the page's queue. Made while the page is built."""

    def __init__(self, page: gr.Blocks, engine: ModelHost, stops: Stops, on_model: dict[str, Any]) -> None:
        self._page, self._stops, self.engine = page, stops, engine
        self._calls: dict[str, _Call] = {}
        self._pool, self._fetching = ThreadPoolExecutor(AT_ONCE, "unpack"), ThreadPoolExecutor(AT_ONCE, "fetch")
        # One session for all, since each of its own would push visitors out of the pages that are remembered. Nobody can guess it:
        # gradio drops the events of a session when somebody has listened to it and hangs up.
        self._session = uuid4().hex
        self._remote = RemoteClips(engine.settings)
        before = set(page.fns)
        gr.api(self.take, api_name="answer_program", api_visibility="private", **on_model)
        (self._event,) = set(page.fns) - before

    def take(self, number: str) -> bool:
        """Answer the call of that number, in a thread of gradio's; whether there was one to be answered."""
        call = self._calls.get(number)
        if call is None or call.gone.is_set():
            return False
        call.begun.set()
        with self._stops.run(number) as wish:
            call.say(self._answer(call, lambda: wish.is_set() or call.gone.is_set()))
        return True

    def _answer(self, call: _Call, stop: Callable[[], bool]) -> Run | OmniZipError:
        """Answer, saying the text as it grows; returns how it ended, or why it did not."""
        asked, run = call.asked, None
        try:
            for event in self.engine.answer(
                self.engine.open_clip(call.path, asked.part),
                asked.question,
                asked.arm,
                history=asked.history,
                sampling=asked.sampling,
                stop=stop,
            ):
                if isinstance(event, Piece):
                    call.say(event.text)
                elif isinstance(event, Finished):
                    (run,) = event.report.runs
        except OmniZipError as problem:
            return problem
        except Exception as failure:
            if is_out_of_memory(failure):
                return RequestError(words.CALL_MEMORY, 503)
            getLogger(__name__).exception("a call failed")
            return RequestError(words.CALL_FAILED, 500)
        if run is None or run.answer.finish == "stopped":
            return RequestError(words.SERVER_STOPS if self._stops.closing else words.CALL_LEFT, 503)
        return run

    async def said(self, request: Request, asked: ChatRequest) -> AsyncGenerator[Said | None, None]:
        """What is said in answer to a request, and at least every LOOK_S something: None where there is nothing.

        Raises:
            OmniZipError: in one sentence. ClientDisconnect: nobody waits any more; the run, the decoder or the fetching ends.
        """
        with tempfile.TemporaryDirectory(prefix="asked-", ignore_cleanup_errors=True) as folder:
            gone = Flag()
            pool = self._fetching if asked.clip.address else self._pool
            work = asyncio.get_running_loop().run_in_executor(pool, self._unpack, asked, Path(folder), request.scope.get(SPEND), gone)
            work.add_done_callback(lambda done: done.cancelled() or done.exception())  # where nobody waits for it, nobody hears of it
            try:
                while not work.done():
                    await asyncio.wait({work}, timeout=LOOK_S)
                    await _still_there(request)
                    yield None
            finally:
                gone.set()
            call = _Call(replace(asked, clip=replace(asked.clip, content=b""), sound=None), work.result())
            asked = call.asked  # the file is on the disk now, and the memory it came in is free
            async with self._in_line(request, call) as queued:
                while True:
                    try:
                        what = await asyncio.wait_for(call.said.get(), LOOK_S)
                    except TimeoutError:
                        await _still_there(request)
                        if call.said.empty() and not queued():
                            raise RequestError(words.CALL_FAILED, 500) from None
                        if self._stops.closing and not call.begun.is_set():
                            raise RequestError(words.SERVER_STOPS, 503) from None
                        yield None
                        continue
                    if isinstance(what, OmniZipError):
                        raise what
                    yield what
                    if isinstance(what, Run):
                        return

    @asynccontextmanager
    async def _in_line(self, request: Request, call: _Call) -> AsyncIterator[Callable[[], bool]]:
        """Have the call wait in the model's queue; yields whether it is still there, or being answered."""
        queue, number = self._page._queue, uuid4().hex
        if queue.server_app is None:
            queue.set_server_app(request.app)
        self._calls[number] = call
        event = None
        try:
            joining = Request({**request.scope, "path": JOIN, "raw_path": JOIN.encode()})  # gradio looks at the path of what it queues
            body = PredictBodyInternal(session_hash=self._session, fn_index=self._event, data=[number], request=joining)
            taken, told, why = await queue.push(body, joining, None)
            if not taken:
                full = why == "queue_full"
                raise RequestError(words.QUEUE_FULL.format(most=queue.max_size) if full else words.CALL_FAILED, 429 if full else 500)
            event = str(told)
            yield lambda: event in queue.event_ids_to_events
        finally:
            call.gone.set()
            del self._calls[number]
            if event is not None:
                queue.pending_event_ids_session.get(self._session, set()).discard(event)
                messages = queue.pending_messages_per_session.get(self._session)
                while messages is not None and not messages.empty():
                    messages.get_nowait()  # what gradio tells browsers of events, for which nobody listens here
                # shielded: a stream whose client has left is cancelled, and what it waits for here would not be done
                await asyncio.shield(asyncio.ensure_future(queue.clean_events(event_id=event)))

    def _unpack(self, asked: ChatRequest, folder: Path, spend: Callable[[int], bool] | None, gone: Flag) -> Path:
        """The clip as a file in `folder`, fetched if it is elsewhere, with the sound that was given for it."""
        path = folder / f"clip{SUFFIXES.get(asked.clip.kind, '.mp4')}"
        try:
            with path.open("wb") as file:
                if asked.clip.address:
                    self._remote.fetch(asked.clip.address, file, spend or (lambda size: True), gone.is_set)
                else:
                    file.write(asked.clip.content)
            if asked.sound is None:
                return path
            sound, joined = folder / f"sound.{asked.sound.kind}", folder / "clip.mkv"
            sound.write_bytes(asked.sound.content)
            (folder / "sent").mkdir()
            whole = path.rename(folder / "sent" / path.name)  # sentences name it
            media.join_sound(whole, sound, joined, self.engine.settings, gone.is_set)
            return joined
        except media.Cancelled:
            raise RequestError(words.CALL_LEFT, 503) from None
        except OSError as failure:
            getLogger(__name__).exception("a clip could not be written")
            raise RequestError(words.CALL_FAILED, 500) from failure
        except OmniZipError as problem:
            raise RequestError(str(problem), param=asked.clip.param) from None

    async def read(self, request: Request) -> ChatRequest:
        """The request, checked. Raises OmniZipError in one sentence."""
        name = model_id(self.engine.state)
        if name is None:
            raise RequestError(self.engine.state.problem or words.MODEL_WAIT, 503)
        # A browser asks before it sends this type for another site's page; other types it would send, and the model would work
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestError(words.NOT_JSON_TYPE, 415)
        body = b"".join([chunk async for chunk in request.stream()])
        return await asyncio.get_running_loop().run_in_executor(self._pool, _read, body, name, self.engine.settings)


def _read(body: bytes, name: str, settings: Settings) -> ChatRequest:
    try:
        content = json.loads(body)
    except RecursionError:
        raise RequestError(words.REQUEST_DEEP) from None
    except ValueError:
        raise RequestError(words.NOT_JSON) from None
    return ChatRequest.of(content, name, settings)


async def _still_there(request: Request) -> None:
    if await request.is_disconnected():
        raise ClientDisconnect


# ---- the routes


def openai_routes(settings: Settings) -> list[Route]:
    """The routes to be added to the page's; none where programs are not served in OpenAI's form."""
    if not settings.openai:
        return []
    return [
        Route(f"{PROGRAMS_AT}/models", _list_models),
        Route(f"{PROGRAMS_AT}/models/{{name:path}}", _show_model),
        Route(COMPLETIONS, _complete, methods=["POST"]),
    ]


def offer(page: gr.Blocks, engine: ModelHost, stops: Stops, on_model: dict[str, Any]) -> None:
    """Have the page that is being built answer at the routes, if its settings say so."""
    if engine.settings.openai:
        page.openai_turns = Turns(page, engine, stops, on_model)


def _turns(request: Request) -> Turns:
    return request.app.get_blocks().openai_turns


async def _list_models(request: Request) -> Response:
    return JSONResponse(chat_reply.models(model_id(_turns(request).engine.state), STARTED_S))


async def _show_model(request: Request) -> Response:
    name, asked = model_id(_turns(request).engine.state), request.path_params["name"]
    if asked != name:
        return _refusal(RequestError(words.NO_MODEL.format(asked=asked[:80]), 404, "model_not_found", "model"))
    return JSONResponse(chat_reply.model(asked, STARTED_S))


async def _complete(request: Request) -> Response:
    turns = _turns(request)
    try:
        asked = await turns.read(request)
        reply = chat_reply.ChatReply(f"chatcmpl-{uuid4().hex}", int(time()), str(model_id(turns.engine.state)))
        said = turns.said(request, asked)
        stream, with_usage = asked.stream, asked.with_usage
        del asked
        if stream:
            return StreamingResponse(
                _events(await _first(said), said, reply, with_usage), media_type="text/event-stream", headers=UNBUFFERED
            )
        async with aclosing(said):
            async for what in said:
                if isinstance(what, Run):
                    return JSONResponse(reply.whole(what))
        return _refusal(RequestError(words.CALL_FAILED, 500))
    except OmniZipError as problem:
        return _refusal(problem)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it


UNBUFFERED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def _first(said: AsyncGenerator[Said | None, None]) -> Said | None:
    """The first thing that is said, waited for so long that most refusals still get a status of their own."""
    until = monotonic() + PATIENT_S
    async for what in said:
        if what is not None or monotonic() > until:
            return what
    return None


async def _events(
    first: Said | None, said: AsyncGenerator[Said | None, None], reply: chat_reply.ChatReply, with_usage: bool
) -> AsyncIterator[bytes]:
    """The answer as server-sent events; what goes wrong meanwhile is the last of them."""
    growth, heard = chat_reply.Growth(), monotonic()
    try:
        async with aclosing(said):
            yield chat_reply.event(reply.first())
            async for what in _after(first, said):
                if isinstance(what, Run):
                    if rest := growth.end(what.answer.text):
                        yield chat_reply.event(reply.piece(rest))
                    for piece in reply.last(what, with_usage):
                        yield chat_reply.event(piece)
                    yield chat_reply.event("[DONE]")
                elif isinstance(what, str) and (new := growth.of(what)):
                    heard = monotonic()
                    yield chat_reply.event(reply.piece(new))
                elif monotonic() - heard > PATIENT_S:
                    heard = monotonic()
                    yield b": waiting\n\n"  # a comment, which clients pass over
    except OmniZipError as problem:
        yield chat_reply.event(_told(problem))
    except ClientDisconnect:
        return


async def _after(first: Said | None, rest: AsyncIterator[Said | None]) -> AsyncIterator[Said | None]:
    yield first
    async for what in rest:
        yield what


def _told(problem: OmniZipError) -> dict[str, Any]:
    code, param = (problem.code, problem.param) if isinstance(problem, RequestError) else (None, None)
    return chat_reply.error(str(problem), chat_reply.status_of(problem), code, param)


def _refusal(problem: OmniZipError) -> Response:
    return JSONResponse(_told(problem), chat_reply.status_of(problem))
