"""Farthest-point sampling: points, or tokens, that lie as far from each other as possible, in many sets at once.

Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985: the greedy choice, within a factor of two of
the best.
"""

from __future__ import annotations

from ...deferred import Tensor, torch


def farthest_points(x: Tensor, counts: Tensor, allowed: Tensor | None = None) -> Tensor:
    """(S, n) bool: of each set of points `x` (S, n, F) as many as `counts` (S,) says; the earlier of equals first.

    The first is the point farthest from the set's mean, each next one the point farthest from those chosen so far. All sets take
    their next point together, so there are as many rounds as the largest count.

    Args:
        counts: on the host, at most as many as are allowed.
        allowed: (S, n) bool, the points that may be chosen; the mean is theirs, too. All where it is not given.
    """
    may = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if allowed is None else allowed.to(x.device)
    weight = may[..., None].to(x.dtype)
    mean = (x * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True).clamp(min=1)
    apart = (x - mean).square().sum(dim=-1)
    chosen = torch.zeros_like(may)
    wanted = counts.to(x.device, non_blocking=True)
    for turn in range(int(counts.max()) if counts.numel() else 0):
        pick = apart.masked_fill(~may | chosen, -1).argmax(dim=1, keepdim=True)
        chosen.scatter_(1, pick, chosen.gather(1, pick) | (wanted > turn)[:, None])
        distance = (x - x.gather(1, pick[..., None].expand(-1, -1, x.shape[2]))).square().sum(dim=-1)
        apart = distance if turn == 0 else torch.minimum(apart, distance)
    return chosen


def unlike(distance: Tensor, counts: Tensor) -> Tensor:
    """(S, n) bool: of each step's tokens as many as `counts` (S,) says, each the one farthest from all taken before it.

    The first is the one whose nearest neighbour is farthest (DivPrune's max-min diversity); the earlier of equals. As in
    `farthest_points`, there are as many rounds as the largest count.

    Args:
        distance: (S, n, n) from each token (rows) to each candidate (columns), its own weight counted in; counts: on the host.
    """
    own = torch.eye(distance.shape[1], dtype=torch.bool, device=distance.device)
    apart = distance.masked_fill(own, torch.inf).amin(dim=1)
    chosen = torch.zeros_like(apart, dtype=torch.bool)
    wanted = counts.to(distance.device, non_blocking=True)
    for turn in range(int(counts.max()) if counts.numel() else 0):
        pick = apart.masked_fill(chosen, -1).argmax(dim=1, keepdim=True)
        chosen.scatter_(1, pick, chosen.gather(1, pick) | (wanted > turn)[:, None])
        near = distance.gather(1, pick[..., None].expand(-1, -1, distance.shape[2]))[:, 0]
        apart = near if turn == 0 else torch.minimum(apart, near)
    return chosen
