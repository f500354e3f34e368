"""What a prompt costs the language model: operations and bytes of cache, from its sizes and the number of tokens.

Two counts of operations are given, because the published one is a proxy:

- `paper_flops`, OmniZip's equation 9, for comparison with published tables: multiply-adds counted once, a feed-forward
  network without gate, as many key heads as query heads, picture and sound only.
- `prefill_flops` and `decode_flops`, what this model computes: multiply-adds counted as two operations, gated
  feed-forward network, grouped keys and values, causal attention, every token of the prompt, vocabulary scores of one
  position. Softmax, norms and the compressor itself (reported as time) are not counted.
- `encoder_flops`, what both encoders compute on what a run needs encoded, counted likewise: of a picture only the places that are
  looked at cost anything, in matrices in proportion, in attention by the squares of what is left of each window and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..types import EncoderShape, ModelShape

PAPER_ANSWER_TOKENS = 100  # R in equation 9


def paper_flops(shape: ModelShape, n: int, answer_tokens: int = PAPER_ANSWER_TOKENS) -> int:
    """OmniZip's equation 9: T(4nd^2 + 2n^2 d + 2ndm) + T R((4d^2 + 2dm) + 2(dn + d(R+1)/2)).

    T layers, d width, m width of the feed-forward network, R tokens of the answer.

    Args:
        n: audio and video tokens the model reads; text is not counted.
    """
    d, m, r = shape.width, shape.ffn, answer_tokens
    prefill = 4 * n * d * d + 2 * n * n * d + 2 * n * d * m
    decode = r * (4 * d * d + 2 * d * m + 2 * d * n) + d * r * (r + 1)
    return shape.layers * (prefill + decode)


def _per_token_flops(shape: ModelShape) -> int:
    """Operations of one layer's matrices for one token: queries and output, keys and values, the gated network's three, the router.

    Of a mixture of experts those that a token goes through are counted, and the scores of all.
    """
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return 2 * shape.width * (2 * queries + 2 * keys + 3 * shape.ffn + shape.experts)


def prefill_flops(shape: ModelShape, tokens: int) -> int:
    """Operations of reading a prompt of `tokens` (text included) up to the scores of the first token of the answer."""
    attention = 4 * shape.heads * shape.head_dim * (tokens * (tokens + 1) // 2)  # token i attends to i tokens, itself included
    return shape.layers * (tokens * _per_token_flops(shape) + attention) + 2 * shape.width * shape.vocabulary


def layered_prefill_flops(shape: ModelShape, lengths: Sequence[int]) -> int:
    """Operations of reading a prompt of which the layers read different numbers of tokens, `lengths` in the order of the layers."""
    one, scores = replace(shape, layers=1), 2 * shape.width * shape.vocabulary
    return sum(prefill_flops(one, tokens) - scores for tokens in lengths) + scores


def layered_paper_flops(shape: ModelShape, lengths: Sequence[int], answer_tokens: int = PAPER_ANSWER_TOKENS) -> int:
    """Equation 9 where the layers read different numbers of audio and video tokens, `lengths` in the order of the layers."""
    one = replace(shape, layers=1)
    return sum(paper_flops(one, n, answer_tokens) for n in lengths)


def decode_flops(shape: ModelShape, cached: int) -> int:
    """Operations of one further token that attends to `cached` tokens, itself included."""
    attention = 4 * shape.heads * shape.head_dim * cached
    return shape.layers * (_per_token_flops(shape) + attention) + 2 * shape.width * shape.vocabulary


def kv_cache_bytes(shape: ModelShape, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` cached tokens, prompt and answer."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * tokens * shape.kv_bytes


def vision_flops(shape: EncoderShape, windows: Sequence[int], steps: Sequence[int]) -> int:
    """Operations of the vision encoder on pictures whose windows and steps hold so many encoded tokens each.

    Args:
        windows, steps: tokens of each, which add up to the same number.
    """
    d, patches = shape.vision_width, shape.merged * sum(steps)
    matrices = 2 * patches * d * (4 * d + (3 if shape.vision_gated else 2) * shape.vision_ffn)
    within = [4 * d * shape.merged**2 * sum(count * count for count in counts) for counts in (windows, steps)]
    windowed = shape.vision_layers - shape.vision_full_layers
    merger = 2 * sum(steps) * shape.merged * d * (shape.merged * d + shape.output)
    embedding = 2 * patches * shape.patch_values * d
    return embedding + shape.vision_layers * matrices + windowed * within[0] + shape.vision_full_layers * within[1] + shape.mergers * merger


def audio_flops(shape: EncoderShape, tokens: int) -> int:
    """Operations of the audio encoder on sound that becomes `tokens`: convolutions, layers on the rows of each token, projection."""
    d, rows = shape.audio_width, shape.audio_rows_per_token
    frames = rows * tokens
    convolutions = 2 * 3 * d * (2 * frames * shape.mel_bins + frames * d)
    if shape.audio_stem_per_s is not None:
        convolutions = shape.audio_stem_per_s * tokens // shape.audio_tokens_per_s
    matrices = 2 * frames * d * (4 * d + 2 * shape.audio_ffn)
    whole, rest = divmod(tokens, shape.block_tokens)
    attention = 4 * d * (whole * (rows * shape.block_tokens) ** 2 + (rows * rest) ** 2)
    return convolutions + shape.audio_layers * (matrices + attention) + 2 * tokens * d * shape.output


def encoder_flops(shape: EncoderShape, grid: tuple[int, int, int], seen: Any, n_audio: int) -> int:
    """Operations of both encoders on a clip.

    Args:
        grid: steps, rows and columns of video tokens.
        seen: (steps, rows * columns) bool, which of them are encoded, as an array or a tensor on the host; None for all.
    """
    steps, rows, columns = grid
    kept = np.ones((steps, rows * columns), bool) if seen is None else np.asarray(seen)
    row, column = np.divmod(np.arange(rows * columns), max(1, columns))
    window = row // shape.window_side * -(-columns // shape.window_side) + column // shape.window_side
    of_window = np.eye(int(window.max()) + 1 if window.size else 0, dtype=np.int64)[window]
    windows = (kept.astype(np.int64) @ of_window).ravel().tolist()
    return vision_flops(shape, windows, kept.sum(axis=1).tolist()) + audio_flops(shape, n_audio)


@dataclass(frozen=True)
class CountedFlops:
    """Operations as this model computes them, see the module's description."""

    prefill: int
    decode_per_token: int  # the first token that is fed back
    decode: int  # all tokens of this answer that were fed back

    @classmethod
    def of(cls, shape: ModelShape, prompt: int, cached: int, reused: int = 0) -> CountedFlops:
        """Counts a prompt of `prompt` tokens and its answer, after which `cached` tokens are cached.

        Args:
            reused: tokens at the prompt's beginning that were read for an earlier question and cost nothing now.
        """
        decode = sum(decode_flops(shape, n) for n in range(prompt + 1, cached + 1))
        spared = prefill_flops(shape, reused) - prefill_flops(shape, 0)
        return cls(prefill_flops(shape, prompt) - spared, decode_flops(shape, prompt + 1), decode)

    @classmethod
    def layered(cls, shape: ModelShape, read: Sequence[int], cached: Sequence[int], fed: int) -> CountedFlops:
        """Counts a prompt of which every layer read another number of tokens and remembers another.

        Args:
            read: tokens of the prompt that each layer read. cached: those of them in its cache. fed: tokens of the answer fed back.
        """
        one, scores = replace(shape, layers=1), 2 * shape.width * shape.vocabulary

        def step(number: int) -> int:
            return sum(decode_flops(one, n + number) - scores for n in cached) + scores

        return cls(layered_prefill_flops(shape, read), step(1), sum(step(i) for i in range(1, fed + 1)))
