"""Attention within blocks in a few calls: what both encoders ask of scaled dot-product attention, block lengths batched.

Without flash-attn, transformers (5.17 to 5.24) cuts the sequence at `cu_seqlens` and calls the attention once a block: 128
calls a layer for sixteen steps of video. Only an implementation named after flash attention is handed `cu_seqlens` and the
whole sequence. This one is named so, and calls SDPA once for each length that occurs: blocks of one length are a batch. No
row is padded and nothing is masked, so every product is one that the stock path computes, too.

A picture has windows of at most four lengths (inside, right edge, bottom edge, corner), sound has two (whole blocks and a
last one).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface

NAME = "omnizip-blocks-by-flash-arguments"  # transformers looks for "flash" to decide what it passes


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of one sequence of T rows, sorted by length."""

    groups: tuple[tuple[int, int], ...]  # (blocks, rows in each)
    order: Tensor | None  # (T,) int64 rows, block after block in the order of `groups`; None: as they stand
    inverse: Tensor | None  # (T,) int64, where each row went

    @classmethod
    def of(cls, cu_seqlens: Tensor) -> Blocks:
        """Group the blocks between cumulative lengths (B + 1,); synchronises with the device once."""
        edges = cu_seqlens.tolist()
        by_length: dict[int, list[int]] = {}
        for start, end in zip(edges, edges[1:], strict=False):
            if end > start:
                by_length.setdefault(end - start, []).append(start)
        groups = tuple((len(starts), length) for length, starts in by_length.items())
        order = torch.cat(
            [(torch.tensor(starts)[:, None] + torch.arange(length)).flatten() for length, starts in by_length.items()]
            or [torch.empty(0, dtype=torch.int64)]
        )
        if bool((order == torch.arange(order.numel())).all()):
            return cls(groups, None, None)
        return cls(groups, order.to(cu_seqlens.device), order.argsort().to(cu_seqlens.device))


_blocks: WeakTensorKeyDictionary = WeakTensorKeyDictionary()  # cu_seqlens -> Blocks; all layers of a pass share the tensor


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, *, scaling: float | None = None, **named: Any
) -> tuple[Tensor, None]:
    """(1, T, H, d) attention of (1, H, T, d) queries, keys and values within the blocks of `cu_seq_lens_q`."""
    cu_seqlens = named["cu_seq_lens_q"]
    blocks = _blocks.get(cu_seqlens)
    if blocks is None:
        blocks = _blocks[cu_seqlens] = Blocks.of(cu_seqlens)
    rows = [x[0].transpose(0, 1) for x in (query, key, value)]  # (T, H, d)
    if blocks.order is not None:
        rows = [x.index_select(0, blocks.order) for x in rows]
    attended, first = [], 0
    for count, length in blocks.groups:
        last = first + count * length
        batch = (x[first:last].unflatten(0, (count, length)).transpose(1, 2) for x in rows)  # (count, H, length, d)
        made = nn.functional.scaled_dot_product_attention(*batch, scale=scaling)
        attended.append(made.transpose(1, 2).flatten(0, 1))
        first = last
    whole = attended[0] if len(attended) == 1 else torch.cat(attended) if attended else rows[0]
    if blocks.inverse is not None:
        whole = whole.index_select(0, blocks.inverse)
    return whole[None], None


AttentionInterface.register(NAME, _attention)


@contextmanager
def batched_blocks(encoder: nn.Module) -> Iterator[None]:
    """Within it, an encoder on SDPA attends to its blocks in batches; on any other implementation nothing changes.

    Not for use while another thread runs the same encoder.
    """
    config: Any = encoder.config
    before = config._attn_implementation
    if before != "sdpa":
        yield
        return
    try:
        config._attn_implementation = NAME
        yield
    finally:
        config._attn_implementation = before
