"""How much one visitor may send: uploads by the hour, bodies, waiting requests, tries at a login. Bytes are counted as they arrive.

A visitor is an address: that of the connection, or where proxies stand before the page, the one the outermost trusted proxy saw. What
stands further left in X-Forwarded-For was written by whoever sent the request, and counts nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import get_route_path

from omnizip.report import formats
from omnizip.settings import Settings

from . import words
from .gate import API, COMPLETIONS, Application, Scope

HOUR_S, MINUTE_S = 3600.0, 60.0
LOGIN_TRIES, LOGIN_SPAN_S = 10, 600.0  # failed ones, within so long
AGENT_MB = 32.0  # of one call over MCP, where a clip comes within the call
PART_HEADERS = 16  # lines before a part of an upload
TIDY_S = 0.5  # after an upload was cut: by then whoever read it has let go of the file
UPLOAD = f"{API}/upload"
SPEND = "omnizip.spend"  # in a scope: takes bytes that are fetched for a visitor, says whether more may come
Check = Callable[[bytes], Response | None]


class Ledger:
    """How much every visitor has spent within a span of time."""

    def __init__(self, span_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._span, self._clock = span_s, clock
        self._spent: dict[str, deque[list[float]]] = defaultdict(deque)  # [when, how much], a minute at most in each

    def spent(self, visitor: str) -> float:
        """What still counts."""
        now = self._clock()
        for name in [name for name, entries in self._spent.items() if now - entries[-1][0] > self._span]:
            del self._spent[name]
        entries = self._spent.get(visitor)
        while entries and now - entries[0][0] > self._span:
            entries.popleft()
        return sum(amount for _, amount in entries or ())

    def spend(self, visitor: str, amount: float) -> None:
        """Add to it."""
        now, entries = self._clock(), self._spent[visitor]
        if entries and now - entries[-1][0] < MINUTE_S:
            entries[-1][1] += amount
        else:
            entries.append([now, amount])

    def __len__(self) -> int:
        return len(self._spent)


def visitor_of(scope: Scope, hops: int) -> str:
    """The address that the outermost of `hops` trusted proxies saw; without proxies, that of the connection."""
    said = ",".join(value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"x-forwarded-for")
    named = [name.strip() for name in said.split(",") if name.strip()]
    if hops and len(named) >= hops:
        return named[-hops]
    return (scope.get("client") or ("",))[0]


class Limits:
    """Refuses what is too much, with a sentence, before or while it is read."""

    def __init__(
        self,
        app: Application,
        settings: Settings,
        hops: int = 0,
        waiting: Callable[[Any, Callable[[Any], bool]], int] = lambda app, theirs: 0,
        folder: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """
        Args:
            hops: proxies before the page whose word counts.
            waiting: how many requests wait in the queue of an app whose scope a test says yes to.
            folder: where uploads arrive.
        """
        self._app, self._settings, self._hops, self._waiting, self._folder = app, settings, hops, waiting, folder
        self._uploads, self._logins = Ledger(HOUR_S, clock), Ledger(LOGIN_SPAN_S, clock)
        self._arriving = 0
        self._joining: Counter[str] = Counter()  # requests that are about to wait in the queue
        self._asking: Counter[str] = Counter()  # requests in OpenAI's form that are not answered yet

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass on what is within the limits."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            await self._app(scope, receive, send)
            return
        path, visitor = get_route_path(scope).rstrip("/"), visitor_of(scope, self._hops)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if path == UPLOAD:
            await self._take_upload(scope, receive, send, visitor, headers)
        elif path == COMPLETIONS:
            await self._take_question(scope, receive, send, visitor)
        elif path == "/login":
            await self._try_login(scope, receive, send, visitor)
        elif path.startswith((f"{API}/queue/join", f"{API}/call/")):
            await self._take_join(scope, receive, send, visitor)
        elif path.startswith(f"{API}/mcp"):
            await self._take_body(scope, receive, send, AGENT_MB * 1e6, visitor)
        else:
            await self._take_body(scope, receive, send, self._settings.request_kb * 1e3, None)

    async def _take_join(self, scope: Scope, receive: Any, send: Any, visitor: str) -> None:
        """Let a visitor join the queue; those that are about to join count, or all of many at once would find it empty."""
        if self._joining[visitor] + self._waiting_of(scope, visitor) >= self._settings.waiting_per_visitor:
            sentence = words.WAITS_ENOUGH.format(most=self._settings.waiting_per_visitor)
            await JSONResponse({"detail": sentence}, 429)(scope, receive, send)
            return
        self._joining[visitor] += 1
        try:
            await self._take_body(scope, receive, send, self._settings.request_kb * 1e3, None)
        finally:
            self._joining[visitor] -= 1
            if not self._joining[visitor]:
                del self._joining[visitor]

    def _waiting_of(self, scope: Scope, visitor: str) -> int:
        return self._waiting(scope.get("app"), lambda other: visitor_of(other, self._hops) == visitor)

    async def _take_question(self, scope: Scope, receive: Any, send: Any, visitor: str) -> None:
        """A request in OpenAI's form waits and brings its clip along, or has it fetched: both count as those of the page do."""
        if max(self._asking[visitor], self._waiting_of(scope, visitor)) >= self._settings.waiting_per_visitor:
            sentence = words.WAITS_ENOUGH.format(most=self._settings.waiting_per_visitor)
            await JSONResponse({"detail": sentence}, 429)(scope, receive, send)
            return

        def spend(size: int) -> bool:
            self._uploads.spend(visitor, size)
            return self._uploads.spent(visitor) <= self._settings.upload_mb_per_hour * 1e6

        self._asking[visitor] += 1
        try:
            scope = {**scope, SPEND: spend}
            await self._take_body(scope, receive, send, self._settings.openai_mb * 1e6, visitor, is_json=False)
        finally:
            self._asking[visitor] -= 1
            if not self._asking[visitor]:
                del self._asking[visitor]

    async def _take_upload(self, scope: Scope, receive: Any, send: Any, visitor: str, headers: Mapping[str, str]) -> None:
        """Count what arrives against the visitor's hour; look at the names of the parts; leave nothing of what was cut."""
        most = self._settings.upload_mb_per_hour * 1e6
        enough = PlainTextResponse(words.UPLOADED_ENOUGH.format(limit=formats.size(int(most))), 429)
        length = headers.get("content-length", "")
        if self._uploads.spent(visitor) + (int(length) if length.isdecimal() else 0) > most:
            await enough(scope, receive, send)
            return
        parts = _Parts(headers.get("content-type", ""))

        def check(chunk: bytes) -> Response | None:
            self._uploads.spend(visitor, len(chunk))
            if self._uploads.spent(visitor) > most:
                return enough
            return None if parts.fit(chunk) else PlainTextResponse(words.UPLOAD_FIELDS, 400)

        self._arriving += 1
        whole = False
        try:
            whole = await _pass_on(self._app, scope, receive, send, check)
        finally:
            self._arriving -= 1
            if not whole and self._folder():
                asyncio.get_running_loop().call_later(TIDY_S, self._tidy)

    def _tidy(self) -> None:
        """Remove beginnings of uploads that nobody goes on with."""
        held = _open_files() if self._arriving else set()
        if held is None:
            return  # the sweep of old files comes by later
        for path in Path(self._folder()).glob("tmp*"):
            if path.is_file() and str(path.resolve()) not in held:
                path.unlink(missing_ok=True)

    async def _try_login(self, scope: Scope, receive: Any, send: Any, visitor: str) -> None:
        """Let a visitor try so often and no more; a success costs nothing."""
        if self._logins.spent(visitor) >= LOGIN_TRIES:
            sentence = words.LOGIN_ENOUGH.format(tries=LOGIN_TRIES, span=words.span(LOGIN_SPAN_S))
            await JSONResponse({"detail": sentence}, 429)(scope, receive, send)
            return
        self._logins.spend(visitor, 1)  # before it is known, since many may be tried at once

        async def heard(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._logins.spend(visitor, -1)
            await send(message)

        await self._take_body(scope, receive, heard, self._settings.request_kb * 1e3, None, is_json=False)

    async def _take_body(self, scope: Scope, receive: Any, send: Any, most: float, visitor: str | None, is_json: bool = True) -> None:
        """Read a body as far as it may go, look for addresses to be fetched, and pass it on.

        Args:
            visitor: whose uploads it counts among, if it does.
        """
        chunks: list[bytes] = []
        total, more = 0, True
        hour = self._settings.upload_mb_per_hour * 1e6
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has left
            chunks.append(message.get("body", b""))
            total, more = total + len(chunks[-1]), message.get("more_body", False)
            if visitor is not None:
                self._uploads.spend(visitor, len(chunks[-1]))
                if self._uploads.spent(visitor) > hour:
                    await PlainTextResponse(words.UPLOADED_ENOUGH.format(limit=formats.size(int(hour))), 429)(scope, receive, send)
                    return
            if total > most:
                await JSONResponse({"detail": words.REQUEST_LONG.format(limit=formats.size(int(most)))}, 413)(scope, receive, send)
                return
        body = b"".join(chunks)
        chunks.clear()
        if is_json and body and (problem := _problem_of(body)):
            await JSONResponse({"detail": problem}, 400)(scope, receive, send)
            return
        read = False

        async def again() -> dict[str, Any]:
            nonlocal read, body
            if read:
                return await receive()
            read, whole, body = True, body, b""  # a clip is not kept in memory until its answer is there
            return {"type": "http.request", "body": whole, "more_body": False}

        await self._app(scope, again, send)


class _Parts:
    """Sees to it that an upload has files alone: other fields are read into memory, or are written and never looked at again."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        self._parser: Any = None
        self._fine, self._lines, self._name, self._value = True, 0, b"", b""
        self._disposition = b""
        if kind == b"multipart/form-data" and options.get(b"boundary"):
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._field,
                    "on_header_value": self._said,
                    "on_header_end": self._line,
                    "on_headers_finished": self._look,
                },
            )

    def fit(self, chunk: bytes) -> bool:
        """Whether all is well up to and with this chunk."""
        if self._parser is None or not self._fine:
            return self._fine  # what is no form is refused by gradio
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            self._parser = None  # likewise
        return self._fine

    def _begin(self) -> None:
        self._lines, self._disposition = 0, b""

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _said(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _line(self) -> None:
        self._lines += 1
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""
        self._fine = self._fine and self._lines <= PART_HEADERS

    def _look(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._fine = self._fine and options.get(b"name") == b"files" and b"filename" in options


async def _pass_on(app: Application, scope: Scope, receive: Any, send: Any, check: Check) -> bool:
    """Pass a request on, looking at every chunk; what `check` answers is the answer, and nothing more is read.

    Returns:
        Whether it was read to its end and answered well.
    """
    refusal: Response | None = None
    status = 0

    async def looked_at() -> dict[str, Any]:
        nonlocal refusal
        message = await receive()
        if refusal is None and message["type"] == "http.request":
            refusal = check(message.get("body", b""))
        return message if refusal is None else {"type": "http.disconnect"}

    async def said(message: dict[str, Any]) -> None:
        nonlocal status
        if refusal is None:
            status = message.get("status", status)
            await send(message)

    try:
        await app(scope, looked_at, said)
    except Exception as failure:
        if refusal is None and type(failure).__name__ != "ClientDisconnect":
            raise
    if refusal is not None and not status:
        await refusal(scope, receive, send)
    return refusal is None and 0 < status < 400


def _problem_of(body: bytes) -> str:
    """The sentence that refuses a body, "" for none: a file field that names an address, which the server would go and fetch."""
    try:
        left: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError) as failure:
        return words.REQUEST_DEEP if isinstance(failure, RecursionError) else ""  # what is no JSON is refused by gradio
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for name in ("path", "video"):
                if isinstance(value.get(name), str) and value[name].strip().lower().startswith(("http:", "https:")):
                    return words.NOT_FETCHED
        left.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    return ""


def _open_files() -> set[str] | None:
    """Paths of the files this process holds open; None where the system does not tell."""
    try:
        links = os.listdir("/proc/self/fd")
    except OSError:
        return None
    found = set()
    for link in links:
        try:
            found.add(os.readlink(f"/proc/self/fd/{link}"))
        except OSError:
            continue  # closed meanwhile
    return found
