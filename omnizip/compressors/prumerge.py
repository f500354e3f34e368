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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import option
from .ops.blocks import step_rows
from .ops.selection import foremost, spread
from .ops.similarity import norms
from .scoring import WatchedVideoCompressor, keep_audio

TAKEN_IN = 32
FENCE = 1.5  # interquartile ranges above the third quartile


@dataclass(frozen=True)
class PruMerge(WatchedVideoCompressor):
    """Outliers of attention that take in their likes."""

    name: ClassVar[str] = "prumerge"
    label: ClassVar[str] = "PruMerge"
    summary: ClassVar[str] = "Keeps patches that stand out in attention and adds to each the patches like it; keeps all sound."
    source: ClassVar[str] = "arXiv 2403.15388 (ICCV 2025)"
    fidelity: ClassVar[str] = "adapted: attention of all patches for the class token's, likeness by embeddings"
    exact: ClassVar[Mapping[str, Any]] = {"mode": "budget"}

    mode: str = option(
        "outliers",
        "Keep",
        "Outliers alone, however many, or a budget filled up with evenly spaced patches.",
        choices=("outliers", "budget"),
    )
    video_share: float = option(0.45, "Video kept", "Share of the video kept, with a budget.", low=0.0, high=1.0, step=0.01, is_rate=True)

    def compress(self, stream: TokenStream) -> Compression:
        """Outliers, extras, and what they take in."""
        score = self.score(stream)
        kept, extra = self._choose(score) if stream.n_video else (score.bool(), score.bool())
        survives = kept | extra
        on_host = survives.cpu()  # which rows the blocks give back is known before they are made
        index = stream.video_index.view(kept.shape)
        reason, source = keep_audio(stream), torch.full_like(stream.window, -1)
        folded, rows = [stream.video_index[:0]], [stream.carried[:0].float()]
        for block, x in step_rows(stream):
            places, alive = index[block], survives[block]
            rows_of = x if stream.deepstack is None else stream.carried[places].float()
            made, home = _take_in(x, score[block].float(), kept[block], extra[block], rows_of)
            lives_on = ~alive & (home >= 0)
            why = torch.where(kept[block], Reason.METHOD_SCORE, torch.where(extra[block], Reason.ANCHOR, Reason.DROPPED))
            reason[places] = torch.where(lives_on, Reason.FOLDED, why).to(reason.dtype)
            source[places] = torch.where(lives_on, places.gather(1, home.clamp(min=0)), -1)
            survivors = placed(on_host[block].flatten().nonzero().flatten(), places.device)
            folded.append(places.flatten()[survivors])
            rows.append(made.flatten(0, 1)[survivors])
        return Compression.of(
            stream, reason, source=source, folded=torch.cat(folded), folded_embeds=torch.cat(rows), notes=self.notes(stream)
        )

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
        with_extra = n > 1 and (self.mode == "outliers" or 2 * steps <= total < score.numel())
        if with_extra:
            extra.scatter_(1, score.argmin(dim=1, keepdim=True), True)
        if self.mode == "outliers":
            return (above > 0) & ~extra, extra
        wanted = total - (steps if with_extra else 0)
        outlier = ((above > 0) & ~extra).flatten()
        n_outliers = int(outlier.sum())
        if n_outliers >= wanted:
            relative = torch.where(outlier, above.flatten(), -torch.inf)
            return foremost(torch.zeros_like(outlier, dtype=torch.int64), relative, wanted).view(steps, n), extra
        free = ~outlier & ~extra.flatten()
        n_free = score.numel() - n_outliers - (steps if with_extra else 0)
        spaced = spread(free.long().cumsum(0) - 1, wanted - n_outliers, max(1, n_free))
        return (outlier | (free & spaced)).view(steps, n), extra


def _take_in(x: Tensor, score: Tensor, kept: Tensor, extra: Tensor, carried: Tensor) -> tuple[Tensor, Tensor]:
    """New rows (s, n, D') of the kept and extra tokens of s steps, and (s, n) where in its step each dropped one went, or -1.

    A dropped token may be taken in by several; it is said to live on in the one most like it, else in the step's extra token.

    Args:
        x: (s, n, D) float32; score: (s, n) attention received; kept, extra: (s, n) bool;
        carried: (s, n, D') float32 what is taken in, x or more.
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
    made = weight @ carried + torch.where((extra & has_dropped)[..., None], 0.0, carried)
    reach, home = cosine.masked_fill(~near, -torch.inf).max(dim=1)  # over keepers
    place = torch.where(extra.any(dim=1), extra.long().argmax(dim=1), -1)
    return made, torch.where(reach > -torch.inf, home, place[:, None])
