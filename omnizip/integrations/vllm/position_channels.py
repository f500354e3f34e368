"""Carries the positions of the tokens that are left from the encoder to the language model, as further columns of their embeddings.

vLLM has the encoder's output in the model's precision. Sixteen bits hold whole numbers up to 256 (bfloat16) without rounding, so each
axis takes two columns: how many times 256, and the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BASE = 256
COLUMNS = 6  # two for each of time, height, width


def with_positions(embeds: Tensor, positions: Tensor) -> Tensor:
    """(K, D + 6) `embeds` (K, D) and `positions` (3, K), counted from the clip's first."""
    high, low = positions.T // BASE, positions.T % BASE
    return torch.cat([embeds, torch.cat([high, low], dim=1).to(embeds)], dim=1)


def positions_of(rows: Tensor, width: int) -> Tensor:
    """(3, K) int64 what `with_positions` put behind the first `width` columns."""
    high, low = rows[:, width:].round().to(torch.int64).T.chunk(2)
    return high * BASE + low


def placed_positions(ids: Sequence[int] | Tensor, rows: Sequence[Tensor], width: int, positions: Tensor, start: int, token: int) -> Tensor:
    """(3, L) `positions` of a prompt in which those of its clips' tokens are filled in.

    Args:
        ids: (L,) of the prompt; `token` stands where a clip's token is read.
        rows: of each clip what the encoder gave for the tokens from `start` on, in order; maybe not all of a clip's. Items of
            `width` columns are no clips.
        positions: (3, L) in which all but those are right. The token before a clip's first tells where its positions begin.
    """
    places = (torch.as_tensor(ids, device="cpu") == token).nonzero().flatten()
    first = places[torch.cat([torch.ones(1, dtype=torch.bool), places.diff() != 1])] if places.numel() else places
    clips = [positions_of(part, width).to(positions.device) for part in rows if part.shape[1] > width]
    if not clips:
        return positions
    filled = torch.cat(clips, dim=1)
    here = places[places >= start][: filled.shape[1]]
    begin = first[torch.searchsorted(first, here, right=True) - 1] - 1
    positions = positions.clone()
    positions[:, here] = (filled + positions[:, begin] + 1).to(positions.dtype)
    return positions
