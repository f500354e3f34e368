"""Fold dropped tokens into survivors, remembering who went where.

Provenance is recorded while merging, so pictures and counts can be drawn from it (after Token Merging, Bolya et al. 2023).
All arithmetic is float32 whatever the stream holds, and every sum takes its terms in the order of the prompt, so that a
clip is folded to the same bits in every run and on every device of a kind.
"""

from __future__ import annotations

from ...deferred import Tensor, torch
from ...stream import placed
from .blocks import block_bytes


def sum_by_group(rows: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """(G, ...) sums of `rows` (M, ...) by `group` (M,) int64, each taken in the order the rows stand.

    index_add_ keeps that order on a CPU and is the fastest there. On an accelerator it adds atomically, in whatever order
    threads arrive; there the rows of a group are laid one behind the other and summed as one segment.
    """
    if rows.device.type == "cpu":
        return rows.new_zeros(n_groups, *rows.shape[1:]).index_add_(0, group, rows)
    return sum_segments(rows, group, n_groups)


def sum_segments(rows: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """The sums of `sum_by_group`, by sorting; waits for no device."""
    if not rows.shape[0]:
        return rows.new_zeros(n_groups, *rows.shape[1:])
    grouped, order = group.sort(stable=True)
    ends = torch.searchsorted(grouped, torch.arange(n_groups, device=group.device), right=True)
    lengths = ends.diff(prepend=ends.new_zeros(1))
    flat = rows[order].reshape(rows.shape[0], -1)
    flat = flat if flat.is_floating_point() else flat.double()  # there is no kernel for whole numbers
    total = torch.segment_reduce(flat, "sum", lengths=lengths, unsafe=True, initial=0)
    return total.to(rows.dtype).view(n_groups, *rows.shape[1:])


def absorb(anchors: Tensor, embeds: Tensor, member: Tensor, anchor_of: Tensor, weight: Tensor) -> Tensor:
    """(P, D) float32 anchors after each took in its members: the mean of itself and their weighted mean.

    Weights are the softmax of `weight` over the members an anchor absorbs (OmniZip, section 3.1); an anchor that absorbs
    none stays as it is.

    Args:
        anchors: (P, D); embeds: (L, D); member: (M,) int64 places in the prompt of those that are absorbed, in any order;
            anchor_of: (M,) int64 into anchors; weight: (M,), such as cosines.
    """
    member, order = member.sort()
    anchor_of, share = anchor_of[order], weight[order].float().exp()  # cosines, so exp needs no maximum subtracted
    total = sum_by_group(share, anchor_of, anchors.shape[0])
    mean = sum_by_group(embeds[member].float() * (share / total[anchor_of])[:, None], anchor_of, anchors.shape[0])
    anchors = anchors.float()
    return torch.where((total > 0)[:, None], mean.add_(anchors).div_(2), anchors)


def add_weighted(anchors: Tensor, embeds: Tensor, member: Tensor, anchor_of: Tensor, weight: Tensor) -> Tensor:
    """(P, D) float32 anchors (a + sum w x) / (1 + sum w) after each took in its members x with weights w (OmniRefine).

    Args: as of `absorb`; weight: (M,) not negative.
    """
    member, order = member.sort()
    anchor_of, weight = anchor_of[order], weight[order]
    slots = torch.arange(anchors.shape[0], device=anchors.device)
    rows = torch.cat([anchors.float(), embeds[member].float() * weight[:, None]])
    total = sum_by_group(rows, torch.cat([slots, anchor_of]), anchors.shape[0])
    return total / (1 + sum_by_group(weight, anchor_of, anchors.shape[0]))[:, None]


def average(embeds: Tensor, token: Tensor, survivor: Tensor) -> tuple[Tensor, Tensor]:
    """Survivors (F,), ascending, and (F, D) float32 the plain mean of each with everything folded into it.

    Every token weighs the same, so a survivor that stands for three weighs three times one (size-weighted). Groups are
    summed in blocks that bound memory.

    Args:
        embeds: (L, D); token: (M,) int64 the folded tokens, in any order; survivor: (M,) int64 where each went. Host: all but embeds.
    """
    device = embeds.device
    token, order = token.sort()
    folded, slot, size = survivor[order].unique(return_inverse=True, return_counts=True)
    slot, order = slot.sort(stable=True)
    token, ends = token[order], size.cumsum(0)
    rows_per_block = max(1, block_bytes(device) // (4 * embeds.shape[1]))
    block = (ends + torch.arange(folded.numel())) // rows_per_block  # of each group, by the rows up to it
    means, start, first = [embeds[:0].float()], 0, 0
    for groups in torch.arange(folded.numel()).split(block.unique_consecutive(return_counts=True)[1].tolist()):
        end, n = int(ends[groups[-1]]), groups.numel()
        rows = embeds[placed(torch.cat([folded[groups], token[start:end]]), device)].float()
        total = sum_by_group(rows, placed(torch.cat([torch.arange(n), slot[start:end] - first]), device), n)
        means.append(total / placed(size[groups, None] + 1, device))
        start, first = end, first + n
    return placed(folded, device), torch.cat(means)
