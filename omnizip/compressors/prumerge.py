"""LLaVA-PruMerge: keep the patches that stand out in attention, and let each take in the patches most like it.

Source: "LLaVA-PruMerge", ICCV 2025, arXiv 2403.15388, re-implemented from a description. Per step: tokens whose attention
received lies above the third quartile by 1.5 interquartile ranges are kept, so the content decides how many; each adds the
attention-weighted sum of the 32 others of its step that are most like it; one extra token is the attention-weighted sum of
all that was dropped. Weights are attention received, as shares of the step.

Adapted: Qwen's encoder has no class token (attention of all patches of the step instead), likeness is the cosine of
embeddings instead of keys, the extra token stands at the place that receives least attention, and all sound is kept. With
a budget, the method's "+" form: the most outstanding outliers stay, and what is left of the budget goes to evenly spaced
tokens of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..budget import video_share_for
from ..stream import Compression, Modality, Reason, TokenStream
from .base import Compressor, check_retention, option
from .ops.merging import foremost
from .ops.similarity import norms
from .ops.video import step_rows, video_saliency

TAKEN_IN = 32
FENCE = 1.5  # interquartile ranges above the third quartile


@dataclass(frozen=True)
class PruMerge(Compressor):
    """Outliers of attention that take in their likes."""

    name: ClassVar[str] = "prumerge"
    label: ClassVar[str] = "PruMerge"
    summary: ClassVar[str] = "Keeps patches that stand out in attention and adds to each the patches like it; keeps all sound."
    source: ClassVar[str] = "arXiv 2403.15388 (ICCV 2025)"
    fidelity: ClassVar[str] = "adapted: attention of all patches for the class token's, likeness by embeddings"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency_video"})

    mode: str = option(
        "outliers",
        "Keep",
        "Outliers alone, however many, or a budget filled up with evenly spaced patches.",
        choices=("outliers", "budget"),
    )
    video_share: float = option(0.45, "Video kept", "Share of the video kept, with a budget.", low=0.0, high=1.0, step=0.01, is_rate=True)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> PruMerge:
        """The share of the video that meets the retention with all sound kept, with a budget."""
        share, shortfall = video_share_for(check_retention(retention), stream.n_audio, stream.n_video)
        return cls(**{**fields, "mode": "budget", "video_share": share, "shortfall": shortfall})

    def compress(self, stream: TokenStream) -> Compression:
        """Outliers, extras, and what they take in."""
        score, notes = video_saliency(stream)
        kept, extra = self._choose(score) if stream.n_video else (score.bool(), score.bool())
        index = stream.video_index.view(kept.shape)
        reason = torch.where(stream.modality == Modality.AUDIO, Reason.METHOD_SCORE, Reason.TEXT).to(stream.modality.dtype)
        reason[index] = torch.where(kept, Reason.METHOD_SCORE, torch.where(extra, Reason.ANCHOR, Reason.DROPPED)).to(reason.dtype)
        source = torch.full_like(stream.window, -1)
        folded, rows = [stream.video_index[:0]], [stream.embeds[:0].float()]
        for block, x in step_rows(stream):
            made, home = _take_in(x, score[block].float(), kept[block], extra[block])
            places, survives = index[block], kept[block] | extra[block]
            lost = ~survives & (home >= 0)
            reason[places[lost]] = Reason.FOLDED
            source[places[lost]] = places.gather(1, home.clamp(min=0))[lost]
            folded.append(places[survives])
            rows.append(made[survives])
        notes = tuple(note for note in (self.shortfall, *notes) if note)
        return Compression.of(stream, reason, source=source, folded=torch.cat(folded), folded_embeds=torch.cat(rows), notes=notes)

    def _choose(self, score: Tensor) -> tuple[Tensor, Tensor]:
        """(steps, n) bool kept tokens and (steps, n) bool extra ones, one per step where the budget allows two.

        Args:
            score: (steps, n) attention received.
        """
        steps, n = score.shape
        low, high = (torch.quantile(score.float(), part, dim=1, keepdim=True) for part in (0.25, 0.75))
        above = score - (high + FENCE * (high - low))  # how far beyond the fence
        extra = torch.zeros_like(score, dtype=torch.bool)
        total = round(self.video_share * score.numel())
        if n > 1 and (self.mode == "outliers" or 2 * steps <= total < score.numel()):
            extra.scatter_(1, score.argmin(dim=1, keepdim=True), True)
        if self.mode == "outliers":
            return (above > 0) & ~extra, extra
        wanted = total - int(extra.sum())
        outlier = ((above > 0) & ~extra).flatten()
        n_outliers = int(outlier.sum())
        if n_outliers >= wanted:
            relative = torch.where(outlier, above.flatten(), -torch.inf)
            return foremost(torch.zeros_like(outlier, dtype=torch.int64), relative, wanted).view(steps, n), extra
        free = ~outlier & ~extra.flatten()
        n_free, fill = int(free.sum()), wanted - n_outliers
        rank = free.long().cumsum(0) - 1
        spaced = (rank + 1) * fill // max(1, n_free) > rank * fill // max(1, n_free)
        return (outlier | (free & spaced)).view(steps, n), extra


def _take_in(x: Tensor, score: Tensor, kept: Tensor, extra: Tensor) -> tuple[Tensor, Tensor]:
    """New embeddings (s, n, D) of the kept and extra tokens of s steps, and (s, n) where in its step each dropped one went, or -1.

    A dropped token may be taken in by several; it is said to live on in the one most like it, else in the step's extra token.

    Args:
        x: (s, n, D) float32; score: (s, n) attention received; kept, extra: (s, n) bool.
    """
    n = x.shape[1]
    share = score / score.sum(dim=1, keepdim=True).clamp(min=1e-12)
    unit = x / norms(x)
    cosine = unit @ unit.transpose(1, 2)  # (s, keeper, other)
    cosine.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    cosine.masked_fill_(~kept[:, :, None], -torch.inf)
    nearest = cosine.topk(min(TAKEN_IN, n - 1), dim=-1).indices
    near = torch.zeros_like(cosine, dtype=torch.bool).scatter_(-1, nearest, True) & kept[:, :, None]
    dropped = ~(kept | extra)
    weight = near * share[:, None, :]
    has_dropped = dropped.any(dim=1, keepdim=True)
    weight = torch.where(extra[:, :, None], ((dropped | extra) & has_dropped)[:, None, :] * share[:, None, :], weight)
    made = weight @ x + torch.where((extra & has_dropped)[..., None], 0.0, x)
    reach, home = cosine.masked_fill(~near, -torch.inf).max(dim=1)  # over keepers
    place = torch.where(extra.any(dim=1), extra.long().argmax(dim=1), -1)
    return made, torch.where(reach > -torch.inf, home, place[:, None])
