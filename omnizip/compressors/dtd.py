"""DTD, the differential token dropping of TimeChat-Online: drop what did not change since the step before.

Source: "TimeChat-Online", ACM Multimedia 2025, re-implemented from a description (its feature mode; the pixel mode needs the
pictures, which a token stream no longer has). Each step is compared with the whole step before it, place by place; the
first step is kept whole; sound is untouched. Faithful for one clip; looked at in one pass instead of a loop over ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..budget import video_share_for
from ..stream import Compression, Reason, TokenStream
from ..windows import cumulative_rounding
from .base import Compressor, check_retention, option
from .ops.similarity import highest
from .ops.video import echo_of_previous, keep_video


@dataclass(frozen=True)
class DTD(Compressor):
    """Drop by a threshold, as published, or the same share of every step."""

    name: ClassVar[str] = "dtd"
    label: ClassVar[str] = "DTD (TimeChat-Online)"
    summary: ClassVar[str] = "Drops patches that look as they did a second before; keeps all sound."
    source: ClassVar[str] = "arXiv 2504.17343 (ACM MM 2025)"
    fidelity: ClassVar[str] = "faithful, feature mode only"

    mode: str = option(
        "threshold", "Drop", "Whatever is more alike than the threshold, or a share of each step.", choices=("threshold", "share")
    )
    threshold: float = option(0.5, "Threshold", "Cosine above which a patch counts as unchanged.", low=-1.0, high=1.0, step=0.01)
    video_share: float = option(
        0.45, "Video kept", "Share of the video kept, the first step whole.", low=0.0, high=1.0, step=0.01, is_rate=True
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> DTD:
        """The same share of every step but the first, such that the clip meets the retention."""
        share, shortfall = video_share_for(check_retention(retention), stream.n_audio, stream.n_video, stream.tokens_per_step)
        return cls(**{**fields, "mode": "share", "video_share": share, "shortfall": shortfall})

    def compress(self, stream: TokenStream) -> Compression:
        """Keep the first step and what changed since."""
        steps, n = stream.grid[0], stream.tokens_per_step
        cosine = echo_of_previous(stream)
        if self.mode == "threshold":
            kept = cosine <= self.threshold
        else:
            later = round(self.video_share * stream.n_video) - n
            counts = torch.full((steps,), max(0.0, later / max(1, steps - 1)), dtype=torch.float64)
            counts[:1] = n
            kept = highest(-cosine, cumulative_rounding(counts))
        return keep_video(stream, kept, Reason.CHANGE, (self.shortfall,))
