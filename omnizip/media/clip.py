"""A file -> Clip. The file is decoded by decoder_main.py in a process of its own, under a time and a memory limit.

Whatever a file does to the decoder (crash, hang, eat memory, send garbage), `load` raises a MediaError of one sentence that
names cause and cure, and the caller lives on. What was lost or changed without making the clip useless is in
`Clip.warnings`, one sentence each.

Frames are those shown at the instants k / fps from the first picture. Sampled are at most `settings.max_frames`: of a longer
clip fps is lowered, so that they stay even. Sound is 16 kHz mono whose first sample belongs to the first picture.
Not done: tone mapping of HDR, mirrored display matrices.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError
from ..settings import Settings
from .decoder_process import MEGABYTE, Arrivals, Decoder, received

SILENCE = 10 ** (-60 / 20)  # peak, -60 dBFS: below it nothing is audible
PREVIEW_PIXELS, SMALL_PREVIEW_PIXELS = 1280 * 720, 640 * 360
NOTICEABLE_S = 0.1  # shorter shifts of sound and picture go unmentioned


@dataclass(frozen=True, eq=False)
class Clip:
    """What was read from a file. N frames of H x W, S samples."""

    path: Path
    digest: str  # first 16 hex digits of the SHA-256 of the file's bytes
    frames: np.ndarray  # (N, H, W, 3) uint8, upright RGB, N >= 1
    frame_times_s: np.ndarray  # (N,) when the frame shown at each sampling instant was first shown, first picture = 0
    fps: float  # frames sampled per second
    waveform: np.ndarray | None  # (S,) float32, 16 kHz mono from the first picture on; None without sound
    duration_s: float  # longer of picture and sound
    width: int  # of the upright original as players show it, pixels
    height: int
    silent: bool  # there is sound, but nothing audible on it
    playable: bool  # browsers play the file as it is
    warnings: tuple[str, ...]


def load(
    path: str | os.PathLike, settings: Settings, on_progress: Callable[[float], None] | None = None, arriving: Arrivals | None = None
) -> Clip:
    """Read a clip. `on_progress` hears the fraction done, from 0 to 1; `arriving` (arriving.py) hears of the frames as they come.

    Raises MediaError in one sentence.
    """
    path = Path(path)
    name = _shown(path)
    with _opened(path, settings) as source:
        job = {"mode": "frames", "source": source, "fps": settings.fps, "max_frames": settings.max_frames}
        job |= {"pixels": settings.decode_pixels, "max_clip_s": settings.max_clip_s}
        with Decoder(job, (source,), name, settings) as decoder:
            frames, times_s, fps, sound, facts = received(decoder, settings, on_progress, arriving)
        digest = _digest(source)
    waveform = np.nan_to_num(np.concatenate(sound), copy=False) if sound else None  # float PCM may hold anything
    silent = waveform is not None and max(waveform.max(), -waveform.min()) < SILENCE
    clip = Clip(
        path=path,
        digest=digest,
        frames=frames,
        frame_times_s=times_s,
        fps=fps,
        waveform=waveform,
        duration_s=max(facts["picture_s"], facts["sound_s"]),
        width=facts["width"],
        height=facts["height"],
        silent=bool(silent),
        playable=_playable(facts),
        warnings=tuple(_warnings(facts, len(frames), fps, waveform is not None, silent, settings)),
    )
    if on_progress is not None:
        on_progress(1.0)
    return clip


def digest(path: str | os.PathLike, settings: Settings) -> str:
    """`Clip.digest` of a file, without decoding it. Raises MediaError where `load` would before decoding."""
    with _opened(Path(path), settings) as source:
        return _digest(source)


def transcode_preview(
    path: str | os.PathLike, out_path: str | os.PathLike, settings: Settings | None = None, *, small: bool = False
) -> None:
    """Write `path` as H.264 and AAC in mp4, for browsers that cannot play it as it is. At most 1280 x 720 pixels; `small`,
    to send along, at most 640 x 360 in fewer bytes. Raises MediaError as `load` does; then `out_path` does not exist."""
    settings = settings or Settings()
    partial = Path(f"{out_path}.part")
    try:
        with _opened(Path(path), settings) as source, partial.open("wb") as target:
            job = {"mode": "preview", "source": source, "target": target.fileno(), "small": small}
            job["pixels"] = SMALL_PREVIEW_PIXELS if small else PREVIEW_PIXELS
            job["target_bytes"] = int(settings.max_file_mb * MEGABYTE)
            with Decoder(job, (source, target.fileno()), _shown(Path(path)), settings) as decoder:
                decoder.facts(*decoder.message())
        partial.replace(out_path)
    finally:
        partial.unlink(missing_ok=True)


# ---- the file


def _shown(path: Path) -> str:
    """The file's name as messages may show it: no folder, no control characters, not endless."""
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    return name if len(name) <= 80 else f"{name[:60]}...{name[-16:]}"


@contextmanager
def _opened(path: Path, settings: Settings) -> Iterator[int]:
    """A descriptor of the regular file at `path`. The decoder gets the descriptor, so what was checked is what is read."""
    name = _shown(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: opening a pipe must not wait for a writer
    except FileNotFoundError:
        raise MediaError(f"There is no file {name}; check the path.") from None
    except (OSError, ValueError):
        raise MediaError(f"{name} cannot be opened; check that it is a file this user may read.") from None
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{name} is a folder; give a video file.")
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(f"{name} is not a regular file; give a video file.")
        if status.st_size == 0:
            raise MediaError(f"{name} is empty; copy or record it again.")
        if status.st_size > settings.max_file_mb * MEGABYTE:
            raise MediaError(
                f"{name} has {status.st_size / MEGABYTE:,.1f} MB, more than the {settings.max_file_mb:g} MB accepted; "
                "give a smaller file or raise max_file_mb."
            )
        yield fd
    finally:
        os.close(fd)


def _digest(fd: int) -> str:
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


# ---- what it means


def _playable(facts: dict[str, Any]) -> bool:
    """Whether current browsers play the file: 8-bit 4:2:0 of their codecs, in mp4 or WebM."""
    video, audio = facts["video_codec"], facts["audio_codec"]
    if facts["pixel_format"] not in ("yuv420p", "yuvj420p"):
        return False
    if facts["brand"] == "webm":
        return video in ("vp8", "vp9", "av1") and audio in (None, "opus", "vorbis")
    return facts["brand"] == "mp4" and video in ("h264", "vp9", "av1") and audio in (None, "aac", "mp3", "opus", "flac")


def _warnings(facts: dict[str, Any], frames: int, fps: float, sound: bool, silent: bool, settings: Settings) -> Iterator[str]:
    yield from _picture_warnings(facts, frames, fps, settings)
    yield from _sound_warnings(facts, sound, silent)


def _picture_warnings(facts: dict[str, Any], frames: int, fps: float, settings: Settings) -> Iterator[str]:
    lost, patched = facts["damaged_packets"], facts["damaged_pictures"]
    damage = [f"{_count(lost, 'packet')} could not be decoded"] * (lost > 0)
    damage += [f"{_count(patched, 'picture')} had to be patched up"] * (patched > 0)
    if damage:
        yield f"The picture is damaged: {' and '.join(damage)}."
    read_s = max(facts["picture_s"], facts["sound_s"])
    if facts["announced_s"] is not None and facts["announced_s"] - read_s > 0.5:
        yield f"The file announces {facts['announced_s']:.1f} s but ends after {read_s:.1f} s; the rest is missing."
    if fps < settings.fps * 0.995:
        yield f"The clip is long, so {fps:.2g} frames per second are sampled instead of {settings.fps:g}, {frames} frames in all."
    if facts["pictures"] == 1:
        yield "The clip has only one picture."
    elif frames == 1:
        yield "The clip is so short that only one frame was sampled."
    if facts["size_changes"]:
        yield "The picture's size changes within the clip; all frames were scaled to the first one's size."
    if facts["hdr"]:
        yield "The picture is HDR; its colours were not converted and look flatter than they should."
    if facts["picture_tracks"] > 1:
        yield f"The file has {facts['picture_tracks']} video tracks; only the main one was read."


def _sound_warnings(facts: dict[str, Any], sound: bool, silent: bool) -> Iterator[str]:
    if facts["damaged_sound_packets"]:
        yield f"The sound is damaged: {_count(facts['damaged_sound_packets'], 'packet')} could not be decoded."
    if not sound and not facts["sound_tracks"]:
        yield "There is no sound track, so no sound guides the compression."
    elif not sound:
        yield "The sound track could not be decoded or is empty, so no sound guides the compression."
    elif silent:
        yield "The sound track is silent, so no sound guides the compression."
    if facts["late_sound_s"] > NOTICEABLE_S:
        yield f"The sound starts {facts['late_sound_s']:.1f} s after the picture; silence was put before it."
    if facts["early_sound_s"] > NOTICEABLE_S:
        yield f"The sound starts {facts['early_sound_s']:.1f} s before the picture; that part was cut."
    if facts["sound_gaps_s"] > NOTICEABLE_S:
        yield f"The sound has gaps of {facts['sound_gaps_s']:.1f} s in all; they were filled with silence."
    if facts["sound_tracks"] > 1:
        yield f"The file has {facts['sound_tracks']} sound tracks; only the main one was read."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
