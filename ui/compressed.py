"""The page's document goes out compressed: six sevenths of it are the same few words again and again. No gradio.

The document alone, at the root, and the configuration that programs read in its place; films are compressed already, and streams
of progress must not wait for more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.gzip import GZipMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PATHS = ("/", "/config")
LEVEL = 5  # more takes longer than it saves


class CompressedDocument:
    """Wraps an app: who takes gzip gets its document so, everything else passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._compressing = app, GZipMiddleware(app, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._compressing if scope["type"] == "http" and scope["path"] in PATHS else self._app
        await app(scope, receive, send)
