"""VisionZip: keep the patches that receive most attention in the vision encoder, and let a few of the rest stand for the others.

Source: "VisionZip", CVPR 2025, arXiv 2412.04467, re-implemented from a description. Dominant tokens are those with the highest
attention received; contextual ones are evenly spaced among the rest, and each takes in the mean of those of the rest that
are most like it. Adapted: Qwen's encoder has no class token and works on 2x2 patches that become one token, so a token's
attention is what all queries of its step give it in the last full layer, mean over heads and its four patches; likeness is
the cosine of embeddings instead of keys, within two seconds; VisionZip knows pictures only, so all sound is kept. "clip"
ranks all patches of the clip at once (the "GS" selector of OmniZip's table 4), "window" gives every two seconds their share.
Each step's attention sums to the same, so the ranking says how unevenly a step is looked at, not which step matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..budget import video_share_for
from ..stream import Compression, Modality, Reason, TokenStream
from ..windows import block_bytes, cumulative_rounding, padded, placed
from .base import Compressor, check_retention, option
from .ops.merging import foremost
from .ops.similarity import norms
from .ops.video import video_saliency


@dataclass(frozen=True)
class VisionZip(Compressor):
    """Dominant tokens by attention received, contextual tokens that merge the rest."""

    name: ClassVar[str] = "visionzip"
    label: ClassVar[str] = "VisionZip"
    summary: ClassVar[str] = "Keeps the patches the vision encoder looks at most and merges the rest into a few; keeps all sound."
    source: ClassVar[str] = "arXiv 2412.04467 (CVPR 2025)"
    fidelity: ClassVar[str] = "adapted: attention of all patches for the class token's, likeness by embeddings"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency_video"})

    video_share: float = option(0.45, "Video kept", "Share of the video kept.", low=0.0, high=1.0, step=0.01, is_rate=True)
    contextual: float = option(
        10 / 64, "Contextual", "Share of what is kept that stands for the rest (10 of 64 as published).", low=0.0, high=0.5, step=0.01
    )
    scope: str = option(
        "clip", "Ranked over", "All patches of the clip at once, or those of every two seconds.", choices=("clip", "window")
    )
    merge: str = option("add", "Merging", "Add the mean of the merged as published, or average with it.", choices=("add", "average"))

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> VisionZip:
        """The share of the video that meets the retention with all sound kept."""
        share, shortfall = video_share_for(check_retention(retention), stream.n_audio, stream.n_video)
        return cls(**{**fields, "video_share": share, "shortfall": shortfall})

    def compress(self, stream: TokenStream) -> Compression:
        """Rank, space out, merge."""
        score, notes = video_saliency(stream)
        window = stream.structure.step_window.repeat_interleave(max(1, stream.tokens_per_step))
        sizes = stream.structure.video_counts
        dominant, contextual = self._choose(score.flatten(), placed(window, score.device), sizes)
        kind = torch.where(dominant, Reason.METHOD_SCORE, Reason.DROPPED)
        kind[contextual] = Reason.ANCHOR
        reason = torch.where(stream.modality == Modality.AUDIO, Reason.METHOD_SCORE, Reason.TEXT).to(stream.modality.dtype)
        reason[stream.video_index] = kind.to(reason.dtype)
        source = torch.full_like(stream.window, -1)
        folded, embeds = self._merge(stream, window, dominant, contextual, reason, source)
        notes = tuple(note for note in (self.shortfall, *notes) if note)
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds, notes=notes)

    def _choose(self, score: Tensor, window: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """(V,) bool dominant and (V,) bool contextual tokens; together round(video_share * V)."""
        total = round(self.video_share * score.numel())
        n_contextual = round(self.contextual * total)
        if self.scope == "clip":
            dominant = foremost(torch.zeros_like(window), score, total - n_contextual)
        else:
            shares = cumulative_rounding(sizes.double() * ((total - n_contextual) / max(1, score.numel())))
            dominant = foremost(window, score, placed(shares, score.device)[window])
        n_rest = score.numel() - (total - n_contextual)
        rank = (~dominant).long().cumsum(0) - 1  # among the rest, in prompt order
        spaced = (rank + 1) * n_contextual // max(1, n_rest) > rank * n_contextual // max(1, n_rest)
        return dominant, ~dominant & spaced

    def _merge(
        self, stream: TokenStream, window: Tensor, dominant: Tensor, contextual: Tensor, reason: Tensor, source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fold every token of the rest into the contextual one of its two seconds it is most like; return what that rewrote."""
        places, windows = stream.video_index, stream.n_windows
        on_host = torch.stack([contextual, ~(dominant | contextual)]).cpu()
        target, rest = (places[placed(mask.nonzero().flatten(), places.device)] for mask in on_host)
        target_counts, rest_counts = (torch.bincount(window[mask], minlength=windows) for mask in on_host)
        if not target.numel() or not rest.numel():
            return target[:0], stream.embeds[:0]
        slot = torch.full((rest.numel(),), -1, device=places.device)
        total = torch.zeros(target.numel(), stream.embeds.shape[1], device=places.device)
        per_window = 4 * stream.embeds.shape[1] * int(rest_counts.max() + target_counts.max())
        for block in ((target_counts > 0) & (rest_counts > 0)).nonzero().flatten().split(max(1, block_bytes(places.device) // per_window)):
            (theirs, no_target), (ours, absent) = padded(target_counts, block), padded(rest_counts, block)
            theirs, no_target, ours, absent = (placed(x, places.device) for x in (theirs, no_target, ours, absent))
            t, r = stream.embeds[target[theirs]].float(), stream.embeds[rest[ours]].float()
            cosine = r @ t.transpose(1, 2) / (norms(r) * norms(t).transpose(1, 2))
            nearest = theirs.gather(1, cosine.masked_fill(no_target[:, None], -torch.inf).argmax(dim=-1))
            slot[ours[~absent]] = nearest[~absent]
            total.index_add_(0, nearest[~absent], r[~absent])
        joined = slot >= 0
        count = torch.bincount(slot[joined], minlength=target.numel())
        reason[rest[joined]] = Reason.FOLDED
        source[rest[joined]] = target[slot[joined]]
        mean, own = total / count.clamp(min=1)[:, None], stream.embeds[target].float()
        made = own + mean if self.merge == "add" else (own + total) / (count + 1)[:, None]
        return target, torch.where((count > 0)[:, None], made, own)
