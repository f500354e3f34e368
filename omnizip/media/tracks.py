"""What a file offers to choose from, by its headers alone: how long it is, and its sound tracks."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from ..settings import Settings
from .clip import display_name, opened
from .decoder_process import DecoderProcess


@dataclass(frozen=True)
class Tracks:
    """A file's length and sound."""

    duration_s: float | None  # as the headers have it; None where they say nothing
    sounds: tuple[str, ...]  # language and title of each sound track, empty where the file names neither


def tracks(path: str | os.PathLike, settings: Settings) -> Tracks:
    """Read the headers of a file. Raises MediaError in one sentence for one that cannot be read."""
    path = Path(path)
    name = display_name(path)
    with opened(path, settings) as source, DecoderProcess({"mode": "tracks", "source": source}, (source,), name, settings) as decoder:
        told = decoder.read_json(*decoder.read_message())
        sounds, duration_s = told.get("sounds"), told.get("duration_s")
        if not isinstance(sounds, list) or not all(isinstance(title, str) for title in sounds):
            raise decoder.garbage()
        known = isinstance(duration_s, (int, float)) and math.isfinite(duration_s) and duration_s > 0
        return Tracks(float(duration_s) if known else None, tuple(sounds))
