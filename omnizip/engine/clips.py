"""Clips as the engine knows them: a handle that says which clip is meant, and a store of encoded clips bounded in bytes.

A handle is small and holds nothing of the clip. Whoever keeps one (a chat, say) keeps the clip encoded: the store lets clips go
first that nobody holds, least recently used first. All that is stored counts. Where the clips that are held exceed the bound, the
one used least recently is let go all the same, unless it is being answered about, and is encoded again from its file when it is
needed. So the store never holds more than its bound, or than the clips in use and the one used last where these alone are larger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from ..deferred import Tensor
from ..media.part import Part
from ..settings import Settings
from .cache import Cache

if TYPE_CHECKING:
    from ..model.encoders import EncodedClip

FREE, HELD = 0, 1  # ranks of what may be let go


@dataclass(frozen=True)
class ClipKey:
    """All that an encoded clip depends on, for one model."""

    digest: str  # of the file's bytes
    fps: float
    tokens_per_step: int
    max_frames: int
    decode_pixels: int
    start_s: float = 0.0  # the part that is read, seconds from the first picture
    end_s: float = 0.0  # 0 for the end
    audio_track: str = "main"  # or "none", or a number

    @classmethod
    def of(cls, digest: str, settings: Settings) -> ClipKey:
        """The key of the file with this digest as `settings` have it read."""
        s = settings
        return cls(digest, s.fps, s.tokens_per_step, s.max_frames, s.decode_pixels, s.start, s.end, s.audio_track)

    @property
    def part(self) -> Part:
        """What is read of the file."""
        return Part(self.start_s, self.end_s, self.audio_track)


@dataclass(frozen=True)
class PartKey:
    """An encoding of chosen video tokens of a clip; the grid is part of the clip's settings, and said for safety."""

    clip: ClipKey
    grid: tuple[int, int, int]
    seen: bytes  # digest of the mask

    @classmethod
    def of(cls, clip: ClipKey, grid: tuple[int, int, int], seen: Tensor) -> PartKey:
        """The key of a mask (steps, n) bool."""
        return cls(clip, grid, sha256(seen.numpy().tobytes()).digest())


@dataclass(frozen=True, eq=False)
class ClipHandle:
    """A clip that was opened. Keeping it keeps the clip encoded, as far as the store's bound allows."""

    path: Path  # where it is read from, again if it was let go
    key: ClipKey

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


@dataclass(frozen=True, eq=False)
class TimedClip:
    """An encoded clip, and what reading its file took."""

    clip: EncodedClip
    decode_ms: float | None  # None when it was in memory already

    @property
    def nbytes(self) -> int:
        """Bytes of frames, sound and all tensors; of an encoding of a part, which shares the rest with the whole one, its own."""
        read = self.clip.clip
        if self.clip.seen is not None:
            deeper = 0 if self.clip.deepstack is None else self.clip.deepstack.nbytes
            return self.clip.video.nbytes + deeper + self.clip.seen.nbytes
        sound = 0 if read.waveform is None else read.waveform.nbytes
        tensors = [value for field in fields(self.clip) if isinstance(value := getattr(self.clip, field.name), Tensor)]
        return read.frames.nbytes + read.frame_times_s.nbytes + sound + sum(tensor.nbytes for tensor in tensors)


class ClipStore:
    """Encoded clips of at most `limit_bytes`. Safe to use from several threads."""

    def __init__(self, limit_bytes: float) -> None:
        self._handles: WeakSet[ClipHandle] = WeakSet()
        self._used: Counter[ClipKey] = Counter()
        self._lock = Lock()
        self._clips: Cache[TimedClip] = Cache(limit_bytes, lambda clip: clip.nbytes, self._rank)

    def __len__(self) -> int:
        return len(self._clips)

    def __contains__(self, handle: ClipHandle) -> bool:
        return handle.key in self._clips

    @property
    def nbytes(self) -> int:
        """Bytes of all that is stored."""
        return int(self._clips.cost)

    def get(self, handle: ClipHandle, make: Callable[[], TimedClip]) -> tuple[TimedClip, bool]:
        """Return the clip and whether it was there; `handle` holds it from now on. What `make` raises is passed on."""
        with self._lock:
            self._handles.add(handle)
        return self._clips.get(handle.key, make)

    def part(self, handle: ClipHandle, whole: EncodedClip, seen: Tensor, make: Callable[[], EncodedClip]) -> tuple[EncodedClip, bool]:
        """Return the encoding of the video tokens that `seen` marks and whether it was there; it is stored and goes as the clip does.

        Args:
            whole: the clip as encoded; what it has besides picture is shared.
        """
        key = PartKey.of(handle.key, whole.grid, seen)
        timed, known = self._clips.get(key, lambda: TimedClip(make(), None))
        return timed.clip, known

    @contextmanager
    def using(self, handle: ClipHandle) -> Iterator[None]:
        """Within it, the clip is answered about and does not go."""
        with self._lock:
            self._used[handle.key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used[handle.key] -= 1
                if not self._used[handle.key]:
                    del self._used[handle.key]

    def _rank(self, key: Hashable) -> int | None:
        if isinstance(key, PartKey):  # before the whole clip: it is quicker to make
            return FREE
        with self._lock:
            if any(used == key for used in self._used):
                return None
            return HELD if any(handle.key == key for handle in self._handles) else FREE
