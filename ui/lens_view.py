"""What the lens is fed: a clip the browser can play, a decision about it, another one laid over. Plain values; no gradio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnizip.engine import Engine
from omnizip.events import Arm
from omnizip.media import transcode_preview
from omnizip.record import CompressionRecord

from . import lens_data, words
from .handlers import COMPRESSED, FULL, Chat, arm_of


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
    """The decision under the present settings, and what lies over it.

    Args:
        over: "" for nothing, words.OVER_ANSWER for what was answered with, or a method's name: that method at its own settings,
            keeping the same share of the clip.

    Returns:
        {"shown": one or two of `lens_data.pack_map`}.

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
    return {"shown": shown}


def _decided(engine: Engine, chat: Chat, arm: Arm) -> tuple[str, CompressionRecord]:
    """A label and a decision; what was answered with is not decided again."""
    if arm == chat.arm:
        record, name = chat.report.runs[COMPRESSED].compression, chat.report.runs[COMPRESSED].label
    else:
        preview = engine.preview(chat.path, arm, chat.turns[FULL][-1].question)
        record, name = preview.record, preview.compressor.label
    return f"{name}, {words.share(record.retained['total'])}", record
