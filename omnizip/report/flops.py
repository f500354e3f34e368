"""What a prompt costs the language model: operations and bytes of cache, from its sizes and the number of tokens.

Two counts of operations are given, because the published one is a proxy:

- `paper_flops`, OmniZip's equation 9, for comparison with published tables: multiply-adds counted once, a feed-forward
  network without gate, as many key heads as query heads, picture and sound only.
- `prefill_flops` and `decode_flops`, what this model computes: multiply-adds counted as two operations, gated
  feed-forward network, grouped keys and values, causal attention, every token of the prompt, vocabulary scores of one
  position. Softmax, norms and the compressor itself (reported as time) are not counted.

Does not know: what the encoders cost, which is shared by all runs of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..types import ModelShape

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
    """Operations of one layer's matrices for one token: queries and output, keys and values, the gated network's three."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return 2 * shape.width * (2 * queries + 2 * keys + 3 * shape.ffn)


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
