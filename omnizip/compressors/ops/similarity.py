"""Which video tokens repeat others: density peaks within a step, cosine echo between steps. Batched over steps.

Source: OmniZip, section 3.3 (interleaved spatio-temporal compression); density peaks after Rodriguez and Laio (2014) with
the k-nearest-neighbour density of Du et al. (2016). Departure from the paper's formula: distances are 1 - cosine and the
density takes their plain mean, as the published code does; the paper writes squared Euclidean distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...windows import placed, rows_at

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


@dataclass(frozen=True, eq=False)
class Steps:
    """The video of whole windows, first steps apart from the second ones that directly follow some of them."""

    first: Tensor  # (p, n, D) float32
    second: Tensor  # (q, n, D) float32
    first_norm: Tensor  # (p, n, 1)
    second_norm: Tensor  # (q, n, 1)
    at_first: slice | Tensor  # which of the p + q steps the first are
    at_second: slice | Tensor
    followed: slice | Tensor  # (q,) of the first, those that the second follow

    @classmethod
    def of(cls, embeds: Tensor, places: Tensor, later: Tensor) -> Steps:
        """From a stream (L, D), where each step's tokens stand in it (s, n) and which steps are second (s,); both on the host."""
        follows = torch.cat([later[1:], later.new_zeros(1)])
        first, second = rows_at(embeds, places[~later]), rows_at(embeds, places[later])
        spaced = (evenly_spaced(mask) for mask in (~later, later, follows[~later]))
        return cls(first, second, norms(first), norms(second), *spaced)

    @property
    def parts(self) -> tuple[tuple[Tensor, Tensor, slice | Tensor], ...]:
        """(rows, norms, which steps) of the first and of the second steps, whichever there are."""
        both = ((self.first, self.first_norm, self.at_first), (self.second, self.second_norm, self.at_second))
        return tuple(part for part in both if part[0].shape[0])

    def scores(self, neighbours: int) -> Tensor:
        """(s, n) what to keep first: density peaks in a window's first steps, what changed in its second ones."""
        steps, n = self.first.shape[0] + self.second.shape[0], self.first.shape[1]
        scores = torch.empty(steps, n, device=self.first.device)
        scores[self.at_first] = density_peaks(self.first, neighbours, self.first_norm)
        scores[self.at_second] = -echo(self.second, self.first[self.followed], self.second_norm, self.first_norm[self.followed])
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
    return ranks < placed(counts, scores.device)[:, None]
