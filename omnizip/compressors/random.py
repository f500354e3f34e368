"""Uniform random choice: the baseline every method has to beat, beyond the spread of its seeds.

Source: the "Random" rows of OmniZip (tables 1 and 2) and OmniSIFT (table 1), whose scope is not stated; three are given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..stream import Compression, Modality, Reason, TokenStream
from ..windows import cumulative_rounding
from .base import Compressor, check_retention, option
from .ops.merging import foremost


@dataclass(frozen=True)
class Random(Compressor):
    """Keep round(retention * (A + V)) audio and video tokens, drawn without replacement."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    summary: ClassVar[str] = "Keeps tokens drawn at random; what any method has to beat."
    source: ClassVar[str] = "baseline of arXiv 2511.14582 and 2602.04804"
    fidelity: ClassVar[str] = "exact"

    retention: float = option(0.45, "Kept", "Share of audio and video tokens kept.", low=0.0, high=1.0, step=0.01, is_rate=True)
    scope: str = option(
        "clip", "Drawn from", "All tokens alike, each modality its share, or each window its share.", choices=("clip", "modality", "window")
    )
    seed: int = option(0, "Seed", "Another seed draws other tokens.", low=0, high=2**31 - 1, step=1)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Random:
        """Exactly `retention` of the clip."""
        return replace(cls(**fields), retention=check_retention(retention))

    def compress(self, stream: TokenStream) -> Compression:
        """Draw; the same seed and stream give the same tokens on every device."""
        media = (stream.modality != Modality.TEXT).nonzero().flatten()
        group, counts = self._groups(stream, media)
        draw = torch.rand(media.numel(), generator=torch.Generator().manual_seed(self.seed)).to(media.device)
        kept = foremost(group, draw, counts.to(media.device)[group])
        reason = torch.zeros_like(stream.modality)
        reason[media] = torch.where(kept, Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype)
        return Compression.of(stream, reason)

    def _groups(self, stream: TokenStream, media: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) group of each media token, and (G,) how many of each group to keep; the sum is exact."""
        total = round(self.retention * media.numel())
        if self.scope == "clip":
            return torch.zeros_like(media), torch.tensor([total])
        group = (stream.modality[media] == Modality.VIDEO).long() if self.scope == "modality" else stream.window[media]
        sizes = torch.bincount(group, minlength=1).cpu()
        return group, cumulative_rounding(sizes.double() * (total / max(1, media.numel())))
