"""EchoingPixels, as a proxy: one ranking over sound and picture together, by the attention they give each other.

Source: "EchoingPixels", ICML 2026, arXiv 2512.10324. The method trains four added layers that look both ways over all audio
and video, a score head, and positions of its own; no weights are published. This stands in for it without training: the
language model's own first four layers are run once over audio and video with the causal mask left out, a token's score is
the attention it receives in the fourth, and the highest scores of both media stay, so the split between them is free. How
good the trained method is cannot be told from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from ..stream import Compression, Modality, Reason, TokenStream
from .base import Compressor, check_retention, option
from .ops.merging import foremost


@dataclass(frozen=True)
class EchoingPixels(Compressor):
    """A joint ranking over both media."""

    name: ClassVar[str] = "echoingpixels"
    label: ClassVar[str] = "EchoingPixels (proxy)"
    summary: ClassVar[str] = "Ranks sound and picture together by the attention they give each other in the first four layers."
    source: ClassVar[str] = "arXiv 2512.10324 (ICML 2026)"
    fidelity: ClassVar[str] = "proxy: untrained layers of the language model for trained ones that are not published"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency_joint"})

    retention: float = option(0.45, "Kept", "Share of audio and video tokens kept.", low=0.0, high=1.0, step=0.01, is_rate=True)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> EchoingPixels:
        """Exactly `retention` of the clip."""
        return replace(cls(**fields), retention=check_retention(retention))

    def compress(self, stream: TokenStream) -> Compression:
        """The highest scores of both media."""
        media = (stream.modality != Modality.TEXT).nonzero().flatten()
        score, notes = stream.observed("saliency_joint"), ()
        if score is None:
            score = stream.embeds[media].float().norm(dim=-1)
            notes = ("This stream comes without a model, so tokens are ranked by the norm of their embeddings.",) if media.numel() else ()
        kept = foremost(torch.zeros_like(media), score, round(self.retention * media.numel()))
        reason = torch.zeros_like(stream.modality)
        reason[media] = torch.where(kept, Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype)
        return Compression.of(stream, reason, notes=notes)
