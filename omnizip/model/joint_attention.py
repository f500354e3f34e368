"""Scores how much attention the tokens of a clip receive from each other in the first layers of the language model, unmasked.

The layers are called as they are, on audio and video alone, with the causal mask left out; an attention function of our own
computes what they ask for and, in the last of them, how much each token receives, block by block without the whole matrix.
The layers' own attention is put back whatever happens. Not for use while another thread runs the model.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from ..stream import Modality, TokenStream
from .deepstack import deepstacked
from .loading import Parts
from .saliency import attention_received

NAME = "omnizip-bidirectional"


def _bidirectional_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any = None, scaling: float | None = None, **_: Any
) -> tuple[Tensor, None]:
    """Attention without a mask, of (1, H, N, dh) queries to (1, K, N, dh) keys and values; notes what `module` was asked."""
    listener = getattr(module, "_omnizip_listener", None)
    if listener is not None:
        listener(query[0], key[0])
    attended = nn.functional.scaled_dot_product_attention(query, key, value, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])
    return attended.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _bidirectional_attention)


@torch.inference_mode()
def joint_attention(parts: Parts, stream: TokenStream, layers: int = 4) -> tuple[Tensor, float]:
    """(A + V,) float32 attention each audio and video token receives in layer `layers`, and the milliseconds all of it took.

    Scores sum to one over the clip; softmax over all its audio and video. Memory grows with the clip, not with its square.
    """
    parts.synchronize()
    started = time.perf_counter()
    media = (stream.modality != Modality.TEXT).nonzero().flatten()
    if not media.numel():
        return torch.zeros(0), 0.0
    hidden = stream.embeds[media][None]
    rotation = parts.language.rotary_emb(hidden, stream.positions[:, None, media])
    scores: list[Tensor] = []

    def listen(query: Tensor, key: Tensor) -> None:
        scores.append(attention_received(query, key.repeat_interleave(query.shape[0] // key.shape[0], dim=0)))

    chosen = parts.language.layers[:layers]
    before = parts.language.config._attn_implementation
    try:
        parts.language.config._attn_implementation = NAME
        chosen[-1].self_attn._omnizip_listener = listen
        with deepstacked(parts.language, stream.deepstack, torch.searchsorted(media, stream.video_index)):
            for layer in chosen:
                made = layer(hidden, attention_mask=None, position_embeddings=rotation)
                hidden = made[0] if isinstance(made, tuple) else made
    finally:
        parts.language.config._attn_implementation = before
        chosen[-1].self_attn.__dict__.pop("_omnizip_listener", None)
    score = scores[0].cpu()
    return score, 1000 * (time.perf_counter() - started)
