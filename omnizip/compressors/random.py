"""Uniform random choice: the baseline every method has to beat, beyond the spread of its seeds.

Source: the "Random" rows of OmniZip (tables 1 and 2) and OmniSIFT (table 1), whose scope is not stated; three are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..deferred import Tensor, torch
from ..stream import Modality, TokenStream
from .base import option
from .ops.selection import cumulative_rounding
from .scoring import ScoringCompressor


@dataclass(frozen=True)
class Random(ScoringCompressor):
    """Keep round(retention * (A + V)) audio and video tokens, drawn without replacement."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    summary: ClassVar[str] = "Keeps tokens drawn at random; what any method has to beat."
    source: ClassVar[str] = "baseline of arXiv 2511.14582 and 2602.04804"
    fidelity: ClassVar[str] = "exact"

    scope: str = option(
        "clip", "Drawn from", "All tokens alike, each modality its share, or each window its share.", choices=("clip", "modality", "window")
    )
    seed: int = option(0, "Seed", "Another seed draws other tokens.", low=0, high=2**31 - 1, step=1)

    def score(self, stream: TokenStream) -> Tensor:
        """(A + V,) draws, on the host; the same seed and stream give the same tokens on every device."""
        return torch.rand(stream.media_index.numel(), generator=torch.Generator().manual_seed(self.seed))

    def groups(self, stream: TokenStream, total: int) -> tuple[Tensor, Tensor, int | Tensor]:
        """Draw from the tokens of each group for itself; how many of all add up to `total`. On the host."""
        media = stream.host_modality != Modality.TEXT
        draw = self.score(stream)
        if self.scope == "clip":
            return torch.zeros(draw.numel(), dtype=torch.int64), draw, total
        group = (stream.host_modality[media] == Modality.VIDEO).long() if self.scope == "modality" else stream.host_window[media]
        sizes = torch.bincount(group, minlength=1)
        return group, draw, cumulative_rounding(sizes.double() * (total / max(1, draw.numel())))[group]
