"""The other side of decoder/: starts that program, reads its messages, and turns whatever it does into one sentence.

The program gets open descriptors and no environment to speak of, a time limit (kept here: its process group is killed) and
limits on memory, processor time and written files (kept by itself). Its standard input is a pipe that is held open here: it
ends with this process, however this process ends. Nothing it sends is believed unchecked, since the file may have taken it
over.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import MediaError
from ..settings import Settings
from .decoder.__main__ import NO_MEMORY, NO_PACKAGE
from .downmix import Downmix

SAMPLE_RATE_HZ = 16_000
MEGABYTE = 1_000_000
MAX_CHANNELS = 16  # of the sound; the decoder refuses more
JSON_BYTES = 1 << 16  # longest header or trailer believed
ROW_PADDING_BYTES = 256  # at the end of a row, for alignment
POLL_S = 0.1  # how soon it is noticed that nobody wants the clip any more
DECODER = Path(__file__).parent / "decoder" / "__main__.py"


class Cancelled(Exception):
    """Nobody wants the clip any more."""


class DecoderProcess:
    """One run of the decoder: started on entry, surely gone on exit. Reads its messages until a deadline."""

    def __init__(
        self,
        job: dict,
        descriptors: tuple[int, ...],
        name: str,
        settings: Settings,
        cancelled: Callable[[], bool] | None = None,
    ):
        """`name` is how messages call the file; `cancelled` is asked every POLL_S whether to go on."""
        self.name, self.settings, self._cancelled = name, settings, cancelled
        memory = int(settings.decode_memory_mb * MEGABYTE)
        cpu_s = settings.decode_timeout_s * (os.cpu_count() or 1)  # should this process die, the other ends all the same
        found = importlib.util.find_spec("av")
        packages = str(Path(found.origin).parents[1]) if found and found.origin else None
        self._job = json.dumps(job | {"memory_bytes": memory, "cpu_s": cpu_s, "packages": packages})
        self._descriptors = descriptors

    def __enter__(self) -> DecoderProcess:
        # Few malloc arenas, since each reserves address space, which is what the memory limit counts; and no secrets.
        environment = {"MALLOC_ARENA_MAX": "2"} | {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        self._deadline = time.monotonic() + self.settings.decode_timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER), self._job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=self._descriptors,
            start_new_session=True,
            env=environment,
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
        self._process.stdin.close()

    def fill(self, view: memoryview) -> None:
        """Read exactly as many bytes as `view` has."""
        while view.nbytes:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise self._too_slow()
            if self._cancelled is not None and self._cancelled():
                raise Cancelled
            if not self._selector.select(min(left, POLL_S)):
                continue
            count = self._pipe.readinto(view)
            if not count:
                raise self._ended()
            view = view[count:]

    def read_message(self) -> tuple[bytes, int]:
        """Return tag and payload length of the next message. A FAIL message is raised as its sentence."""
        head = bytearray(12)
        self.fill(memoryview(head))
        tag, length = bytes(head[:4]), struct.unpack("<Q", head[4:])[0]
        if tag == b"FAIL":
            raise self._failed(self.read_json(b"TAIL", length))
        return tag, length

    def read_json(self, tag: bytes, length: int, expected: bytes = b"TAIL") -> dict[str, Any]:
        """Read the JSON payload of a message that must be `expected`."""
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

    def _no_memory(self) -> MediaError:
        return MediaError(
            f"The decoder ran out of memory while reading {self.name} ({self.settings.decode_memory_mb} MB are allowed, unless this "
            "machine has fewer left); give a smaller clip, raise decode_memory_mb, or try again when the machine is less busy."
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
            return MediaError(
                f"The decoder was killed from outside while reading {self.name}, most likely because this machine had no memory "
                "left; try again when it is less busy, or give a smaller clip."
            )
        if status < 0:
            reason = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
            return MediaError(f"{self.name} made the decoder crash ({reason}); convert the file to H.264 mp4 and try again.")
        if status == NO_PACKAGE:
            return MediaError("The decoder needs PyAV, which is not installed; install it (pip install av).")
        if status == NO_MEMORY:
            return self._no_memory()
        return MediaError(
            f"The decoder ended without a word while reading {self.name} (exit status {status}); try again, and if that does not help, "
            'check that PyAV works (python -c "import av").'
        )

    def _failed(self, failure: dict[str, Any]) -> MediaError:
        kind, name, settings = failure.get("kind"), self.name, self.settings
        if kind == "memory":
            return self._no_memory() if failure.get("less") is True else self._too_big()
        if kind == "too long" and isinstance(failure.get("seconds"), float):
            return MediaError(
                f"{'The chosen part of ' * bool(settings.start or settings.end)}{name} lasts {failure['seconds']:,.1f} s, longer than the "
                f"{settings.max_clip_s:g} s accepted; cut it shorter, choose a part of it with start and end, or raise max_clip_s."
            )
        if kind == "starts behind the end" and isinstance(failure.get("seconds"), float):
            return MediaError(
                f"{name} ends after {failure['seconds']:,.1f} s, so nothing is left from {settings.start:g} s on; give an earlier start."
            )
        if kind == "no such track":
            return MediaError(_no_such_track(name, settings.audio_track, failure))
        if kind in _SENTENCES:
            return MediaError(_SENTENCES[kind].format(name=name))
        return MediaError(f"{name} cannot be decoded; convert the file to H.264 mp4 and try again.")


def _no_such_track(name: str, asked: str, failure: dict[str, Any]) -> str:
    titles, count = failure.get("tracks"), failure.get("count")
    if not isinstance(titles, list) or not isinstance(count, int) or not count:
        return f"{name} has no sound, so there is no track {asked}; choose main or none."
    told = ", ".join(f"{number} {str(title)[:80]}".strip() for number, title in enumerate(titles[:8], 1))
    return f"{name} has no sound track {asked}; it has {count} ({told}): choose one of these, main or none."


_SENTENCES = {
    "not a video": "{name} is not a video this program can read; give an mp4, mov, webm, mkv or gif file.",
    "no index": "{name} was cut off before its index (the moov box), so nothing in it can be found; copy or record it again in full.",
    "damaged index": "{name} has a damaged index (the moov box), so nothing in it can be found; copy or record it again.",
    "sound only": "{name} has sound but no picture; give a clip with a video track.",
    "no picture": "{name} holds no picture that can be decoded; record or export it again.",
    "no sound to join": "The sound that was given for {name} cannot be read; give a wav or mp3 file.",
    "cannot be joined": "{name} cannot be put beside another sound as it is; convert it to H.264 mp4.",
    "absurd size": "{name} is damaged: its tables ask for more memory than any clip needs; copy or record it again.",
    "damaged times": "{name} is damaged: by its time stamps it would last for weeks; copy or record it again.",
    "large copy": "it would be larger than a file may be; give a shorter clip or raise max_file_mb.",
    "full disk": "the disk is full; free some space and try again.",
    "unknown codec": "{name} uses a video codec that this program has no decoder for; convert it to H.264 mp4.",
}


# ---- what the decoder sends


class FrameListener(Protocol):
    """What hears of frames before all of them are there (frame_buffer.FrameBuffer)."""

    def announce(self, frames: np.ndarray) -> None: ...

    def count(self, there: int) -> None: ...


@dataclass(frozen=True)
class Content:
    """What a decoder sent: N frames of H x W, S samples."""

    frames: np.ndarray  # (N, H, W, 3) uint8
    times_s: np.ndarray  # (N,)
    fps: float
    waveform: np.ndarray | None  # (S,) float32
    downmix: Downmix | None  # what mixed it; None without sound
    facts: dict[str, Any]


def receive(
    decoder: DecoderProcess, settings: Settings, on_progress: Callable[[float], None] | None, arriving: FrameListener | None = None
) -> Content:
    """Read everything a decoder in mode "frames" sends, and check it.

    `arriving` hears of the array the frames go to, and after each how many there are.
    """
    frames, times_s, count = None, None, 0
    downmix: Downmix | None = None
    sound: list[np.ndarray] = []
    instants_left = int((settings.max_clip_s + 60) * SAMPLE_RATE_HZ)
    while True:
        tag, length = decoder.read_message()
        if tag == b"HEAD" and frames is None:
            head = _Head.checked(decoder, decoder.read_json(tag, length, b"HEAD"), settings)
            rows = np.empty((head.height, head.row_bytes), np.uint8)  # as they come, padded and not yet upright
            pixels = head.upright(rows[:, : 3 * head.width].reshape(head.height, head.width, 3, copy=False))
            frames, times_s = np.empty((head.frames, *pixels.shape), np.uint8), np.zeros(head.frames)
            if arriving is not None:
                arriving.announce(frames)
        elif tag == b"FRAM" and frames is not None and count < len(frames) and length == 8 + rows.nbytes:
            decoder.fill(memoryview(times_s[count : count + 1]).cast("B"))
            decoder.fill(memoryview(rows).cast("B"))
            frames[count] = pixels
            count += 1
            if arriving is not None:
                arriving.count(count)
            if on_progress is not None:
                on_progress(count / (len(frames) + 1))  # the tail of the sound is still to come
        elif tag == b"CHAN" and downmix is None:
            downmix = Downmix(_channels(decoder, decoder.read_json(tag, length, b"CHAN")))
            sample_bytes = 4 * len(downmix.shares)
        elif tag == b"SOUN" and downmix is not None and 0 < length <= instants_left * sample_bytes and length % sample_bytes == 0:
            instants_left -= length // sample_bytes
            samples = np.empty((length // sample_bytes, len(downmix.shares)), np.float32)
            decoder.fill(memoryview(samples).cast("B"))
            sound.append(downmix.mix(samples))
        elif tag == b"TAIL" and count:
            facts = decoder.read_json(tag, length)
            if not all(isinstance(facts.get(key), kind) for key, kind in _FACTS.items()):
                raise decoder.garbage()
            waveform = np.concatenate(sound) if sound else None
            frames = frames if count == len(frames) else frames[:count].copy()
            return Content(frames, times_s[:count], head.fps, waveform, downmix, facts)
        else:
            raise decoder.garbage()


def _channels(decoder: DecoderProcess, content: dict[str, Any]) -> list[str]:
    names = content.get("channels")
    if not isinstance(names, list) or not 0 < len(names) <= MAX_CHANNELS or not all(isinstance(name, str) for name in names):
        raise decoder.garbage()
    return names


@dataclass(frozen=True)
class _Head:
    """The decoder's announcement of what it will send."""

    frames: int
    height: int
    width: int
    row_bytes: int
    turns: int
    mirrored: bool
    fps: float

    @classmethod
    def checked(cls, decoder: DecoderProcess, head: dict[str, Any], settings: Settings) -> _Head:
        names = [field.name for field in fields(cls)]
        if not all(isinstance(head.get(name), int | float if name == "fps" else int) for name in names):
            raise decoder.garbage()
        checked = cls(**{name: head[name] for name in names})
        sizes_fit = 0 < checked.height * checked.width <= settings.decode_pixels and checked.width > 0
        rows_fit = 3 * checked.width <= checked.row_bytes <= 3 * checked.width + ROW_PADDING_BYTES
        if not (sizes_fit and rows_fit and 0 < checked.frames <= settings.max_frames and checked.turns in range(4) and checked.fps > 0):
            raise decoder.garbage()
        return checked

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """A view (H, W, 3) of stored pixels as players show them."""
        return np.rot90(pixels[:, ::-1] if self.mirrored else pixels, self.turns)


_NUMBER, _TEXT = (int, float), (str,)
_NUMBERS = """
    width height picture_s sound_s unread_start_s restarts pictures damaged_pictures misplaced_pictures damaged_packets
    damaged_sound_packets misplaced_sound_s early_sound_s late_sound_s sound_gaps_s sound_tracks picture_tracks
    skipped_sound_tracks skipped_picture_tracks refused_channels late_tracks size_changes hdr interlaced alpha
    unread_alpha
"""
_FACTS = {
    **dict.fromkeys(_NUMBERS.split(), _NUMBER),
    **dict.fromkeys(("container", "brand", "video_codec", "pixel_format"), _TEXT),
    "audio_codec": (str, type(None)),
    "announced_s": (int, float, type(None)),
}
