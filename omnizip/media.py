"""A file -> Clip. The file is decoded by decoder.py in a process of its own, under a time and a memory limit.

Whatever a file does to the decoder (crash, hang, eat memory, send garbage), `load` raises a MediaError of one sentence that
names cause and cure, and the caller lives on. What was lost or changed without making the clip useless is in
`Clip.warnings`, one sentence each.

Frames are those shown at the instants k / fps from the first picture. Sampled are at most `settings.max_frames`: of a longer
clip fps is lowered, so that they stay even. Sound is 16 kHz mono whose first sample belongs to the first picture.
Not done: tone mapping of HDR, mirrored display matrices.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import selectors
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .errors import MediaError
from .settings import Settings

SAMPLE_RATE_HZ = 16_000
SILENCE = 10 ** (-60 / 20)  # peak, -60 dBFS: below it nothing is audible
MEGABYTE = 1_000_000
NOTICEABLE_S = 0.1  # shorter shifts of sound and picture go unmentioned
JSON_BYTES = 1 << 16  # longest header or trailer believed
ROW_PADDING_BYTES = 256  # at the end of a row, for alignment
DECODER = Path(__file__).with_name("decoder.py")


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


def load(path: str | os.PathLike, settings: Settings, on_progress: Callable[[float], None] | None = None) -> Clip:
    """Read a clip. `on_progress` hears the fraction done, from 0 to 1. Raises MediaError in one sentence."""
    path = Path(path)
    name = _shown(path)
    with _opened(path, settings) as source:
        job = {"mode": "frames", "source": source, "fps": settings.fps, "max_frames": settings.max_frames}
        job |= {"pixels": settings.decode_pixels, "max_clip_s": settings.max_clip_s}
        with _Decoder(job, (source,), name, settings) as decoder:
            frames, times_s, fps, sound, facts = _received(decoder, settings, on_progress)
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


def transcode_preview(path: str | os.PathLike, out_path: str | os.PathLike, settings: Settings | None = None) -> None:
    """Write `path` as H.264 and AAC in mp4, for browsers that cannot play it as it is. At most 1280 x 720 pixels.
    Raises MediaError as `load` does; then `out_path` does not exist."""
    settings = settings or Settings()
    partial = Path(f"{out_path}.part")
    try:
        with _opened(Path(path), settings) as source, partial.open("wb") as target:
            job = {"mode": "preview", "source": source, "target": target.fileno()}
            job["target_bytes"] = int(settings.max_file_mb * MEGABYTE)
            with _Decoder(job, (source, target.fileno()), _shown(Path(path)), settings) as decoder:
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


# ---- the decoder's process


class _Decoder:
    """One run of decoder.py: started on entry, surely gone on exit. Reads its messages until a deadline."""

    def __init__(self, job: dict, descriptors: tuple[int, ...], name: str, settings: Settings):
        self.name, self.settings = name, settings
        memory = int(settings.decode_memory_mb * MEGABYTE)
        cpu_s = settings.decode_timeout_s * (os.cpu_count() or 1)  # should this process die, the other ends all the same
        found = importlib.util.find_spec("av")
        packages = str(Path(found.origin).parents[1]) if found and found.origin else None
        self._job = json.dumps(job | {"memory_bytes": memory, "cpu_s": cpu_s, "packages": packages})
        self._descriptors = descriptors

    def __enter__(self) -> _Decoder:
        # One numpy thread and few malloc arenas: each reserves address space, which is what the memory limit counts.
        quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        self._deadline = time.monotonic() + self.settings.decode_timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER), self._job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=self._descriptors,
            start_new_session=True,
            env={**os.environ, **quiet},
        )
        self._pipe = self._process.stdout
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux: a frame then crosses in one or two turns
            with suppress(OSError):
                fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        self._pipe.close()

    def fill(self, view: memoryview) -> None:
        """Read exactly as many bytes as `view` has."""
        while view.nbytes:
            left = self._deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise self._too_slow()
            count = self._pipe.readinto(view)
            if not count:
                raise self._ended()
            view = view[count:]

    def message(self) -> tuple[bytes, int]:
        """Tag and payload length of the next message. A FAIL message is raised as its sentence."""
        head = bytearray(12)
        self.fill(memoryview(head))
        tag, length = bytes(head[:4]), struct.unpack("<Q", head[4:])[0]
        if tag == b"FAIL":
            raise self._failed(self.facts(b"TAIL", length))
        return tag, length

    def facts(self, tag: bytes, length: int, expected: bytes = b"TAIL") -> dict[str, Any]:
        """The JSON payload of a message that must be `expected`."""
        if tag != expected or length > JSON_BYTES:
            raise self.garbage()
        payload = bytearray(length)
        self.fill(memoryview(payload))
        try:
            content = json.loads(payload)
        except ValueError:
            raise self.garbage() from None
        if not isinstance(content, dict):
            raise self.garbage()
        return content

    def garbage(self) -> MediaError:
        return MediaError(f"The decoder answered nonsense while reading {self.name}; convert the file to H.264 mp4 and try again.")

    def _too_slow(self) -> MediaError:
        return MediaError(
            f"Decoding {self.name} took longer than {self.settings.decode_timeout_s:g} s and was stopped; "
            "give a shorter or smaller clip, or raise decode_timeout_s."
        )

    def _too_big(self) -> MediaError:
        return MediaError(
            f"Decoding {self.name} needs more than the {self.settings.decode_memory_mb} MB allowed; "
            "give a clip with fewer pixels or raise decode_memory_mb."
        )

    def _ended(self) -> MediaError:
        """The process is gone before it was done; its exit status tells why."""
        try:
            status = self._process.wait(timeout=max(0.1, min(5.0, self._deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            return self._too_slow()
        if status == -signal.SIGXCPU:
            return self._too_slow()
        if status == -signal.SIGKILL:
            return self._too_big()
        if status < 0:
            reason = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
            return MediaError(f"{self.name} made the decoder crash ({reason}); convert the file to H.264 mp4 and try again.")
        return MediaError(f"The decoder did not run (exit status {status}); check that PyAV and numpy are installed in {sys.executable}.")

    def _failed(self, failure: dict[str, Any]) -> MediaError:
        kind, name, settings = failure.get("kind"), self.name, self.settings
        if kind == "memory":
            return self._too_big()
        if kind == "too long" and isinstance(failure.get("seconds"), float):
            return MediaError(
                f"{name} lasts {failure['seconds']:,.1f} s, longer than the {settings.max_clip_s:g} s accepted; "
                "cut it shorter or raise max_clip_s."
            )
        if kind in _SENTENCES:
            return MediaError(_SENTENCES[kind].format(name=name))
        return MediaError(f"{name} cannot be decoded; convert the file to H.264 mp4 and try again.")


_SENTENCES = {
    "not a video": "{name} is not a video this program can read; give an mp4, mov, webm, mkv or gif file.",
    "no index": "{name} was cut off before its index (the moov box), so nothing in it can be found; copy or record it again in full.",
    "sound only": "{name} has sound but no picture; give a clip with a video track.",
    "no picture": "{name} holds no picture that can be decoded; record or export it again.",
    "unknown codec": "{name} uses a video codec that this program has no decoder for; convert it to H.264 mp4.",
}


# ---- what the decoder sends


def _received(
    decoder: _Decoder, settings: Settings, on_progress: Callable[[float], None] | None
) -> tuple[np.ndarray, np.ndarray, float, list[np.ndarray], dict[str, Any]]:
    """Frames, their times, fps, pieces of sound and facts. Nothing that was received is believed unchecked."""
    frames, times_s, count = None, None, 0
    sound: list[np.ndarray] = []
    sound_bytes_left = int((settings.max_clip_s + 60) * SAMPLE_RATE_HZ) * 4
    while True:
        tag, length = decoder.message()
        if tag == b"HEAD" and frames is None:
            head = _Head.checked(decoder, decoder.facts(tag, length, b"HEAD"), settings)
            rows = np.empty((head.height, head.row_bytes), np.uint8)  # as they come, padded and not yet upright
            pixels = np.rot90(rows[:, : 3 * head.width].reshape(head.height, head.width, 3, copy=False), head.turns)
            frames, times_s = np.empty((head.frames, *pixels.shape), np.uint8), np.zeros(head.frames)
        elif tag == b"FRAM" and frames is not None and count < len(frames) and length == 8 + rows.nbytes:
            decoder.fill(memoryview(times_s[count : count + 1]).cast("B"))
            decoder.fill(memoryview(rows).cast("B"))
            frames[count] = pixels
            count += 1
            if on_progress is not None:
                on_progress(count / (len(frames) + 1))  # the tail of the sound is still to come
        elif tag == b"SOUN" and 0 < length <= sound_bytes_left and length % 4 == 0:
            sound_bytes_left -= length
            sound.append(np.empty(length // 4, np.float32))
            decoder.fill(memoryview(sound[-1]).cast("B"))
        elif tag == b"TAIL" and count:
            facts = decoder.facts(tag, length)
            if not all(isinstance(facts.get(key), kind) for key, kind in _FACTS.items()):
                raise decoder.garbage()
            return (frames if count == len(frames) else frames[:count].copy()), times_s[:count], head.fps, sound, facts
        else:
            raise decoder.garbage()


@dataclass(frozen=True)
class _Head:
    """The decoder's announcement of what it will send."""

    frames: int
    height: int
    width: int
    row_bytes: int
    turns: int
    fps: float

    @classmethod
    def checked(cls, decoder: _Decoder, head: dict[str, Any], settings: Settings) -> _Head:
        names = [field.name for field in fields(cls)]
        if not all(isinstance(head.get(name), int | float if name == "fps" else int) for name in names):
            raise decoder.garbage()
        checked = cls(**{name: head[name] for name in names})
        sizes_fit = 0 < checked.height * checked.width <= settings.decode_pixels and checked.width > 0
        rows_fit = 3 * checked.width <= checked.row_bytes <= 3 * checked.width + ROW_PADDING_BYTES
        if not (sizes_fit and rows_fit and 0 < checked.frames <= settings.max_frames and checked.turns in range(4) and checked.fps > 0):
            raise decoder.garbage()
        return checked


_NUMBER, _TEXT = (int, float), (str,)
_FACTS = {
    **dict.fromkeys(("width", "height", "picture_s", "sound_s", "pictures", "damaged_pictures", "damaged_packets"), _NUMBER),
    **dict.fromkeys(("damaged_sound_packets", "early_sound_s", "late_sound_s", "sound_gaps_s"), _NUMBER),
    **dict.fromkeys(("sound_tracks", "picture_tracks", "size_changes", "hdr"), _NUMBER),
    **dict.fromkeys(("container", "brand", "video_codec", "pixel_format"), _TEXT),
    "audio_codec": (str, type(None)),
    "announced_s": (int, float, type(None)),
}


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
    packets, patched = facts["damaged_packets"], facts["damaged_pictures"]
    if packets or patched:
        yield (
            f"The picture is damaged: {_count(packets, 'packet')} could not be decoded and {_count(patched, 'picture')} were "
            "patched up by the decoder."
        )
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
