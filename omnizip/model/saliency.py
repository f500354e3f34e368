"""How much attention each token receives in the last layer of its encoder (OmniZip, section 3.2, for sound).

For queries Q and keys K of that layer, H heads and T frames, a frame's saliency is

    s_j = sum over heads h and queries i of softmax_j(q_hi . k_hj / sqrt(dh)) / (H T),

so that the scores of a clip sum to one. Two readings differ in what the softmax runs over:

- the whole clip, which is what the published code ranks by, though the encoder itself never attends that far;
- the frame's own block of two seconds, which is what the encoder computed. Divided by the same H T, each block sums to its
  share of the clip's frames whatever its length, so scores are comparable between blocks; their mean within a block carries
  no information, only how unevenly attention is spread.

Rows of the attention matrix are made a block at a time and summed at once, so memory is bounded for any length of clip.
Two frames make one token, whose saliency is their mean; a last odd frame, which makes none, is dropped. For pictures the
blocks are the encoder's steps, and a token is the mean of the 2x2 patches merged into it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..compressors.ops.blocks import block_bytes as default_block

QUERIES_PER_BLOCK = 64  # enough for the product of a block to run at full speed; heads are taken apart before it gets fewer


def attention_received(queries: Tensor, keys: Tensor, *, block_bytes: int | None = None) -> Tensor:
    """(T,) float32 share of attention each frame receives, softmax over the whole clip.

    Args:
        queries, keys: (H, T, dh) of the layer, before scaling.
        block_bytes: attention weights held at once, by default what suits the device; the result does not depend on it.
    """
    block_bytes = block_bytes or default_block(queries.device)
    heads, frames, width = queries.shape
    received = queries.new_zeros(frames, dtype=torch.float32)
    if not frames:
        return received
    keys = keys.float().transpose(1, 2)  # (H, dh, T)
    per_group = min(heads, max(1, block_bytes // (4 * frames * QUERIES_PER_BLOCK)))
    per_block = max(1, block_bytes // (4 * frames * per_group))
    for head in range(0, heads, per_group):
        for start in range(0, frames, per_block):
            block = queries[head : head + per_group, start : start + per_block].float() * width**-0.5
            received += (block @ keys[head : head + per_group]).softmax(dim=-1).sum(dim=(0, 1))
    return received / (heads * frames)


def attention_received_windowed(queries: Tensor, keys: Tensor, window: int, *, block_bytes: int | None = None) -> Tensor:
    """(T,) float32 share of attention each frame receives, softmax within blocks of `window` frames; the last may be shorter.

    Args:
        queries, keys: (H, T, dh) of the layer, before scaling.
    """
    block_bytes = block_bytes or default_block(queries.device)
    heads, frames, width = queries.shape
    whole = frames // window * window
    received = []
    if 4 * heads * window * window > block_bytes:  # not even one block's weights may be held at once
        parts = zip(queries.split(window, dim=1), keys.split(window, dim=1), strict=True)
        received = [attention_received(q, k, block_bytes=block_bytes) * (heads * q.shape[1]) for q, k in parts]
        return torch.cat(received) / (heads * frames) if received else queries.new_zeros(0, dtype=torch.float32)
    per_group = max(1, block_bytes // (4 * heads * window * window)) * window
    for start in range(0, whole, per_group):
        end = min(start + per_group, whole)
        q, k = (x[:, start:end].float().reshape(heads, -1, window, width) for x in (queries, keys))
        weights = (q * width**-0.5 @ k.transpose(2, 3)).softmax(dim=-1)  # (H, blocks, window, window)
        received.append(weights.sum(dim=(0, 2)).flatten())
    if whole < frames:
        received.append(attention_received(queries[:, whole:], keys[:, whole:]) * (heads * (frames - whole)))
    return torch.cat(received) / (heads * frames) if received else queries.new_zeros(0, dtype=torch.float32)


def per_token(received: Tensor, merged: int = 2) -> Tensor:
    """(T // merged,) saliency of tokens from that of the frames or patches (T,) that make them, `merged` each."""
    tokens = received.shape[0] // merged
    return received[: merged * tokens].view(tokens, merged).mean(dim=1)
