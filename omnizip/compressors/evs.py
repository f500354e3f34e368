"""EVS, efficient video sampling: over the whole clip keep what differs most from the step before.

Source: "Efficient Video Sampling", arXiv 2510.14624, as served by vLLM and SGLang; re-implemented from a description. The first step is
kept whole, then the least alike tokens of all later steps until the budget is met. Sound is untouched. Faithful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream
from .base import option
from .ops.selection import highest
from .ops.similarity import echo_of_previous
from .scoring import VideoCompressor


@dataclass(frozen=True)
class EVS(VideoCompressor):
    """One ranking over the clip."""

    name: ClassVar[str] = "evs"
    label: ClassVar[str] = "EVS"
    summary: ClassVar[str] = "Keeps the patches of the clip that changed most; keeps all sound."
    source: ClassVar[str] = "arXiv 2510.14624"
    fidelity: ClassVar[str] = "faithful"
    keeps_first_step: ClassVar[bool] = True

    video_share: float = option(
        0.45, "Video kept", "Share of the video kept, the first step whole.", low=0.0, high=1.0, step=0.01, is_rate=True
    )

    def score(self, stream: TokenStream) -> Tensor:
        """(steps, n) how unlike each video token is to the same place of the step before; the first step is unlike anything."""
        return -echo_of_previous(stream)

    def compress(self, stream: TokenStream) -> Compression:
        """Keep the first step and the most changed of the rest."""
        score = self.score(stream)
        count = max(stream.tokens_per_step, round(self.video_share * stream.n_video))
        kept = highest(score.view(1, -1), torch.tensor([count]))
        return self.keep_video(stream, kept.view(score.shape), Reason.CHANGE)
