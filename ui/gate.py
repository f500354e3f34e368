"""What of the server answers at all: the routes this page uses. Everything else gradio brings, today or after an upgrade, is refused.

Gradio serves what no page here asks for: it cuts recordings with the system's ffmpeg, passes on what other hosts say, keeps a history
of runs. A route is answered if it stands in `USED`, whatever it would do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse
from starlette.routing import compile_path, get_route_path

from . import words

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]
READ, SEND = ("GET", "HEAD"), ("POST",)
API = "/gradio_api"
JOIN, CALL, RUN, LISTEN = f"{API}/queue/join", f"{API}/call/", f"{API}/run/", f"{API}/queue/data"  # how events begin and are heard
USED: tuple[tuple[tuple[str, ...], str], ...] = (
    # the page and what it is drawn with
    (READ, "/"),
    (READ, "/config"),
    (READ, "/config/"),
    (READ, "/svelte/{path:path}"),
    (READ, "/static/{path:path}"),
    (READ, "/assets/{path:path}"),
    (READ, "/theme.css"),
    (READ, f"{API}/theme.css"),
    (READ, "/favicon.ico"),
    (READ, "/manifest.json"),
    (READ, "/pwa_icon"),
    (READ, "/pwa_icon/{size}"),
    (READ, "/robots.txt"),
    # a login
    (SEND, "/login"),
    (SEND, "/login/"),
    (READ, "/logout"),
    # what launching asks for, and a tab that finds its server anew
    (READ, f"{API}/startup-events"),
    (READ, f"{API}/app_id"),
    (READ, f"{API}/heartbeat/{{session_hash}}"),
    # clips in, results out
    (SEND, f"{API}/upload"),
    (READ, f"{API}/upload_progress"),
    (READ, f"{API}/file={{path_or_url:path}}"),
    # events, of the page and of programs
    (READ, f"{API}/info"),
    (READ, f"{API}/info/"),
    (SEND, f"{API}/queue/join"),
    (READ, f"{API}/queue/data"),
    (SEND, f"{API}/cancel"),
    (SEND, f"{API}/reset"),  # after a cancel
    (SEND, f"{API}/run/{{api_name}}"),
    (SEND, f"{API}/run/{{api_name}}/"),
    (SEND, f"{API}/call/{{api_name}}"),
    (READ, f"{API}/call/{{api_name}}/{{event_id}}"),
    (SEND, f"{API}/call/v2/{{api_name}}"),
    (READ, f"{API}/call/v2/{{api_name}}/{{event_id}}"),
)
PROGRAMS_AT = "/v1"
COMPLETIONS = f"{PROGRAMS_AT}/chat/completions"
PROGRAMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (READ, f"{PROGRAMS_AT}/models"),
    (READ, f"{PROGRAMS_AT}/models/{{name:path}}"),
    (SEND, COMPLETIONS),
)
AGENTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("GET", "HEAD", "POST", "DELETE", "OPTIONS"), f"{API}/mcp"),
    (("GET", "HEAD", "POST", "DELETE", "OPTIONS"), f"{API}/mcp/{{path:path}}"),
)


@dataclass(eq=False)
class Door:
    """Whether visitors are still taken; shut when the server is about to stop."""

    shut: bool = False


class Gate:
    """Passes on what the page uses; once the door is shut, only what those inside need to hear the end of theirs."""

    def __init__(self, app: Application, door: Door, agents: bool = False, programs: bool = False) -> None:
        """
        Args:
            agents, programs: whether there are routes for agents over MCP, and for programs in OpenAI's form.
        """
        self._app, self._door = app, door
        used = (*USED, *(AGENTS if agents else ()), *(PROGRAMS if programs else ()))
        self._used = [(methods, compile_path(path)[0]) for methods, path in used]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass on, or answer 404 or 503 with a sentence."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif not self.opens(scope["method"], get_route_path(scope)):
            await JSONResponse({"detail": words.NO_SUCH_ROUTE}, 404)(scope, receive, send)
        elif self._door.shut and scope["method"] == "POST" and not get_route_path(scope).endswith("/cancel"):
            await JSONResponse({"detail": words.SERVER_STOPS}, 503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def opens(self, method: str, path: str) -> bool:
        """Whether a request is one that the page makes."""
        return any(method in methods and pattern.match(path) for methods, pattern in self._used)
