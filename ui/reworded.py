"""Refusals of what stands behind, in other words: held back until they are whole, and sent anew. No gradio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from .gate import Scope


class Reworded:
    """Sends an answer on; holds back one of 400 and above until it is whole, and sends what `word` makes of it in its place."""

    def __init__(self, scope: Scope, receive: Any, send: Any, word: Callable[[dict[str, Any], bytes], Response | None]) -> None:
        """
        Args:
            word: takes the answer's start (status and headers) and its body; None leaves it as it is.
        """
        self._scope, self._receive, self._send, self._word = scope, receive, send, word
        self._held: list[dict[str, Any]] = []

    async def __call__(self, message: dict[str, Any]) -> None:
        """Take what the application sends."""
        if not self._held and not (message["type"] == "http.response.start" and message["status"] >= 400):
            await self._send(message)
            return
        self._held.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            worded = self._word(self._held[0], b"".join(held.get("body", b"") for held in self._held))
            if worded is not None:
                await worded(self._scope, self._receive, self._send)
                return
            for held in self._held:
                await self._send(held)
