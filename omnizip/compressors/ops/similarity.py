"""How alike tokens are: cosines, density peaks within a step, the echo of one step in the next. Batched over steps.

Source: OmniZip, section 3.3 (interleaved spatio-temporal compression); density peaks after Rodriguez and Laio (2014) with
the k-nearest-neighbour density of Du et al. (2016). Departure from the paper's formula: distances are 1 - cosine and the
density takes their plain mean, as the published code does; the paper writes squared Euclidean distances.
"""

from __future__ import annotations

from ...deferred import Tensor, torch
from ...stream import TokenStream
from .blocks import step_rows

EPSILON = 1e-6
WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the Gaussians (VidCom2)


def norms(x: Tensor) -> Tensor:
    """(..., 1) L2 norms of (..., D), with a small constant so that a zero row has cosine 0 to all."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True) + EPSILON


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """(..., m, n) cosine of each of (..., m, D) to each of (..., n, D)."""
    return x @ y.transpose(-1, -2) / (norms(x) * norms(y).transpose(-1, -2))


def gaussians(squared_distance: Tensor) -> Tensor:
    """The sum of Gaussians exp(-d^2 / (2 a)), a of WIDTHS, at a squared distance of any shape (VidCom2; DASH)."""
    total = torch.zeros_like(squared_distance)
    for width in WIDTHS:
        total += torch.exp(-squared_distance / (2 * width))
    return total


def isolation(x: Tensor, neighbours: int, norm: Tensor | None = None) -> Tensor:
    """(S, n) minus the mean cosine of each token of a step to the k others most like it; high means it has none.

    Args: as of `density_peaks`, which this is without its distance to denser tokens, and with the sparse foremost (DASH).
    """
    norm = norms(x) if norm is None else norm
    cosine = x @ x.transpose(1, 2) / (norm * norm.transpose(1, 2))
    cosine.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    k = min(neighbours, x.shape[1] - 1)
    return -cosine.topk(k, dim=-1).values.mean(dim=-1) if k else torch.zeros_like(cosine[..., 0])


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


def echo_of_previous(stream: TokenStream) -> Tensor:
    """(steps, n) cosine of every video token to the same place of the step before; -inf in the first step."""
    cosine = torch.full((stream.grid[0], stream.tokens_per_step), -torch.inf, device=stream.embeds.device)
    last = None
    for block, x in step_rows(stream):
        before = x[:-1] if last is None else torch.cat([last, x[:-1]])
        cosine[block][x.shape[0] - before.shape[0] :] = echo(x[x.shape[0] - before.shape[0] :], before)
        last = x[-1:].clone()
    return cosine
