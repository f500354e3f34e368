"""What the lens draws, packed small: a clip once, a decision of a compressor as bit sets. Pure: no page, no files.

A decision about a clip of a minute is about 15 kB. Bits are least significant first, numbers 32-bit little-endian, both in
base64; assets/lens/unpack.js is the other side.
"""

from __future__ import annotations

import base64
import io
import json
from html import escape
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from omnizip.assets import asset
from omnizip.report.decision import CompressionRecord

from .. import words
from ..figures import envelope
from ..frames import SOUND_HZ, frame_of_step

SCRIPTS = ("unpack.js", "picture.js", "timeline.js", "lens.js")
AUDIO, VIDEO = 1, 2  # omnizip.stream.Modality
FOLDED = 6  # omnizip.stream.Reason
REASON_BITS = 3
BUCKETS = 1400  # of the waveform as drawn
THUMBNAILS = 40  # along the clip, at most
THUMBNAIL_PIXELS = 128  # of a thumbnail's longer side
WINDOW_FIELDS = ("start", "end", "audio", "audioKept", "video", "videoKept", "sa", "rho")


def markup() -> str:
    """The lens's elements, the same for every clip."""
    said = {name: escape(text, quote=True) for name, text in words.LENS.items() if isinstance(text, str)}
    return Template(asset("lens/lens.html").read_text("utf-8")).substitute(said)


def script() -> str:
    """The lens's program and what it says; it defines `mountLens(element, options)`."""
    said = json.dumps(words.LENS, ensure_ascii=False).replace("<", "\\u003c")
    return "\n".join((f"const WORDS = {said};", *(asset(f"lens/{name}").read_text("utf-8") for name in SCRIPTS)))


def style() -> str:
    """The lens's look."""
    return asset("lens/lens.css").read_text("utf-8")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def pack_bits(flags: np.ndarray) -> str:
    """(N,) bool -> base64, eight flags a byte."""
    return _text(np.packbits(np.asarray(flags, dtype=bool), bitorder="little").tobytes())


def pack_planes(values: np.ndarray, bits: int = REASON_BITS) -> list[str]:
    """(N,) small whole numbers -> one bit set per binary digit, lowest first."""
    return [pack_bits(np.asarray(values) >> bit & 1) for bit in range(bits)]


def pack_numbers(values: np.ndarray) -> str:
    """(N,) whole numbers below 2**32 -> base64."""
    return _text(np.asarray(values, dtype="<u4").tobytes())


def ranks(saliency: np.ndarray) -> np.ndarray:
    """(A,) -> (A,) uint8: the share of tokens that receive less attention, 0 to 255; equal attention, equal rank.

    Attention is so uneven that a linear scale would show one bright token in a dark clip.
    """
    values, inverse, counts = np.unique(np.nan_to_num(saliency), return_inverse=True, return_counts=True)
    if values.size < 2:
        return np.full(saliency.shape, 128, np.uint8)
    below = np.cumsum(counts) - counts
    return np.round(255 * below / below[-1]).astype(np.uint8)[inverse]


def _tokens(record: CompressionRecord, modality: int) -> dict[str, Any]:
    """One modality's tokens in stream order; `into` names the survivor of every folded one, counted within the modality."""
    at = np.flatnonzero(record.modality == modality)
    reason = record.reason[at]
    place = np.full(record.modality.shape[0], -1, np.int64)
    place[at] = np.arange(at.size)
    into = place[record.source[at[reason == FOLDED]]]
    return {
        "tokens": int(at.size),
        "keep": pack_bits(record.keep[at]),
        "reason": pack_planes(reason),
        "into": pack_numbers(into[into >= 0]),
    }


def pack_map(record: CompressionRecord, label: str) -> dict[str, Any]:
    """A decision: what was kept and why per token, and what each window holds.

    Returns:
        Plain values for JSON. `windows` are rows of WINDOW_FIELDS: seconds, counts, then what was allocated, S_a (share of
        the window's sound that guides its picture) and rho (share of its picture pruned), null where the method says nothing.
        `budget` is the share of the whole picture that was pruned, null without picture.
    """
    audio = _tokens(record, AUDIO)
    saliency = None if record.saliency is None else record.saliency[record.modality == AUDIO]
    observed = saliency is not None and saliency.size and not np.isnan(saliency).all()
    audio["saliency"] = _text(ranks(saliency).tobytes()) if observed else None
    steps, rows, columns = record.grid
    step_window = record.window[record.modality == VIDEO].reshape(steps, rows * columns)[:, 0] if steps else np.zeros(0, int)
    picture = record.retained["video"]
    return {
        "label": label,
        "video": _tokens(record, VIDEO),
        "audio": audio,
        "step_window": step_window.tolist(),
        "window_fields": WINDOW_FIELDS,
        "windows": [
            [w.start_s, w.end_s, w.audio_tokens, w.audio_kept, w.video_tokens, w.video_kept, w.audio_retention, w.video_pruning_rate]
            for w in record.windows
        ],
        "budget": None if picture is None else 1 - picture,
        "share": record.retained["total"],
    }


def pack_clip(clip: Any, grid: tuple[int, int, int], second_per_step: float, source: str, name: str, note: str = "") -> dict[str, Any]:
    """A clip as the lens shows it, apart from any decision.

    Args:
        clip: omnizip.media.Clip, or what has its frames, waveform, duration_s and digest.
        grid: steps, rows, columns of video tokens.
        source: where the browser finds the film: a path on the server, or a data URL.
        note: what there is to know about the film, such as that it is a preview.
    """
    wave = np.zeros(0) if clip.waveform is None else envelope(clip.waveform, SOUND_HZ, BUCKETS)[1]
    loudest = float(wave.max()) if wave.size else 0.0
    return {
        "key": f"{clip.digest}-{'-'.join(map(str, grid))}-{second_per_step:g}-{int(bool(note))}",
        "name": name,
        "source": source,
        "note": note,
        "duration": clip.duration_s,
        "sound": 0.0 if clip.waveform is None else clip.waveform.shape[0] / SOUND_HZ,
        "grid": list(grid),
        "perStep": second_per_step,
        "wave": _text(np.round(255 * wave / (loudest or 1.0)).astype(np.uint8).tobytes()),
        "thumbs": _thumbnails(clip.frames, grid[0]),
    }


def _thumbnails(frames: np.ndarray, steps: int) -> dict[str, Any] | None:
    """Small pictures of steps spread over the clip, side by side in one JPEG."""
    if not steps:
        return None
    shown = np.unique(np.linspace(0, steps - 1, min(steps, THUMBNAILS)).round().astype(int))
    high, wide = frames.shape[1:3]
    scale = min(1.0, THUMBNAIL_PIXELS / max(high, wide))
    wide, high = max(1, round(wide * scale)), max(1, round(high * scale))
    sheet = Image.new("RGB", (wide * len(shown), high))
    for i, step in enumerate(shown):
        picture = Image.fromarray(frames[frame_of_step(int(step), len(frames))])
        sheet.paste(picture.resize((wide, high), Image.Resampling.BILINEAR), (i * wide, 0))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=72)
    return {"image": f"data:image/jpeg;base64,{_text(buffer.getvalue())}", "steps": shown.tolist(), "width": wide, "height": high}
