"""Before the routes in OpenAI's form: who may use them, and that whatever is refused on the way is told in that form.

A key comes from the environment alone and is no setting, so no report and no table can hold it. It is asked for before a body is read.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import get_route_path

from omnizip.errors import OmniZipError
from omnizip.serving import chat_reply
from omnizip.settings import Settings

from . import words
from .access import login
from .gate import PROGRAMS_AT, Application, Scope
from .reworded import Reworded

KEY = "OMNIZIP_API_KEY"
KEPT = (b"retry-after", b"www-authenticate", b"allow")  # headers of a refusal that go on
SHORTEST_KEY = 16  # characters: what is longer is not found by trying


def api_key(environ: Mapping[str, str] = os.environ) -> str | None:
    """The key that programs have to give, None where none is asked for. Raises OmniZipError for one that could be guessed."""
    key = environ.get(KEY, "")
    if key and (len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key):
        raise OmniZipError(words.KEY_SHORT.format(name=KEY, least=SHORTEST_KEY))
    return key or None


def openai_doors(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Middleware]:
    """What stands before everything else where programs are served in OpenAI's form; nothing where they are not.

    Raises OmniZipError where a login would keep people out and let programs in.
    """
    if not settings.openai:
        return []
    key = api_key(environ)
    if login(environ) and key is None:
        raise OmniZipError(words.LOGIN_NO_KEY.format(name=KEY))
    return [Middleware(OpenAIDoor, key=key)]


class OpenAIDoor:
    """Asks for the key, and puts what others refuse into OpenAI's form; what is not at PROGRAMS_AT passes untouched."""

    def __init__(self, app: Application, key: str | None) -> None:
        self._app, self._key = app, None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass on, with answers of 400 and above put into form."""
        if scope["type"] != "http" or not get_route_path(scope).startswith(f"{PROGRAMS_AT}/"):
            await self._app(scope, receive, send)
        elif not self._known(scope):
            told = chat_reply.error(words.KEY_WRONG, 401, "invalid_api_key")
            await JSONResponse(told, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        else:
            await self._app(scope, receive, Reworded(scope, receive, send, _in_form))

    def _known(self, scope: Scope) -> bool:
        if self._key is None:
            return True
        given = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
        kind, _, key = given.partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._key)


def _in_form(start: dict[str, Any], body: bytes) -> JSONResponse:
    """A refusal in OpenAI's form; of one that is not, its sentence."""
    status = start["status"]
    try:
        content = json.loads(body)
    except ValueError:
        content = {"detail": body.decode("utf-8", "replace")}
    if not (isinstance(content, dict) and isinstance(content.get("error"), dict)):
        detail = content.get("detail") if isinstance(content, dict) else None
        content = chat_reply.error(detail if isinstance(detail, str) and detail else words.CALL_FAILED, status)
    kept = {name.decode("latin-1"): value.decode("latin-1") for name, value in start.get("headers", ()) if name.lower() in KEPT}
    return JSONResponse(content, status, kept)
