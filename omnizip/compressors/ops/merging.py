"""Fold dropped tokens into survivors, remembering who went where.

Provenance is recorded while merging, so pictures and counts can be drawn from it (after Token Merging, Bolya et al. 2023).
All arithmetic is float32 whatever the stream holds.
"""

from __future__ import annotations

import torch
from torch import Tensor


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


def absorb(anchors: Tensor, members: Tensor, anchor_of: Tensor, weight: Tensor) -> Tensor:
    """(P, D) float32 anchors after each took in its members: the mean of itself and their weighted mean.

    Weights are the softmax of `weight` over the members an anchor absorbs (OmniZip, section 3.1); an anchor that absorbs
    none stays as it is.

    Args:
        anchors: (P, D); members: (M, D) those that are absorbed; anchor_of: (M,) int64 into anchors; weight: (M,), such as
            cosines.
    """
    share = weight.float().exp()  # cosines, so exp needs no maximum subtracted
    total = share.new_zeros(anchors.shape[0]).index_add_(0, anchor_of, share)
    mean = torch.zeros_like(anchors, dtype=torch.float32).index_add_(0, anchor_of, members.float() * (share / total[anchor_of])[:, None])
    anchors = anchors.float()
    return torch.where((total > 0)[:, None], mean.add_(anchors).div_(2), anchors)


def average(embeds: Tensor, token: Tensor, survivor: Tensor) -> tuple[Tensor, Tensor]:
    """Survivors (F,), ascending, and (F, D) float32 the plain mean of each with everything folded into it.

    Every token weighs the same, so a survivor that stands for three weighs three times one (size-weighted).

    Args:
        embeds: (L, D); token: (M,) int64 the folded tokens; survivor: (M,) int64 where each went.
    """
    folded, slot, size = survivor.unique(return_inverse=True, return_counts=True)
    total = embeds[folded].float().index_add_(0, slot, embeds[token].float())
    return folded, total / (size[:, None] + 1)
