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
from typing import ClassVar

from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import option
from .ops.blocks import block_bytes, edges, padded, present
from .ops.merging import sum_by_group
from .ops.selection import cumulative_rounding, foremost, spread
from .ops.similarity import cosines
from .scoring import WatchedVideoCompressor, keep_audio


@dataclass(frozen=True)
class VisionZip(WatchedVideoCompressor):
    """Dominant tokens by attention received, contextual tokens that merge the rest."""

    name: ClassVar[str] = "visionzip"
    label: ClassVar[str] = "VisionZip"
    summary: ClassVar[str] = "Keeps the patches the vision encoder looks at most and merges the rest into a few; keeps all sound."
    source: ClassVar[str] = "arXiv 2412.04467 (CVPR 2025)"
    fidelity: ClassVar[str] = "adapted: attention of all patches for the class token's, likeness by embeddings"

    video_share: float = option(0.45, "Video kept", "Share of the video kept.", low=0.0, high=1.0, step=0.01, is_rate=True)
    contextual: float = option(
        10 / 64, "Contextual", "Share of what is kept that stands for the rest (10 of 64 as published).", low=0.0, high=0.5, step=0.01
    )
    scope: str = option(
        "clip", "Ranked over", "All patches of the clip at once, or those of every two seconds.", choices=("clip", "window")
    )
    merge: str = option("add", "Merging", "Add the mean of the merged as published, or average with it.", choices=("add", "average"))

    def compress(self, stream: TokenStream) -> Compression:
        """Rank, space out, merge."""
        window = stream.structure.step_window.repeat_interleave(max(1, stream.tokens_per_step))
        dominant, contextual = self._choose(self.score(stream).flatten(), window, stream.structure.video_counts)
        kind = torch.where(dominant, Reason.METHOD_SCORE, torch.where(contextual, Reason.ANCHOR, Reason.DROPPED))
        reason, source = keep_audio(stream), torch.full_like(stream.window, -1)
        reason[stream.video_index] = kind.to(reason.dtype)
        folded, embeds = self._merge(stream, window, dominant, contextual, reason, source)
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds, notes=self.notes(stream))

    def _choose(self, score: Tensor, window: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """(V,) bool dominant and (V,) bool contextual tokens; together round(video_share * V). Host: window, sizes."""
        total = round(self.video_share * score.numel())
        n_contextual = round(self.contextual * total)
        if self.scope == "clip":
            dominant = foremost(torch.zeros_like(score, dtype=torch.int64), score, total - n_contextual)
        else:
            shares = cumulative_rounding(sizes.double() * ((total - n_contextual) / max(1, score.numel())))
            dominant = foremost(placed(window, score.device), score, placed(shares[window], score.device))
        n_rest = score.numel() - (total - n_contextual)
        rank = (~dominant).long().cumsum(0) - 1  # among the rest, in prompt order
        return dominant, ~dominant & spread(rank, n_contextual, max(1, n_rest))

    def _merge(
        self, stream: TokenStream, window: Tensor, dominant: Tensor, contextual: Tensor, reason: Tensor, source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fold every token of the rest into the contextual one of its two seconds it is most like; return what that rewrote."""
        index, device, windows = stream.video_index, stream.video_index.device, stream.n_windows
        on_host = torch.stack([contextual, ~(dominant | contextual)]).cpu()
        target_counts = torch.bincount(window[on_host[0]], minlength=windows)
        rest = on_host[1] & (target_counts > 0)[window]  # a window without a contextual token merges nothing
        rest_counts = torch.bincount(window[rest], minlength=windows)
        target, rest = (index[placed(mask.nonzero().flatten(), device)] for mask in (on_host[0], rest))
        if not target.numel() or not rest.numel():
            return target[:0], stream.carried[:0]
        slot = torch.empty_like(rest)
        total = torch.zeros(target.numel(), stream.carried.shape[1], device=device)
        first_target, first_rest = (edges(counts) for counts in (target_counts, rest_counts))
        per_window = 4 * stream.carried.shape[1] * int(rest_counts.max() + target_counts.max())
        for block in torch.arange(windows).split(max(1, block_bytes(device) // per_window)):
            (theirs, no_target), (ours, absent) = padded(target_counts, block), padded(rest_counts, block)
            if not ours.shape[1]:
                continue
            members = rest[placed(ours, device)]
            cosine = cosines(stream.embeds[members].float(), stream.embeds[target[placed(theirs, device)]].float())
            place = placed(theirs, device).gather(1, cosine.masked_fill(placed(no_target, device)[:, None], -torch.inf).argmax(dim=-1))
            real = present(absent, device)
            nearest = place.flatten()[real]
            slot[int(first_rest[block[0]]) : int(first_rest[block[-1] + 1])] = nearest
            start, end = int(first_target[block[0]]), int(first_target[block[-1] + 1])
            total[start:end] = sum_by_group(stream.carried[members.flatten()[real]].float(), nearest - start, end - start)
        count = sum_by_group(torch.ones_like(slot), slot, target.numel())[:, None]
        reason[rest] = Reason.FOLDED
        source[rest] = target[slot]
        own = stream.carried[target].float()
        made = own + total / count.clamp(min=1) if self.merge == "add" else (own + total) / (count + 1)
        return target, torch.where(count > 0, made, own)
