"""Who may use the page and how much of it: a login, what one visitor may upload within an hour, agents over MCP.

A name and a password come from the environment alone and are no settings, so no report and no table can hold them.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib.util import find_spec
from time import monotonic
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from omnizip.errors import OmniZipError
from omnizip.report import formats
from omnizip.settings import Settings

from . import words

HOUR_S = 3600.0
USER, PASSWORD = "OMNIZIP_USER", "OMNIZIP_PASSWORD"
Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


def access_options(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What `launch()` takes of this: login, limits, MCP. Raises OmniZipError in one sentence for what does not go together."""
    limits = Middleware(UploadLimit, mb_per_hour=settings.upload_mb_per_hour, proxied=bool(environ.get("SPACE_ID")))
    return {"auth": login(environ), "mcp_server": agents(settings), "app_kwargs": {"middleware": [limits]}}


def login(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and password that visitors have to give, None where everybody may enter."""
    name, password = environ.get(USER, ""), environ.get(PASSWORD, "")
    if bool(name) != bool(password):
        raise OmniZipError(words.HALF_A_LOGIN.format(given=USER if name else PASSWORD, missing=PASSWORD if name else USER))
    return (name, password) if name else None


def agents(settings: Settings) -> bool:
    """Whether the endpoints are offered over MCP."""
    if settings.mcp and find_spec("mcp") is None:
        raise OmniZipError(words.NO_MCP)
    return settings.mcp


class UploadLimit:
    """Counts the bytes each visitor uploads and refuses what goes beyond the limit, before any of it is read.

    A visitor is an address. Behind the proxy of a Space that is what the proxy says it is; another proxy's word counts where
    uvicorn trusts it (FORWARDED_ALLOW_IPS).
    """

    def __init__(self, app: Application, mb_per_hour: float, proxied: bool = False, clock: Callable[[], float] = monotonic) -> None:
        self._app, self._limit, self._proxied, self._clock = app, mb_per_hour * 1e6, proxied, clock
        self._sent: dict[str, deque[tuple[float, int]]] = defaultdict(deque)  # (when, bytes) of the last hour

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass everything on but an upload that is too much."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload"):
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            refusal = self._refusal(self._visitor(scope, headers), headers.get("content-length", ""))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _visitor(self, scope: Scope, headers: Mapping[str, str]) -> str:
        named = headers.get("x-forwarded-for", "").split(",")[0].strip() if self._proxied else ""
        return named or (scope.get("client") or ("",))[0]

    def _refusal(self, visitor: str, length: str) -> PlainTextResponse | None:
        if not length.isdecimal():
            return PlainTextResponse(words.UPLOAD_UNMEASURED, 411)
        now = self._clock()
        for name in [name for name, sent in self._sent.items() if now - sent[-1][0] > HOUR_S]:
            del self._sent[name]
        sent = self._sent[visitor]
        while sent and now - sent[0][0] > HOUR_S:
            sent.popleft()
        if sum(size for _, size in sent) + int(length) > self._limit:
            if not sent:
                del self._sent[visitor]
            return PlainTextResponse(words.UPLOADED_ENOUGH.format(limit=formats.size(int(self._limit))), 429)
        sent.append((now, int(length)))
        return None
