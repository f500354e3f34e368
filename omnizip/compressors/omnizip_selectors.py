"""What OmniZip's ablations put in the place of its own choice of video, by the name of the option.

Source: OmniZip, table 4: its own rules beside random choice, DyCoke's and VisionZip's, all under one budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..deferred import Tensor, torch
from ..stream import Reason, TokenStream, placed
from .dycoke import THINNED, changed_in_groups
from .ops.blocks import edges
from .ops.selection import foremost, highest
from .ops.steps import Steps
from .scoring import video_saliency, video_saliency_notes

if TYPE_CHECKING:
    from .omnizip import OmniZip


@dataclass(frozen=True, eq=False)
class VideoSelector:
    """A rule that chooses the video of one clip."""

    keep: Callable[[Steps, slice, Tensor], Tensor]  # (s, n) bool of a block (slice) of s steps, given how many of each (s,)
    reasons: tuple[Reason, Reason]  # why tokens of a window's first and of its second steps are kept
    rates: Tensor | None = None  # (W,) float64 on the host: of a rule that knows none per window, as they turned out
    notes: tuple[str, ...] = ()


def _istc(method: OmniZip, stream: TokenStream) -> VideoSelector:
    """The paper's: density peaks in a window's first steps, change in its second ones."""
    return VideoSelector(
        lambda steps, block, counts: highest(steps.scores(method.neighbours), counts), (Reason.DENSITY_PEAK, Reason.CHANGE)
    )


def _random_video(method: OmniZip, stream: TokenStream) -> VideoSelector:
    """The highest draws, under the rates of the windows; the same on every device."""
    draws = torch.rand(stream.grid[0], stream.tokens_per_step, generator=torch.Generator().manual_seed(method.seed))
    draws = placed(draws, stream.embeds.device)
    return VideoSelector(lambda steps, block, counts: highest(draws[block], counts), (Reason.METHOD_SCORE, Reason.METHOD_SCORE))


def _dycoke(method: OmniZip, stream: TokenStream) -> VideoSelector:
    """What changed within groups of four steps, as DyCoke chooses."""
    if not stream.n_video:
        return _istc(method, stream)
    chosen, thinned = changed_in_groups(stream, stream.video_index, stream.tokens_per_step, method.rho_video)
    return _selector_of(stream, chosen, Reason.CHANGE, (THINNED,) if thinned else ())


def _visionzip(method: OmniZip, stream: TokenStream) -> VideoSelector:
    """What receives most attention in the vision encoder, all of the clip in one ranking, as VisionZip chooses ("GS")."""
    if not stream.n_video:
        return _istc(method, stream)
    score = video_saliency(stream)
    kept = foremost(torch.zeros_like(stream.video_index), score.flatten(), round((1 - method.rho_video) * stream.n_video))
    return _selector_of(stream, kept.view(score.shape), Reason.METHOD_SCORE, video_saliency_notes(stream))


def _selector_of(stream: TokenStream, chosen: Tensor, reason: Reason, notes: tuple[str, ...]) -> VideoSelector:
    """A choice (steps, n) over the clip as a selector; its rates are the shares of each window's video it drops."""
    structure = stream.structure
    running = edges(chosen.sum(dim=1).cpu())
    kept = running[edges(structure.steps_per_window)].diff().double()
    rates = 1 - kept / structure.video_counts.clamp(min=1)
    return VideoSelector(lambda steps, block, counts: chosen[block], (reason, reason), rates, notes)


VIDEO_SELECTORS: dict[str, Callable[[OmniZip, TokenStream], VideoSelector]] = {
    "istc": _istc,
    "random": _random_video,
    "dycoke": _dycoke,
    "visionzip": _visionzip,
}
