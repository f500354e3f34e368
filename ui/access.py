"""Who may use the page: a login, agents over MCP, who may change the model. What answers is in gate.py, how much in limits.py.

A name and a password come from the environment alone and are no settings, so no report and no table can hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from starlette.middleware import Middleware

from omnizip.errors import OmniZipError
from omnizip.settings import Settings

from . import words
from .compressed import CompressedDocument
from .gate import Door, Gate
from .limits import Limits
from .run_folder import shown_folder

USER, PASSWORD = "OMNIZIP_USER", "OMNIZIP_PASSWORD"
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
Waiting = Callable[[Any, Callable[[Any], bool]], int]


def access_options(settings: Settings, door: Door, waiting: Waiting, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What `launch()` takes of this: login, MCP, the gate and the limits. Raises OmniZipError for what does not go together.

    Args:
        waiting: how many requests wait in an app's queue, of those whose scope a test says yes to.
    """
    known = login(environ)
    if known and settings.mcp:
        raise OmniZipError(words.MCP_AND_LOGIN)
    limits = Middleware(Limits, settings=settings, hops=hops(settings, environ), waiting=waiting, folder=shown_folder)
    gate = Middleware(Gate, door=door, agents=agents(settings), programs=settings.openai)
    return {"auth": known, "mcp_server": agents(settings), "app_kwargs": {"middleware": [gate, limits, Middleware(CompressedDocument)]}}


def hops(settings: Settings, environ: Mapping[str, str] = os.environ) -> int:
    """Proxies before the page whose word on a visitor's address counts; a Space has one."""
    return max(settings.trusted_hops, 1 if environ.get("SPACE_ID") else 0)


def may_switch(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether visitors may exchange the model, which is everybody's: by the setting, else where only known people come in."""
    if settings.switch_model != "auto":
        return settings.switch_model == "everybody"
    return login(environ) is not None or (address(settings, environ) in LOOPBACK and hops(settings, environ) == 0)


def address(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """Where the page listens: as set, and where nothing was set as gradio's own variable says, which Spaces give."""
    unset = settings.host == Settings.__dataclass_fields__["host"].default
    return environ.get("GRADIO_SERVER_NAME", settings.host) if unset else settings.host


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
