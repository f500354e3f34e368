"""The strip on the clip box: where the part that is read starts and ends, and which sound is heard. No gradio.

The browser keeps the choice as JSON, {"file": name, "start": s, "end": s, "audio_track": "main", "none" or a number}, without what was
left as it is; what comes back is checked as anybody's words are. A choice made for another file does not count. assets/part.js brings
the markup to life.
"""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path
from typing import Any

from omnizip.media import AS_SET, Part, Tracks

from . import words

LONGEST = 2000  # characters of a choice
FIELDS = ("start", "end")


def strip() -> str:
    """The markup, hidden until there is a clip whose length is known, or a choice of sound."""
    drag = "".join(
        f'<input type="range" class="oz-cut-{name}" min="0" max="1" step="0.1" value="{value}" aria-label="{escape(label, quote=True)}">'
        for name, value, label in (("start", 0, words.PART_DRAG_START), ("end", 1, words.PART_DRAG_END))
    )
    start, end = (
        f'<input type="text" class="oz-cut-at" data-at="{name}" inputmode="decimal" autocomplete="off" maxlength="12" '
        f'aria-label="{escape(label, quote=True)}">'
        for name, label in (("start", words.PART_START), ("end", words.PART_END))
    )
    said = {"with": words.SOUND_WITH, "without": words.SOUND_WITHOUT, "main": words.SOUND_MAIN, "track": words.SOUND_TRACK}
    told = " ".join(f'data-{name}="{escape(text, quote=True)}"' for name, text in said.items())
    sound = f'<select class="oz-cut-sound" aria-label="{escape(words.SOUND, quote=True)}" {told} hidden></select>'
    return (
        f'<div class="oz-cut" role="group" aria-label="{escape(words.PART, quote=True)}" hidden>'
        f'{start}<span class="oz-cut-line">{drag}</span>{end}{sound}</div>'
    )


def offer(path: str, found: Tracks | None) -> dict[str, Any]:
    """What a file offers to choose from, for the browser; of one that cannot be read, nothing."""
    return {
        "file": Path(path).name,
        "duration": None if found is None else found.duration_s,
        "sounds": [] if found is None else list(found.sounds),
    }


def read(value: Any, path: str | None) -> Part:
    """The choice for the file at `path`; what is no choice, or one for another file, chooses nothing."""
    if not path or not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        return AS_SET
    try:
        given = json.loads(value)
    except (ValueError, RecursionError):
        return AS_SET
    if not isinstance(given, dict) or given.get("file") != Path(path).name:
        return AS_SET
    track = given.get("audio_track")
    return Part(*(_seconds(given.get(name)) for name in FIELDS), track if isinstance(track, str) else None)


def _seconds(value: Any) -> float | None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)
    return float(value) if fits else None


def written(part: Part, path: str) -> str:
    """A choice as the browser keeps it; nothing where nothing is chosen."""
    chosen = {name: value for name, value in vars(part).items() if value is not None}
    return json.dumps({"file": Path(path).name, **chosen}) if chosen else ""
