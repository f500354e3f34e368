"""VidCom2: keep what is unlike its frame and unlike the clip, with more room for unusual frames.

Source: "VidCom2", EMNLP 2025, arXiv 2505.14454, re-implemented from a description of its omnimodal branch. Frames are the
model's steps. The half of the channels with the lowest variance is kept and rows are L2-normalised; likeness to a mean is a sum of
Gaussians, exp(-d^2 / (2 a)) for a in 1/8 ... 2; frames unlike the clip's mean get more of the budget (softmax, temperature
0.01); in a frame the tokens least like frame and clip stay. Sound is untouched. Faithful; `counts` = exact replaces the
published rounding, which drifts, by one that meets the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..budget import solve_rates, video_share_for
from ..stream import Compression, Reason, TokenStream
from ..windows import cumulative_rounding
from .base import Compressor, check_retention, option
from .ops.similarity import highest, norms
from .ops.video import keep_video, step_rows

WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0)
TEMPERATURE = 0.01


@dataclass(frozen=True)
class VidCom2(Compressor):
    """Unlikeness to the frame and to the clip."""

    name: ClassVar[str] = "vidcom2"
    label: ClassVar[str] = "VidCom2"
    summary: ClassVar[str] = "Keeps patches unlike their frame and the clip, more of them in unusual frames; keeps all sound."
    source: ClassVar[str] = "arXiv 2505.14454 (EMNLP 2025)"
    fidelity: ClassVar[str] = "faithful"

    video_share: float = option(0.25, "Video kept", "Share of the video kept.", low=0.01, high=1.0, step=0.01, is_rate=True)
    counts: str = option(
        "published", "Counts", "Each frame rounds for itself, or the clip meets the share exactly.", choices=("published", "exact")
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> VidCom2:
        """The share of the video that meets the retention with all sound kept, with exact counts."""
        share, shortfall = video_share_for(check_retention(retention), stream.n_audio, stream.n_video)
        if share < 0.01:
            share = 0.01
        return cls(**{**fields, "video_share": share, "counts": "exact", "shortfall": shortfall})

    def compress(self, stream: TokenStream) -> Compression:
        """Rank within each frame, share among frames."""
        if stream.n_video == 0:
            return keep_video(stream, torch.zeros(0, dtype=torch.bool, device=stream.embeds.device), Reason.METHOD_SCORE, (self.shortfall,))
        to_clip, to_frame = _likeness(stream)
        unusual = (-to_clip.mean(dim=1)).double()
        weight = ((unusual - unusual.max()) / TEMPERATURE).softmax(dim=0).cpu()
        share = (self.video_share * (1 + weight - weight.mean())).clamp(max=1)
        n = stream.tokens_per_step
        if self.counts == "exact":
            rates = solve_rates(1 - share, torch.full_like(share, n), 1 - self.video_share, 0.0, 1.0)
            counts = cumulative_rounding(n * (1 - rates))
        else:
            counts = (share * n).round().clamp(min=1).long()
        return keep_video(stream, highest(-(to_clip + to_frame), counts), Reason.METHOD_SCORE, (self.shortfall,))


def _likeness(stream: TokenStream) -> tuple[Tensor, Tensor]:
    """(steps, n) each: likeness of every video token to the clip's mean and to its frame's, on the steadier half of the channels."""
    width = stream.embeds.shape[1]
    total = torch.zeros(2, width, dtype=torch.float64, device=stream.embeds.device)
    for _, x in step_rows(stream):
        total += torch.stack([x.sum(dim=(0, 1)), x.square().sum(dim=(0, 1))])
    mean, square = total / stream.n_video
    steady = (square - mean**2).argsort(stable=True)[: max(1, width // 2)]

    def units() -> Any:
        for block, x in step_rows(stream):
            rows = x[..., steady]
            yield block, rows / norms(rows)

    clip_mean = sum(rows.sum(dim=(0, 1)) for _, rows in units()) / stream.n_video
    likeness = torch.empty(2, stream.grid[0], stream.tokens_per_step, device=stream.embeds.device)
    for block, rows in units():
        likeness[0, block] = _gaussians((rows - clip_mean).square().sum(dim=-1))
        likeness[1, block] = _gaussians((rows - rows.mean(dim=1, keepdim=True)).square().sum(dim=-1))
    return likeness[0], likeness[1]


def _gaussians(squared_distance: Tensor) -> Tensor:
    return sum(torch.exp(-squared_distance / (2 * width)) for width in WIDTHS)
