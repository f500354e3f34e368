"""EchoingPixels, as a proxy: one ranking over sound and picture together, by the attention they give each other.

Source: "EchoingPixels", ICML 2026, arXiv 2512.10324. The method trains four added layers that look both ways over all audio
and video, a score head, and positions of its own; no weights are published. This stands in for it without training: the
language model's own first four layers are run once over audio and video with the causal mask left out, a token's score is
the attention it receives in the fourth, and the highest scores of both media stay, so the split between them is free. How
good the trained method is cannot be told from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..deferred import Tensor
from ..stream import TokenStream
from .scoring import ScoringCompressor


@dataclass(frozen=True)
class EchoingPixels(ScoringCompressor):
    """A joint ranking over both media."""

    name: ClassVar[str] = "echoingpixels"
    label: ClassVar[str] = "EchoingPixels (proxy)"
    summary: ClassVar[str] = "Ranks sound and picture together by the attention they give each other in the first four layers."
    source: ClassVar[str] = "arXiv 2512.10324 (ICML 2026)"
    fidelity: ClassVar[str] = "proxy: untrained layers of the language model for trained ones that are not published"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency_joint"})

    def score(self, stream: TokenStream) -> Tensor:
        """(A + V,) the attention each token receives from all others of the clip."""
        observed = stream.observed("saliency_joint")
        return stream.embeds[stream.media_index].float().norm(dim=-1) if observed is None else observed

    def notes(self, stream: TokenStream) -> tuple[str, ...]:
        """What people have to know: that no attention was given."""
        if stream.observed("saliency_joint") is not None or not stream.media_index.numel():
            return ()
        return ("This stream comes without a model, so tokens are ranked by the norm of their embeddings.",)
