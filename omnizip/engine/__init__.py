"""Encode a clip once, then compress and answer as often as wanted: what the page, the command line and programs call.

Importing this loads nothing; a name loads its module when it is first used, and only `Engine` and `Preview` bring torch and
transformers. So a page that says what is being done is up before they are.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clips import ClipHandle
    from .engine import Engine, Preview
    from .events import Arm, ArmDone, Event, Finished, Piece, Stage
    from .protocol import ComparisonEngine

__all__ = ["Arm", "ArmDone", "ClipHandle", "ComparisonEngine", "Engine", "Event", "Finished", "Piece", "Preview", "Stage"]

_HOMES = {
    "ClipHandle": ".clips",
    "ComparisonEngine": ".protocol",
    **dict.fromkeys(("Engine", "Preview"), ".engine"),
    **dict.fromkeys(("Arm", "ArmDone", "Event", "Finished", "Piece", "Stage"), ".events"),
}


def __getattr__(name: str) -> Any:
    """A name, from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
