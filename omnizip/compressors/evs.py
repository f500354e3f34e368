"""EVS, efficient video sampling: over the whole clip keep what differs most from the step before.

Source: "Efficient Video Sampling", arXiv 2510.14624, as served by vLLM and SGLang; re-implemented from a description. The first step is
kept whole, then the least alike tokens of all later steps until the budget is met. Sound is untouched. Faithful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import video_share_for
from ..stream import Compression, Reason, TokenStream
from .base import Compressor, check_retention, option
from .ops.similarity import highest
from .ops.video import echo_of_previous, keep_video


@dataclass(frozen=True)
class EVS(Compressor):
    """One ranking over the clip."""

    name: ClassVar[str] = "evs"
    label: ClassVar[str] = "EVS"
    summary: ClassVar[str] = "Keeps the patches of the clip that changed most; keeps all sound."
    source: ClassVar[str] = "arXiv 2510.14624"
    fidelity: ClassVar[str] = "faithful"

    video_share: float = option(
        0.45, "Video kept", "Share of the video kept, the first step whole.", low=0.0, high=1.0, step=0.01, is_rate=True
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> EVS:
        """The share of the video that meets the retention with all sound kept."""
        share, shortfall = video_share_for(check_retention(retention), stream.n_audio, stream.n_video, stream.tokens_per_step)
        return cls(**{**fields, "video_share": share, "shortfall": shortfall})

    def compress(self, stream: TokenStream) -> Compression:
        """Keep the first step and the most changed of the rest."""
        cosine = echo_of_previous(stream)
        count = max(stream.tokens_per_step, round(self.video_share * stream.n_video))
        kept = highest(-cosine.view(1, -1), cosine.new_tensor([count]))
        return keep_video(stream, kept.view(cosine.shape), Reason.CHANGE, (self.shortfall,))
