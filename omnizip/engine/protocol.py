"""What a page or a server needs of an engine: an `Engine`, or whatever stands before one while models come and go.

What `encode` and `preview` return is named here as far as a page reads it: an engine elsewhere does not send the model's own tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..media.part import AS_SET, Part
from ..settings import Settings
from ..types import Conditions, Sampling, Turn
from .clips import ClipHandle
from .events import Arm, Event

if TYPE_CHECKING:
    from ..media import Clip
    from ..report.decision import CompressionRecord
    from ..report.report import ClipRecord
    from .comparison import History


class Viewed(Protocol):
    """A clip as it was read and encoded, as far as it can be looked at."""

    @property
    def clip(self) -> Clip:
        """Frames, sound, and what was read of the file."""
        ...

    @property
    def grid(self) -> tuple[int, int, int]:
        """Steps, rows, columns of video tokens."""
        ...

    @property
    def second_per_step(self) -> float:
        """As sampled."""
        ...

    @property
    def encode_ms(self) -> float:
        """What both encoders took."""
        ...


class Timed(Protocol):
    """An encoding, as far as its price is asked for."""

    @property
    def encode_ms(self) -> float:
        """What both encoders took."""
        ...


class Chosen(Protocol):
    """A method as it applied to a clip."""

    @property
    def name(self) -> str:
        """Key in COMPRESSORS."""
        ...

    @property
    def label(self) -> str:
        """What people read."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Every field with its value."""
        ...


class Previewed(Protocol):
    """What a method would keep, as far as it is shown."""

    @property
    def record(self) -> CompressionRecord:
        """The decision on the host, with its counts."""
        ...

    @property
    def compressor(self) -> Chosen:
        """The method as it applied."""
        ...

    @property
    def clip(self) -> ClipRecord:
        """The clip as it was read."""
        ...

    @property
    def encoded(self) -> Timed:
        """The encoding it rests on."""
        ...

    @property
    def compress_ms(self) -> float:
        """Choosing and merging, without saliency."""
        ...

    @property
    def saliency_ms(self) -> float:
        """What the attention that the method ranks by cost."""
        ...


class ComparisonEngine(Protocol):
    """Opens clips, previews what methods keep of them, and answers about them. Every method raises OmniZipError in one sentence."""

    @property
    def settings(self) -> Settings:
        """The limits and defaults it works under."""
        ...

    @property
    def conditions(self) -> Conditions:
        """What every number of a run depends on."""
        ...

    def open_clip(self, path: str | Path, part: Part = AS_SET) -> ClipHandle:
        """Return the handle of a file, or of a part of it; keeping it keeps the clip encoded."""
        ...

    def encode(self, clip: str | Path | ClipHandle) -> Viewed:
        """Decode and encode a clip, or take it from memory."""
        ...

    def preview(
        self,
        clip: str | Path | ClipHandle,
        arm: Arm,
        question: str = "",
        history: Sequence[Turn] = (),
        *,
        stop: Callable[[], bool] | None = None,
    ) -> Previewed:
        """Choose what a method would keep, without an answer."""
        ...

    def compare(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm],
        *,
        history: History = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with the full model, then with every arm; yields events."""
        ...

    def answer(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arm: Arm,
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with one arm alone, which is number 0; yields events."""
        ...
