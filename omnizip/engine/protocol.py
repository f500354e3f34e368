"""What a page or a server needs of an engine: an `Engine`, or whatever stands before one while models come and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..settings import Settings
from ..types import Conditions, Sampling, Turn
from .clips import ClipHandle
from .events import Arm, Event

if TYPE_CHECKING:
    from ..model.qwen import EncodedClip
    from .comparison import History
    from .engine import Preview


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

    def open_clip(self, path: str | Path) -> ClipHandle:
        """Return the handle of a file; keeping it keeps the clip encoded."""
        ...

    def encode(self, clip: str | Path | ClipHandle) -> EncodedClip:
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
    ) -> Preview:
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
