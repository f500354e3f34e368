"""Choose tokens: the highest of each row or group, some at equal distances, and whole numbers that follow shares."""

from __future__ import annotations

from ...deferred import Tensor, torch
from ...stream import placed
from .blocks import edges


def highest(scores: Tensor, counts: Tensor) -> Tensor:
    """(S, n) bool: in each row of `scores` (S, n) the `counts` (S,) highest, the earlier of equals first. Host: counts."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(scores.shape[-1], device=scores.device).expand_as(order))
    return ranks < placed(counts, scores.device)[:, None]


def foremost(group: Tensor, priority: Tensor, size: int | Tensor) -> Tensor:
    """(M,) bool: in each group the `size` items of highest priority, the earlier of equals first.

    Args:
        group: (M,) int64 group of each item; priority: (M,) float; size: one for all, or (M,) the size of each item's group.
    """
    order = priority.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    grouped = group[order]
    place = torch.arange(group.numel(), device=group.device)
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[1:] = grouped[1:] != grouped[:-1]
    rank = place - torch.where(starts, place, 0).cummax(0).values
    return torch.zeros_like(starts).scatter_(0, order, rank < (size if isinstance(size, int) else size[order]))


def spread(rank: Tensor, count: int | Tensor, total: int | Tensor) -> Tensor:
    """Bool: whether the item of each `rank`, of `total` in a row, is one of `count` at equal distances."""
    return (rank + 1) * count // total > rank * count // total


def rank_in_group(group: Tensor, n_groups: int) -> Tensor:
    """(N,) place of each item among the items of its group, for groups (N,) in ascending order."""
    counts = torch.bincount(group, minlength=n_groups)
    return torch.arange(group.numel(), device=group.device) - (counts.cumsum(0) - counts)[group]


def marked_per_group(marked: Tensor, counts: Tensor) -> Tensor:
    """(G,) int64 on the host: how many of each group `marked` (N,) bool marks; waits for the device once.

    Args:
        counts: (G,) items of each group, which stand group by group; on the host.
    """
    return edges(marked)[placed(edges(counts), marked.device)].cpu().diff()


def cumulative_rounding(shares: Tensor) -> Tensor:
    """Whole numbers that follow `shares` (N,) float64: every running sum is within half of the running sum of shares.

    floor(X_i + 1/2) - floor(X_{i-1} + 1/2) with X the running sum, so the total is the rounded total and no part of the
    sequence is favoured. Sums that are whole but for float error count as whole.
    """
    running = torch.floor(shares.to(torch.float64).cumsum(0) + 0.5 + 1e-9).to(torch.int64)
    return torch.diff(running, prepend=running.new_zeros(1))


def place_anchors(rest_counts: Tensor, count: int) -> Tensor:
    """(count,) int64 ranks, among all non-salient audio in time order, of the anchors (OmniZip, section 3.1). Host.

    Shared among windows in proportion to their non-salient audio `rest_counts` (W,) by cumulative rounding, and within a
    window at the centres of equal stretches of it.
    """
    total = int(rest_counts.sum())
    per_window = cumulative_rounding(rest_counts.double() * (count / max(1, total)))
    window = torch.repeat_interleave(torch.arange(rest_counts.numel()), per_window)
    centre = (2 * rank_in_group(window, rest_counts.numel()) + 1) * rest_counts[window] // (2 * per_window[window])
    return (rest_counts.cumsum(0) - rest_counts)[window] + centre
