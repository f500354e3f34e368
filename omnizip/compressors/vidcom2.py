"""VidCom2: keep what is unlike its frame and unlike the clip, with more room for unusual frames.

Source: "VidCom2", EMNLP 2025, arXiv 2505.14454, re-implemented from a description of its omnimodal branch. Frames are the
model's steps. The half of the channels with the lowest variance is kept and rows are L2-normalised; likeness to a mean is a sum of
Gaussians, exp(-d^2 / (2 a)) for a in 1/8 ... 2; frames unlike the clip's mean get more of the budget (softmax, temperature
0.01); in a frame the tokens least like frame and clip stay. Sound is untouched. Faithful; `counts` = exact replaces the
published rounding, which drifts, by one that meets the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import solve_rates
from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream
from .base import option
from .ops.blocks import step_rows
from .ops.selection import cumulative_rounding, highest
from .ops.similarity import gaussians, norms
from .scoring import VideoCompressor

TEMPERATURE = 0.01


@dataclass(frozen=True)
class VidCom2(VideoCompressor):
    """Unlikeness to the frame and to the clip."""

    name: ClassVar[str] = "vidcom2"
    label: ClassVar[str] = "VidCom2"
    summary: ClassVar[str] = "Keeps patches unlike their frame and the clip, more of them in unusual frames; keeps all sound."
    source: ClassVar[str] = "arXiv 2505.14454 (EMNLP 2025)"
    fidelity: ClassVar[str] = "faithful"
    least_share: ClassVar[float] = 0.01
    exact: ClassVar[Mapping[str, Any]] = {"counts": "exact"}

    video_share: float = option(0.25, "Video kept", "Share of the video kept.", low=0.01, high=1.0, step=0.01, is_rate=True)
    counts: str = option(
        "published", "Counts", "Each frame rounds for itself, or the clip meets the share exactly.", choices=("published", "exact")
    )

    def compress(self, stream: TokenStream) -> Compression:
        """Rank within each frame, share among frames."""
        if stream.n_video == 0:
            return self.keep_video(stream, torch.zeros(0, dtype=torch.bool, device=stream.embeds.device), Reason.METHOD_SCORE)
        to_clip, to_frame = _likeness(stream)
        counts = self._counts(stream.tokens_per_step, to_clip.mean(dim=1))
        return self.keep_video(stream, highest(-(to_clip + to_frame), counts), Reason.METHOD_SCORE)

    def _counts(self, n: int, to_clip: Tensor) -> Tensor:
        """(steps,) int64 on the host: how many of the n tokens of each frame are kept.

        Args:
            to_clip: (steps,) likeness of each frame to the clip's mean.
        """
        unusual = (-to_clip).double()
        weight = ((unusual - unusual.max()) / TEMPERATURE).softmax(dim=0).cpu()
        share = (self.video_share * (1 + weight - weight.mean())).clamp(max=1)
        if self.counts == "published":
            return (share * n).round().clamp(min=1).long()
        rates = solve_rates(1 - share, torch.full_like(share, n), 1 - self.video_share, 0.0, 1.0)
        return cumulative_rounding(n * (1 - rates))


def _likeness(stream: TokenStream) -> tuple[Tensor, Tensor]:
    """(steps, n) each: likeness of every video token to the clip's mean and to its frame's, on the steadier half of the channels."""
    width = stream.embeds.shape[1]
    total = torch.zeros(2, width, dtype=torch.float64, device=stream.embeds.device)
    for _, x in step_rows(stream):
        total += torch.stack([x.sum(dim=(0, 1)), x.square().sum(dim=(0, 1))])
    mean, square = total / stream.n_video
    steady = (square - mean**2).argsort(stable=True)[: max(1, width // 2)]

    def units() -> Iterator[tuple[slice, Tensor]]:
        for block, x in step_rows(stream):
            rows = x[..., steady]
            yield block, rows / norms(rows)

    clip_mean = torch.zeros(steady.numel(), device=steady.device)
    for _, rows in units():
        clip_mean += rows.sum(dim=(0, 1))
    clip_mean /= stream.n_video
    likeness = torch.empty(2, stream.grid[0], stream.tokens_per_step, device=stream.embeds.device)
    for block, rows in units():
        likeness[0, block] = gaussians((rows - clip_mean).square().sum(dim=-1))
        likeness[1, block] = gaussians((rows - rows.mean(dim=1, keepdim=True)).square().sum(dim=-1))
    return likeness[0], likeness[1]
