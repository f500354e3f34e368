"""FlashVID: in every step unlike patches that are looked at stay; what is left merges through time into trees, and trees in space.

Source: "FlashVID", ICLR 2026, and its published code, re-implemented from a description.

1. Segments (DySeg): cut where the mean embeddings of neighbouring steps have a cosine below 0.9, and at the least alike until there
   are eight.
2. Selection (ADTS): 70 % of what is kept, the same share of every step: first the patch whose nearest neighbour in its step is
   farthest, then each time the one farthest from all taken so far; distances are (1 - cosine) times the attention that the
   patch received in the vision encoder.
3. Trees (TSTM): within a segment a patch that was not selected joins the one of these it is most like in the step before, if their
   cosine exceeds 0.8; where that would leave less than the budget, only the most alike do.
4. In space: first patches of trees gather, step by step, around density peaks (distances Euclidean over the square root of the width,
   density exp(-mean squared distance to the seven nearest, itself included)), so many that the segment keeps its share, and each
   group becomes one token.

FlashVID knows pictures only, so all sound is kept. Adapted: it keeps 1.25 times as many and prunes again inside the model at layer 20
by the last row's attention, which is left out, so that the question does not matter; every patch of a group weighs alike, where
the published code averages trees whatever their size; ties of density are broken by place, not by noise; counts round over the clip,
not up in every step, so that the budget is met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import option
from .ops.blocks import step_rows
from .ops.farthest import unlike
from .ops.merging import average, sum_by_group
from .ops.selection import cumulative_rounding, foremost, highest, marked_per_group
from .ops.similarity import cosines, norms
from .scoring import WatchedVideoCompressor, keep_audio

SELECTED = 0.7
SEGMENT_BELOW, SEGMENTS = 0.9, 8
TREE_ABOVE = 0.8
NEIGHBOURS = 7


@dataclass(frozen=True)
class FlashVID(WatchedVideoCompressor):
    """Attention and diversity in every step, trees through time, clusters of trees."""

    name: ClassVar[str] = "flashvid"
    label: ClassVar[str] = "FlashVID"
    summary: ClassVar[str] = "Keeps unlike patches that are looked at and merges what recurs through time; keeps all sound."
    source: ClassVar[str] = "FlashVID (ICLR 2026) and its published code"
    fidelity: ClassVar[str] = "adapted: without its second pruning inside the model; attention of all patches for the class token's"
    exact: ClassVar[Mapping[str, Any]] = {}

    video_share: float = option(0.25, "Video kept", "Share of the video kept.", low=0.0, high=1.0, step=0.01, is_rate=True)
    selected: float = option(
        SELECTED, "Selected", "Of what is kept, the share taken for being unlike and looked at.", low=0.0, high=1.0, step=0.05
    )

    def compress(self, stream: TokenStream) -> Compression:
        """Select, cut, grow trees, gather them; waits for the device for likenesses of steps, counts of trees and what merges."""
        reason, source = keep_audio(stream), torch.full_like(stream.window, -1)
        if not stream.n_video:
            return Compression.of(stream, reason, notes=self.notes(stream))
        index, (steps, n) = stream.video_index, (stream.grid[0], stream.tokens_per_step)
        total = round(self.video_share * stream.n_video)
        shares = torch.full((steps,), 1 / steps, dtype=torch.float64)
        by_step = cumulative_rounding(shares * total)
        by_selection = cumulative_rounding(by_step.double() * (round(self.selected * total) / max(1, total)))
        by_merging = by_step - by_selection  # never below 0, and left to the segment to place
        taken = self._select(stream, by_selection)
        segment = segments(stream)
        budget = sum_by_group(by_merging, segment, int(segment[-1]) + 1)
        parent = _trees(stream, taken, segment, budget)
        root = parent == torch.arange(steps * n, device=parent.device)
        roots = root.view(steps, n) & ~taken
        held = marked_per_group(roots.flatten(), torch.full((steps,), n))
        in_segment = sum_by_group(held, segment, budget.numel())
        counts = cumulative_rounding(held * (budget.double() / in_segment.clamp(min=1))[segment])
        centre, home = _gathered(stream, roots, counts)
        for _ in range(max(1, steps - 1).bit_length()):  # each time twice as far back along the tree
            parent = parent[parent]
        home = home[parent]  # a patch lives where the first of its tree does; -1 where nothing stands for it
        folds = ~(taken | centre).flatten() & (home >= 0)
        kind = torch.where(taken, Reason.METHOD_SCORE, torch.where(centre, Reason.ANCHOR, Reason.DROPPED)).flatten()
        reason[index] = torch.where(folds, Reason.FOLDED, kind).to(reason.dtype)
        source[index] = torch.where(folds, index[home], -1)
        into = torch.where(folds, home, -1).cpu()
        merged, places = into >= 0, stream.step_places.flatten()
        folded, embeds = average(stream.carried, places[merged], places[into[merged]])
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds, notes=self.notes(stream))

    def _select(self, stream: TokenStream, counts: Tensor) -> Tensor:
        """(steps, n) bool, `counts` (steps,) of each step; host: counts."""
        attention, made = self.score(stream).float(), []
        for block, x in step_rows(stream):
            made.append(unlike((1 - cosines(x, x)).clamp(min=0) * attention[block, None, :], counts[block]))
        return torch.cat(made)


def segments(stream: TokenStream) -> Tensor:
    """(steps,) int64 on the host: the segment of each step."""
    mean = torch.cat([x.mean(dim=1) for _, x in step_rows(stream)])
    likeness = (torch.linalg.vecdot(mean[1:], mean[:-1]) / (norms(mean[1:]) * norms(mean[:-1])).squeeze(-1)).cpu()
    opens = torch.cat([torch.zeros(1, dtype=torch.bool), likeness < SEGMENT_BELOW])
    missing = max(0, SEGMENTS - 1 - int(opens.sum()))
    further = likeness.masked_fill(opens[1:], torch.inf).argsort(stable=True)[: min(missing, int((~opens[1:]).sum()))]
    opens[further + 1] = True
    return opens.cumsum(0)


def _trees(stream: TokenStream, taken: Tensor, segment: Tensor, budget: Tensor) -> Tensor:
    """(V,) int64 the patch of the step before that each one joins, itself where it joins none.

    Args:
        taken: (steps, n) bool the selected ones, which stand alone; segment: (steps,) and budget: (S,) how many first patches each
            segment needs at least. Host: segment, budget.
    """
    steps, n = taken.shape
    device = taken.device
    likeness = torch.full((steps, n), -torch.inf, device=device)
    place = torch.zeros(steps, n, dtype=torch.int64, device=device)
    last: Tensor | None = None
    for block, x in step_rows(stream):
        first = max(1, block.start)
        rows = x if last is None else torch.cat([last, x])
        cosine = cosines(rows[1:], rows[:-1]).masked_fill(taken[first - 1 : block.stop - 1, None], -torch.inf)
        likeness[first : block.stop], place[first : block.stop] = cosine.max(dim=-1)
        last = x[-1:].clone()
    opens = placed(torch.cat([torch.ones(1, dtype=torch.bool), segment.diff() > 0]), device)
    joins = ~taken & ~opens[:, None] & (likeness > TREE_ABOVE)
    of_patch = placed(segment.repeat_interleave(n), device)
    free = sum_by_group((~taken).flatten().long(), of_patch, budget.numel())
    most = (free - placed(budget, device)).clamp(min=0)[of_patch]
    joins &= foremost(of_patch, torch.where(joins, likeness, -torch.inf).flatten(), most).view(steps, n)
    own = torch.arange(steps * n, device=device).view(steps, n)
    before = torch.arange(-1, steps - 1, device=device)[:, None] * n + place
    return torch.where(joins, before, own).flatten()


def _gathered(stream: TokenStream, roots: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """(steps, n) bool the density peaks among the `roots` (steps, n) of each step, and (V,) int64 which one each root belongs to, or -1.

    Args:
        counts: (steps,) peaks of each step, at most as many as it has roots. Host.
    """
    n, device = stream.tokens_per_step, roots.device
    centres, homes = [], []
    for block, x in step_rows(stream):
        mask = roots[block]
        there = mask[:, None, :] & mask[:, :, None]
        squared = x.square().sum(-1)
        squared = squared[:, :, None] + squared[:, None, :] - 2 * x @ x.transpose(1, 2)
        squared = (squared + squared.transpose(1, 2)).clamp(min=0) / 2  # alike both ways, so that two nearest each other tie
        distance = squared.sqrt() / math.sqrt(x.shape[-1])
        distance.diagonal(dim1=1, dim2=2).zero_()
        k = min(NEIGHBOURS, n)
        nearest = distance.masked_fill(~there, torch.inf).topk(k, dim=-1, largest=False).values
        wanted = placed(counts[block], device)[:, None, None].clamp(max=k)
        real = (torch.arange(k, device=device) < wanted) & nearest.isfinite()
        density = (-torch.where(real, nearest, 0).square().sum(-1) / real.sum(-1).clamp(min=1)).exp()
        density = torch.where(mask, density, -1.0)
        farthest = distance.masked_fill(~there, 0).flatten(1).amax(dim=1)[:, None, None]
        place = torch.arange(n, device=device)
        denser = (density[:, None, :] > density[:, :, None]) | (
            (density[:, None, :] == density[:, :, None]) & (place[None, :] < place[:, None])
        )
        delta = torch.where(denser & there, distance, farthest).amin(dim=-1)
        peaks = highest((density * delta).masked_fill(~mask, -torch.inf), counts[block]) & mask
        closest = distance.masked_fill(~peaks[:, None, :], torch.inf)
        found, at = closest.min(dim=-1)
        at = torch.where(peaks, place, at)
        step = torch.arange(block.start, block.stop, device=device)[:, None] * n
        homes.append(torch.where(mask & found.isfinite(), at + step, -1))
        centres.append(peaks)
    return torch.cat(centres), torch.cat(homes).flatten()
