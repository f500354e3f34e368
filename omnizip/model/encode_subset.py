"""The vision encoder of Qwen2.5-Omni on chosen 2x2 groups of patches only: what is not chosen is never computed.

The encoder's own submodules are called, in the order in which it calls them. Only its bookkeeping is done here: which rows are
attended together follows from how many groups of each window and of each step are left, and their rotary positions are those that
they have in the whole picture. With everything chosen that bookkeeping is the encoder's own, and so is the result, bit for bit.

A group that is left out is no neighbour either, so features differ from a full encoding's by the context that is missing: a subset
is never cut out of a full encoding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def window_labels(rows: int, columns: int, side: int) -> Tensor:
    """(rows * columns,) int64 which window of side x side groups each group of a step lies in; windows count row by row."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return ((row // side) * -(-columns // side) + column // side).flatten()


def window_order(rows: int, columns: int, side: int) -> Tensor:
    """(rows * columns,) the place in its picture of each token, in the order the vision encoder works in.

    Its windows of side x side tokens follow each other row by row, and the tokens in them too.
    """
    return window_labels(rows, columns, side).argsort(stable=True)


def window_side(config: Any) -> int:
    """Groups that a window of the vision encoder of this config is wide and high."""
    return config.window_size // config.spatial_merge_size // config.patch_size


def block_edges(labels: Tensor, unit: int) -> Tensor:
    """(B + 1,) int32 where blocks of rows begin and the last one ends, for the block of each group; empty blocks are left out.

    Args:
        labels: (K,) int64 block of each group, ascending; unit: rows a group has.
    """
    counts = torch.unique_consecutive(labels, return_counts=True)[1] * unit
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(torch.int32)


def encode_subset(vision: nn.Module, pixels: Tensor, columns: int, keep: Tensor) -> Tensor:
    """(K, D) features of the groups that are kept, step by step and row by row.

    Args:
        vision: the vision encoder.
        pixels: (K * merge ** 2, C) normalised pixels of the kept groups' patches alone, a group's together, on the encoder's device.
        columns: groups in a row of the picture.
        keep: (steps, n) bool, which groups of each step are kept, on the host; a step may have none.
    """
    encoder: Any = vision
    merge = encoder.config.spatial_merge_size
    unit, device = merge * merge, pixels.device
    n = keep.shape[1]
    labels = window_labels(n // columns, columns, window_side(vision.config))
    order = labels.argsort(stable=True)
    step, place = keep[:, order].nonzero().unbind(1)  # in window order, and the encoder's steps follow each other
    place = order[place]
    rank = (step * n + place).argsort()  # where each kept group went; pixels are given in this order
    if not rank.numel():
        return pixels.new_empty(0, encoder.config.out_hidden_size, dtype=encoder.dtype)
    edges_of_windows = block_edges(step * (int(labels.max()) + 1) + labels[place], unit)
    edges_of_steps = block_edges(step, unit)

    hidden = encoder.patch_embed(pixels)
    to_window_order = rank.argsort().to(device)
    hidden = hidden.unflatten(0, (-1, unit))[to_window_order].flatten(0, 1)
    cosine, sine = encoder.rotary_pos_emb(hidden, _patch_positions(n // columns, columns, merge).to(device))
    gathered = place.to(device)
    rotation = tuple(part.unflatten(0, (-1, unit))[gathered].flatten(0, 1) for part in (cosine, sine))

    blocks = {kind: (edges.to(device), int(edges.diff().max())) for kind, edges in ((False, edges_of_windows), (True, edges_of_steps))}
    for number, block in enumerate(encoder.blocks):
        edges, longest = blocks[number in encoder.config.fullatt_block_indexes]
        hidden = block(hidden, cu_seqlens=edges, max_seqlen=longest, position_embeddings=rotation)
    return encoder.merger(hidden)[rank.to(device)]


def _patch_positions(rows: int, columns: int, merge: int) -> Tensor:
    """(rows * columns * merge ** 2, 2) row and column of the patches of one step, those of a group together."""
    row, column = torch.meshgrid(torch.arange(rows * merge), torch.arange(columns * merge), indexing="ij")
    cells = (rows, merge, columns, merge)
    return torch.stack([at.reshape(cells).transpose(1, 2).flatten() for at in (row, column)], dim=-1)
