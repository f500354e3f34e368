"""Encode a clip once, then compress and answer as often as wanted: what the page, the command line and programs call."""

from .clips import ClipHandle
from .engine import Engine, Preview
from .events import Arm, ArmDone, Event, Finished, Piece, Stage
from .protocol import ComparisonEngine

__all__ = ["Arm", "ArmDone", "ClipHandle", "ComparisonEngine", "Engine", "Event", "Finished", "Piece", "Preview", "Stage"]
