"""A file -> Clip. The file is decoded by the program in decoder/ in a process of its own, under a time and a memory limit.

Whatever a file does to the decoder (crash, hang, eat memory, send garbage), `load` raises a MediaError of one sentence that
names cause and cure, and the caller lives on. What was lost or changed without making the clip useless is in
`Clip.warnings`, one sentence each.

Frames are those shown at the instants k / fps from the first picture, until the longer of picture and sound ends: the last
picture stays. Sampled are at most `settings.max_frames`: of a longer clip fps is lowered, so that they stay even. Sound is
16 kHz mono whose first sample belongs to the first picture. Not done: tone mapping of HDR.
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
from .decoder_process import MEGABYTE, SAMPLE_RATE_HZ, DecoderProcess, FrameListener, receive
from .notices import Outcome, sentences

SILENCE = 10 ** (-60 / 20)  # peak, -60 dBFS: below it nothing is audible
# Usual names of the containers that are read; the file's content decides, not its name.
_ISO_AND_WEB = (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".gif", ".avi", ".ivf")
SUFFIXES = (*_ISO_AND_WEB, ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".flv", ".wmv", ".asf", ".ogv", ".ogg")
PREVIEW_PIXELS, SMALL_PREVIEW_PIXELS = 1280 * 720, 640 * 360


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
    whole: bool = True  # no part and no other sound track was chosen

    @property
    def shows_as_it_is(self) -> bool:
        """Whether a browser that plays the file itself shows what was read."""
        return self.playable and self.whole


def load(
    path: str | os.PathLike,
    settings: Settings,
    on_progress: Callable[[float], None] | None = None,
    arriving: FrameListener | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Clip:
    """Read a clip.

    Args:
        on_progress: hears the fraction done, from 0 to 1.
        arriving: hears of the frames as they come (frame_buffer.py).
        cancelled: asked several times a second whether the clip is no longer wanted; the decoder then ends at once.

    Raises:
        MediaError: the file cannot be read; in one sentence.
        Cancelled: `cancelled` said so.
    """
    path = Path(path)
    name = display_name(path)
    with opened(path, settings) as source:
        job = {"mode": "frames", "source": source, "fps": settings.fps, "max_frames": settings.max_frames}
        job |= {"pixels": settings.decode_pixels, "max_clip_s": settings.max_clip_s} | _part(settings)
        with DecoderProcess(job, (source,), name, settings, cancelled) as decoder:
            content = receive(decoder, settings, on_progress, arriving)
        digest = _digest(source)
    facts, downmix, waveform = content.facts, content.downmix, content.waveform
    silent = downmix is not None and downmix.peak < SILENCE
    alone_s = downmix.alone_samples / SAMPLE_RATE_HZ if downmix is not None else 0.0
    outcome = Outcome(len(content.frames), content.fps, settings.fps, waveform is not None, silent, alone_s, settings.audio_track)
    clip = Clip(
        path=path,
        digest=digest,
        frames=content.frames,
        frame_times_s=content.times_s,
        fps=content.fps,
        waveform=waveform,
        duration_s=max(facts["picture_s"], facts["sound_s"]),
        width=facts["width"],
        height=facts["height"],
        silent=silent,
        playable=_playable(facts),
        warnings=(*_chosen(settings, max(facts["picture_s"], facts["sound_s"])), *sentences(facts, outcome)),
        whole=not settings.chooses_part,
    )
    if on_progress is not None:
        on_progress(1.0)
    return clip


def digest(path: str | os.PathLike, settings: Settings) -> str:
    """`Clip.digest` of a file, without decoding it. Raises MediaError where `load` would before decoding."""
    with opened(Path(path), settings) as source:
        return _digest(source)


def transcode_preview(
    path: str | os.PathLike,
    out_path: str | os.PathLike,
    settings: Settings | None = None,
    *,
    small: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Write `path` as H.264 and AAC in mp4, for browsers that cannot play it as it is: the pictures and sound that `load`
    reads, at the same instants. At most 1280 x 720 pixels; `small`, to send along, at most 640 x 360 in fewer bytes.

    Raises:
        MediaError, Cancelled: as `load` does; then `out_path` does not exist.
    """
    settings = settings or Settings()
    partial = Path(f"{out_path}.part")
    try:
        with opened(Path(path), settings) as source, partial.open("wb") as target:
            job = {"mode": "preview", "source": source, "target": target.fileno(), "small": small}
            job["pixels"] = SMALL_PREVIEW_PIXELS if small else PREVIEW_PIXELS
            job["target_bytes"] = int(settings.max_file_mb * MEGABYTE)
            job |= {"max_clip_s": settings.max_clip_s} | _part(settings)
            with DecoderProcess(job, (source, target.fileno()), display_name(Path(path)), settings, cancelled) as decoder:
                try:
                    decoder.read_json(*decoder.read_message())
                except MediaError as problem:
                    raise MediaError(f"No copy that browsers play could be made: {problem}") from None
        partial.replace(out_path)
    finally:
        partial.unlink(missing_ok=True)


def join_sound(
    path: str | os.PathLike,
    sound_path: str | os.PathLike,
    out_path: str | os.PathLike,
    settings: Settings | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Write `out_path` with the pictures of `path` and the sound of another file, both copied and from their beginnings.

    The same two files always make the same bytes, hence the same digest.

    Raises:
        MediaError, Cancelled: as `load` does, and where the sound cannot be read; then `out_path` does not exist.
    """
    settings = settings or Settings()
    partial = Path(f"{out_path}.part")
    try:
        with opened(Path(path), settings) as source, opened(Path(sound_path), settings) as sound, partial.open("wb") as target:
            job = {"mode": "join", "source": source, "sound": sound, "target": target.fileno()}
            job["target_bytes"] = 2 * int(settings.max_file_mb * MEGABYTE)
            descriptors = (source, sound, target.fileno())
            with DecoderProcess(job, descriptors, display_name(Path(path)), settings, cancelled) as decoder:
                decoder.read_json(*decoder.read_message())
        partial.replace(out_path)
    finally:
        partial.unlink(missing_ok=True)


def _part(settings: Settings) -> dict[str, Any]:
    """What the decoder has to know of the part that is read."""
    return {"start_s": settings.start, "end_s": settings.end, "audio_track": settings.audio_track}


def _chosen(settings: Settings, duration_s: float) -> Iterator[str]:
    """What a reader should know of the part that was chosen."""
    if settings.start or settings.end:
        end_s = settings.start + duration_s
        yield f"Only the part from {settings.start:g} s to {end_s:.1f} s was read, as chosen; all times count from its start."
        if settings.end - end_s > 0.1:
            yield f"The clip ends at {end_s:.1f} s, before the chosen end, {settings.end:g} s."


# ---- the file


def display_name(path: Path) -> str:
    """The file's name as messages may show it: no folder, no control characters, not endless."""
    name = "".join(c if c.isprintable() else "?" for c in path.name)
    return name if len(name) <= 80 else f"{name[:60]}...{name[-16:]}"


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[int]:
    """A descriptor of the regular file at `path`. The decoder gets the descriptor, so what was checked is what is read."""
    name = display_name(path)
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
