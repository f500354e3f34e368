"""What the lens is fed: a clip the browser can play, a decision about it, another one laid over. Plain values; no gradio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.engine import Engine
from omnizip.errors import OmniZipError
from omnizip.events import Arm
from omnizip.media import transcode_preview
from omnizip.record import CompressionRecord

from . import lens_data, words
from .handlers import COMPRESSED, FULL, Chat, arm_of

EXAMPLES = lens_data.ASSETS.parent / "examples"


def clip(engine: Engine, chat: Chat) -> dict[str, Any]:
    """The clip of a conversation, for `lens_data.pack_clip`'s other side. A film no browser plays is shown as a copy beside it.

    Raises:
        OmniZipError: the file is gone or cannot be copied; in one sentence.
    """
    encoded = engine.encode(chat.path)
    film, note = Path(chat.path), ""
    if not encoded.clip.playable:
        note = words.LENS_COPY
        film = film.with_name(f"{film.stem}-{encoded.clip.digest}-copy.mp4")
        if not film.exists():
            transcode_preview(chat.path, film, engine.settings)
    return lens_data.pack_clip(encoded.clip, encoded.grid, encoded.second_per_step, str(film), Path(chat.path).name, note)


def maps(engine: Engine, chat: Chat, method: str, retention: str, options: Mapping[str, Any], over: str) -> dict[str, Any]:
    """The decision under the present settings, what lies over it, and the settings as an address holds them.

    Args:
        over: "" for nothing, words.OVER_ANSWER for what was answered with, or a method's name: that method at its own settings,
            keeping the same share of the clip.

    Returns:
        {"shown": one or two of `lens_data.pack_map`, "link": name -> text, or None where the clip is nobody else's}.

    Raises:
        OmniZipError: settings a method does not take; in one sentence.
    """
    arm = arm_of(method, retention, options)
    label, record = _decided(engine, chat, arm)
    shown = [lens_data.pack_map(record, label)]
    if over == words.OVER_ANSWER:
        other = _decided(engine, chat, chat.arm)
        shown.append(lens_data.pack_map(other[1], other[0] if other[0] != label else f"{label} (answer)"))
    elif over:
        other = _decided(engine, chat, Arm(over, arm.retention or max(0.01, record.retained["total"] or 1.0)))
        shown.append(lens_data.pack_map(other[1], other[0]))
    return {"shown": shown, "link": link(chat.path, method, retention, options)}


def _decided(engine: Engine, chat: Chat, arm: Arm) -> tuple[str, CompressionRecord]:
    """A label and a decision; what was answered with is not decided again."""
    if arm == chat.arm:
        record, name = chat.report.runs[COMPRESSED].compression, chat.report.runs[COMPRESSED].label
    else:
        preview = engine.preview(chat.path, arm, chat.turns[FULL][-1].question)
        record, name = preview.record, preview.compressor.label
    return f"{name}, {words.share(record.retained['total'])}", record


def link(path: str, method: str, retention: str, options: Mapping[str, Any]) -> dict[str, str] | None:
    """The settings as an address holds them; None for a clip that is no example. Options at their defaults are left out."""
    name = Path(path).name
    try:
        if name not in words.EXAMPLES or Path(path).stat().st_size != (EXAMPLES / name).stat().st_size:
            return None
    except OSError:
        return None
    kept = {
        item.name: str(options[item.name])
        for item in COMPRESSORS[method].options()
        if item.name in options and options[item.name] != item.default and (not item.is_rate or retention == words.CUSTOM)
    }
    return {"example": Path(name).stem, "method": method, "retention": retention, **kept}


def from_link(query: Mapping[str, str]) -> dict[str, Any] | None:
    """An address's settings: {"path", "question", "method", "retention", "options"}, or None where it names no example.

    What is unknown or out of bounds is left at its default.
    """
    name = f"{query.get('example', '')}.mp4"
    method = query.get("method", "omnizip")
    if name not in words.EXAMPLES or method not in COMPRESSORS:
        return None
    options: dict[str, Any] = {}
    for item in COMPRESSORS[method].options():
        if item.name not in query:
            continue
        text = query[item.name]
        try:
            value = {"switch": lambda t: t == "True", "choice": str, "integer": int, "number": float}[item.kind](text)
            item.check(value)
        except (ValueError, OmniZipError):
            continue
        options[item.name] = value
    retention = query.get("retention", "")
    return {
        "path": str(EXAMPLES / name),
        "question": words.EXAMPLES[name][1],
        "method": method,
        "retention": retention if retention in words.RETENTIONS else words.RETENTIONS[0],
        "options": options,
    }
