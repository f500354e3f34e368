"""Which video tokens repeat others: density peaks within a step, cosine echo between steps. Batched over steps.

Source: OmniZip, section 3.3 (interleaved spatio-temporal compression); density peaks after Rodriguez and Laio (2014) with
the k-nearest-neighbour density of Du et al. (2016). Departure from the paper's formula: distances are 1 - cosine and the
density takes their plain mean, as the published code does; the paper writes squared Euclidean distances.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-6


def norms(x: Tensor) -> Tensor:
    """(..., 1) L2 norms of (..., D), with a small constant so that a zero row has cosine 0 to all."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True) + EPSILON


def density_peaks(x: Tensor, neighbours: int, norm: Tensor | None = None) -> Tensor:
    """(S, n) how much each token of a step is the centre of a dense group far from denser ones; higher is kept.

    density = exp(-mean distance to the k nearest), delta = distance to the nearest denser token (the largest distance for
    the densest), score = density * delta.

    Args:
        x: (S, n, D) tokens of S steps.
        neighbours: k; fewer where a step has fewer tokens.
        norm: (S, n, 1) their norms, if known.
    """
    norm = norms(x) if norm is None else norm
    distance = 1 - x @ x.transpose(1, 2) / (norm * norm.transpose(1, 2))
    nearest = distance.topk(min(neighbours + 1, x.shape[1]), dim=-1, largest=False).values[..., 1:]  # the first is the token itself
    density = torch.exp(-nearest.sum(dim=-1) / max(1, nearest.shape[-1]))
    farthest = distance.flatten(1).amax(dim=1)[:, None, None]
    denser = density[:, None, :] > density[:, :, None]
    delta = torch.where(denser, distance, farthest).amin(dim=-1)
    return density * delta


def echo(x: Tensor, previous: Tensor, norm: Tensor | None = None, previous_norm: Tensor | None = None) -> Tensor:
    """(S, n) cosine of each token to the same place of the step before; high means nothing changed there.

    Args:
        x: (S, n, D) tokens of S steps; previous: (S, n, D) the whole steps before them.
    """
    norm = norms(x) if norm is None else norm
    previous_norm = norms(previous) if previous_norm is None else previous_norm
    return (torch.linalg.vecdot(x, previous)[..., None] / (norm * previous_norm)).squeeze(-1)


def interleaved(x: Tensor, norm: Tensor, later: Tensor, neighbours: int) -> Tensor:
    """(s, n) what to keep first: density peaks in a window's first steps, what changed in its second ones.

    Args:
        x: (s, n, D) video tokens of whole windows; norm: (s, n, 1); later: (s,) bool on the host, marks second steps, which
            directly follow the step they are compared with.
    """
    scores = torch.empty(x.shape[:2], device=x.device)
    first, second = evenly_spaced(~later), evenly_spaced(later)
    before = evenly_spaced(torch.cat([later[1:], later.new_zeros(1)]))
    scores[first] = density_peaks(x[first], neighbours, norm[first])
    scores[second] = -echo(x[second], x[before], norm[second], norm[before])
    return scores


def evenly_spaced(mask: Tensor) -> slice | Tensor:
    """The rows a host mask marks: a slice where they are evenly spaced, so that indexing copies nothing."""
    rows = mask.nonzero().flatten()
    stride = int(rows[1] - rows[0]) if rows.numel() > 1 else 1
    if rows.numel() and torch.equal(rows, torch.arange(int(rows[0]), int(rows[-1]) + 1, stride)):
        return slice(int(rows[0]), int(rows[-1]) + 1, stride)
    return rows


def highest(scores: Tensor, counts: Tensor) -> Tensor:
    """(S, n) bool: in each row of `scores` (S, n) the `counts` (S,) highest, the earlier of equals first."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(scores.shape[-1], device=scores.device).expand_as(order))
    return ranks < counts.to(scores.device)[:, None]
