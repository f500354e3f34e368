"""Encode a clip once, then compress and answer as often as wanted: what the page, the command line and programs call."""

from .engine import Engine, Preview
from .events import Arm, ArmDone, Event, Finished, Piece, Stage

__all__ = ["Arm", "ArmDone", "Engine", "Event", "Finished", "Piece", "Preview", "Stage"]
