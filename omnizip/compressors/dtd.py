"""DTD, the differential token dropping of TimeChat-Online: drop what did not change since the step before.

Source: "TimeChat-Online", ACM Multimedia 2025, re-implemented from a description (its feature mode; the pixel mode needs the
pictures, which a token stream no longer has). Each step is compared with the whole step before it, place by place; the
first step is kept whole; sound is untouched. Faithful for one clip; looked at in one pass instead of a loop over ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream
from .base import option
from .ops.selection import cumulative_rounding, highest
from .ops.similarity import echo_of_previous
from .scoring import VideoCompressor


@dataclass(frozen=True)
class DTD(VideoCompressor):
    """Drop by a threshold, as published, or the same share of every step."""

    name: ClassVar[str] = "dtd"
    label: ClassVar[str] = "DTD (TimeChat-Online)"
    summary: ClassVar[str] = "Drops patches that look as they did a second before; keeps all sound."
    source: ClassVar[str] = "arXiv 2504.17343 (ACM MM 2025)"
    fidelity: ClassVar[str] = "faithful, feature mode only"
    keeps_first_step: ClassVar[bool] = True
    exact: ClassVar[Mapping[str, Any]] = {"mode": "share"}

    mode: str = option(
        "threshold", "Drop", "Whatever is more alike than the threshold, or a share of each step.", choices=("threshold", "share")
    )
    threshold: float = option(0.5, "Threshold", "Cosine above which a patch counts as unchanged.", low=-1.0, high=1.0, step=0.01)
    video_share: float = option(
        0.45, "Video kept", "Share of the video kept, the first step whole.", low=0.0, high=1.0, step=0.01, is_rate=True
    )

    def score(self, stream: TokenStream) -> Tensor:
        """(steps, n) how unlike each video token is to the same place of the step before; the first step is unlike anything."""
        return -echo_of_previous(stream)

    def compress(self, stream: TokenStream) -> Compression:
        """Keep the first step and what changed since."""
        score = self.score(stream)
        if self.mode == "threshold":
            return self.keep_video(stream, score >= -self.threshold, Reason.CHANGE)
        steps, n = stream.grid[0], stream.tokens_per_step
        later = round(self.video_share * stream.n_video) - n
        counts = torch.full((steps,), max(0.0, later / max(1, steps - 1)), dtype=torch.float64)
        counts[:1] = n
        return self.keep_video(stream, highest(score, cumulative_rounding(counts)), Reason.CHANGE)
