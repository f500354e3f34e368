"""What the lens is fed: a clip the browser can play, a decision about it, another one laid over. Plain values; no gradio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from omnizip.engine import ComparisonEngine
from omnizip.engine.clips import ClipKey
from omnizip.engine.events import Arm
from omnizip.errors import OmniZipError
from omnizip.media import transcode_preview
from omnizip.report import packed, wording
from omnizip.report.decision import CompressionRecord
from omnizip.settings import Settings

from .. import links, words
from ..chat import COMPRESSED, FULL, Chat, ClipDecision, arm_of
from ..examples import examples_of
from ..files import why_unwritten
from ..run_folder import shown_folder

COPIES = "copies"  # a folder of their own, apart from uploads


def clip(engine: ComparisonEngine, chat: Chat) -> dict[str, Any]:
    """The clip of a conversation, for `packed.pack_clip`'s other side. A film no browser plays, and a part of one, is shown as a copy.

    Raises:
        OmniZipError: the file is gone, or cannot be copied; in one sentence.
    """
    encoded = engine.encode(chat.clip)
    film, note = Path(chat.path), ""
    if not encoded.clip.shows_as_it_is:
        note = words.LENS_COPY if encoded.clip.whole else words.LENS_PART
        film = _copied(chat, engine.settings)
    clip = packed.pack_clip(encoded.clip, encoded.grid, encoded.second_per_step, str(film), chat.clip.name, note)
    if note:  # parts of one length look alike by their grids, and tracks by everything
        clip["key"] += f"-{_copy_of(chat.clip.key)}"
    return {**clip, "from": chat.clip.key.start_s}  # where in the file the time axis begins, seconds


def _copied(chat: Chat, settings: Settings) -> Path:
    """The copy of what is read of the chat's film, made unless it is there. It lies where what the page shows is swept by age."""
    folder = Path(shown_folder()) / COPIES
    film = folder / f"{Path(chat.path).stem}-{_copy_of(chat.clip.key)}-copy.mp4"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if film.exists():
            os.utime(film)  # shown anew
        else:
            with tempfile.TemporaryDirectory(dir=folder) as own:  # another visitor may be making the same
                part = Path(own) / film.name
                transcode_preview(chat.path, part, chat.clip.key.part.of(settings))
                part.replace(film)
    except OSError as failure:
        raise OmniZipError(words.LENS_UNWRITTEN.format(why=why_unwritten(failure))) from None
    return film


def _copy_of(key: ClipKey) -> str:
    """What a copy is of, for its name: the file's bytes, the part and the sound."""
    return sha256(repr((key.digest, key.part)).encode()).hexdigest()[:16]


def maps(
    engine: ComparisonEngine, chat: Chat, kept: ClipDecision, method: str, retention: str, options: Mapping[str, Any], over: str
) -> dict[str, Any]:
    """The decision under the present settings, and what lies over it.

    Args:
        kept: that decision, as decisions.redraw made it of the settings that follow.
        over: "" for nothing, words.OVER_ANSWER for what was answered with, or a method's name: that method at its own settings,
            keeping the same share of the clip.

    Returns:
        {"shown": one or two of `packed.pack_map`, "link": the query that brings this view back, None if nothing can}.

    Raises:
        OmniZipError: settings a method does not take; in one sentence.
    """
    arm = arm_of(method, retention, options)
    label = _title(kept.label, kept.record)
    shown = [packed.pack_map(kept.record, label)]
    if over == words.OVER_ANSWER:
        run = chat.report.runs[COMPRESSED]
        other = _title(run.label, run.compression)
        shown.append(packed.pack_map(run.compression, other if other != label else words.OVER_ANSWERED.format(label=label)))
    elif over:
        share = arm.retention or max(0.01, kept.record.retained["total"] or 1.0)
        preview = engine.preview(chat.clip, Arm(over, share), chat.turns[FULL][-1].question)
        shown.append(packed.pack_map(preview.record, _title(preview.compressor.label, preview.record)))
    link = links.write(chat.clip.key.digest, chat.turns[FULL][-1].question, arm, over, examples_of(engine.settings), chat.clip.key.part)
    return {"shown": shown, "link": link}


def _title(label: str, record: CompressionRecord) -> str:
    return wording.kept_title(label, record.retained["total"])
