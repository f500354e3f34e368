"""The other side of decoder_main.py: starts it, reads its messages, and turns whatever it does into one sentence.

The program gets open descriptors and no environment to speak of, a time limit (kept here: its process group is killed) and
limits on memory, processor time and written files (kept by itself). Nothing it sends is believed unchecked, since the file
may have taken it over.
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

SAMPLE_RATE_HZ = 16_000
MEGABYTE = 1_000_000
JSON_BYTES = 1 << 16  # longest header or trailer believed
ROW_PADDING_BYTES = 256  # at the end of a row, for alignment
DECODER = Path(__file__).with_name("decoder_main.py")


class Decoder:
    """One run of decoder_main.py: started on entry, surely gone on exit. Reads its messages until a deadline."""

    def __init__(self, job: dict, descriptors: tuple[int, ...], name: str, settings: Settings):
        self.name, self.settings = name, settings
        memory = int(settings.decode_memory_mb * MEGABYTE)
        cpu_s = settings.decode_timeout_s * (os.cpu_count() or 1)  # should this process die, the other ends all the same
        found = importlib.util.find_spec("av")
        packages = str(Path(found.origin).parents[1]) if found and found.origin else None
        self._job = json.dumps(job | {"memory_bytes": memory, "cpu_s": cpu_s, "packages": packages})
        self._descriptors = descriptors

    def __enter__(self) -> Decoder:
        # Few malloc arenas, since each reserves address space, which is what the memory limit counts; and no secrets.
        environment = {"MALLOC_ARENA_MAX": "2"} | {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        self._deadline = time.monotonic() + self.settings.decode_timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(DECODER), self._job],
            stdin=subprocess.DEVNULL,
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
        return MediaError(f"The decoder did not run (exit status {status}); check that PyAV is installed (pip install av).")

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


class Arrivals(Protocol):
    """Who wants frames before all of them are there."""

    def announce(self, frames: np.ndarray) -> None: ...

    def count(self, there: int) -> None: ...


def received(
    decoder: Decoder, settings: Settings, on_progress: Callable[[float], None] | None, arriving: Arrivals | None = None
) -> tuple[np.ndarray, np.ndarray, float, list[np.ndarray], dict[str, Any]]:
    """Frames, their times, fps, pieces of sound and facts. Nothing that was received is believed unchecked.

    `arriving` hears of the array the frames go to, and after each how many there are.
    """
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
    def checked(cls, decoder: Decoder, head: dict[str, Any], settings: Settings) -> _Head:
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
