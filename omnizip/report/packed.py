"""What the lens draws, packed small: a clip once, a decision of a compressor as bit sets. Pure: no page, no files.

A decision about a clip of a minute is about 15 kB. Bits are least significant first, numbers 32-bit little-endian, both in
base64; assets/lens/unpack.js is the other side.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..media.decoder_process import SAMPLE_RATE_HZ
from ..stream import Modality, Reason
from .decision import CompressionRecord

if TYPE_CHECKING:
    from ..media import Clip

SOUND_HZ = SAMPLE_RATE_HZ  # of every clip's waveform
REASON_BITS = 4
BUCKETS = 1400  # of the waveform as drawn
THUMBNAILS = 40  # along the clip, at most
THUMBNAIL_PIXELS = 128  # of a thumbnail's longer side
WINDOW_FIELDS = ("start", "end", "audio", "audioKept", "video", "videoKept", "sa", "rho")


def frame_of_step(step: int, n_frames: int) -> int:
    """The sampled frame that stands for a step; the last one where an odd frame was repeated to fill it."""
    return min(2 * step, n_frames - 1)


def envelope(waveform: np.ndarray, rate_hz: int, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """(B,) times in seconds and (B,) loudest amplitude of each of at most `buckets` equal stretches of a waveform (S,)."""
    n = min(buckets, waveform.shape[0])
    if n == 0:
        return np.zeros(0), np.zeros(0)
    edges = np.linspace(0, waveform.shape[0], n + 1).astype(np.int64)
    loudest = np.maximum.reduceat(np.abs(waveform), edges[:-1])
    return (edges[:-1] + edges[1:]) / 2 / rate_hz, loudest


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def pack_bits(flags: np.ndarray) -> str:
    """(N,) bool -> base64, eight flags a byte."""
    return _base64(np.packbits(np.asarray(flags, dtype=bool), bitorder="little").tobytes())


def pack_planes(values: np.ndarray, bits: int = REASON_BITS) -> list[str]:
    """(N,) small whole numbers -> one bit set per binary digit, lowest first."""
    return [pack_bits(np.asarray(values) >> bit & 1) for bit in range(bits)]


def pack_numbers(values: np.ndarray) -> str:
    """(N,) whole numbers below 2**32 -> base64."""
    return _base64(np.asarray(values, dtype="<u4").tobytes())


def ranks(saliency: np.ndarray) -> np.ndarray:
    """(A,) -> (A,) uint8: the share of tokens that receive less attention, 0 to 255; equal attention, equal rank.

    Attention is so uneven that a linear scale would show one bright token in a dark clip.
    """
    values, inverse, counts = np.unique(np.nan_to_num(saliency), return_inverse=True, return_counts=True)
    if values.size < 2:
        return np.full(saliency.shape, 128, np.uint8)
    below = np.cumsum(counts) - counts
    return np.round(255 * below / below[-1]).astype(np.uint8)[inverse]


def _pack_tokens(record: CompressionRecord, modality: Modality) -> dict[str, Any]:
    """One modality's tokens in stream order; `into` names the survivor of every folded one, counted within the modality."""
    at = np.flatnonzero(record.modality == modality)
    reason = record.reason[at]
    place = np.full(record.modality.shape[0], -1, np.int64)
    place[at] = np.arange(at.size)
    into = place[record.source[at[reason == Reason.FOLDED]]]
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
    audio = _pack_tokens(record, Modality.AUDIO)
    saliency = None if record.saliency is None else record.saliency[record.modality == Modality.AUDIO]
    observed = saliency is not None and saliency.size and not np.isnan(saliency).all()
    audio["saliency"] = _base64(ranks(saliency).tobytes()) if observed else None
    steps, rows, columns = record.grid
    step_window = record.window[record.modality == Modality.VIDEO].reshape(steps, rows * columns)[:, 0] if steps else np.zeros(0, int)
    picture = record.retained["video"]
    return {
        "label": label,
        "video": _pack_tokens(record, Modality.VIDEO),
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


def pack_clip(clip: Clip, grid: tuple[int, int, int], second_per_step: float, source: str, name: str, note: str = "") -> dict[str, Any]:
    """A clip as the lens shows it, apart from any decision.

    Args:
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
        "wave": _base64(np.round(255 * wave / (loudest or 1.0)).astype(np.uint8).tobytes()),
        "thumbs": _thumbnails(clip.frames, grid[0]),
    }


def _thumbnails(frames: np.ndarray, steps: int) -> dict[str, Any] | None:
    """Small pictures of steps spread over the clip, side by side in one JPEG; None without a picture."""
    if not steps:
        return None
    from PIL import Image  # only who draws needs it

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
    return {"image": f"data:image/jpeg;base64,{_base64(buffer.getvalue())}", "steps": shown.tolist(), "width": wide, "height": high}
