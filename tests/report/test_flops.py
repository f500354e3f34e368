"""Operations and bytes, against published numbers and against every matrix product in turn."""

import pytest
import torch
from reports import TINY

from omnizip.report.flops import CountedFlops, decode_flops, kv_cache_bytes, paper_flops, prefill_flops
from omnizip.types import ModelShape

SHAPE_7B = ModelShape(layers=28, width=3584, heads=28, kv_heads=4, head_dim=128, ffn=18944, vocabulary=152064, kv_bytes=2)
SHAPE_3B = ModelShape(layers=36, width=2048, heads=16, kv_heads=2, head_dim=128, ffn=11008, vocabulary=151936, kv_bytes=2)


def test_the_papers_count_gives_its_published_table():
    """Table 2: 73.2 T for 7B; the same n must give the 3B row of 37.4 T, which was not fitted."""
    n = min(range(9_000, 11_000), key=lambda n: abs(paper_flops(SHAPE_7B, n) - 73.2e12))
    assert n == pytest.approx(10_060, rel=0.01)
    assert paper_flops(SHAPE_3B, n) / 1e12 == pytest.approx(37.4, rel=0.02)


def test_the_papers_count_term_by_term():
    t, n, d, m, r = 2, 11, 6, 5, 3
    by_hand = t * (4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m) + t * r * ((4 * d**2 + 2 * d * m) + 2 * (d * n + d * (r + 1) / 2))
    assert paper_flops(TINY, n, r) == by_hand


def test_the_truthful_count_per_token():
    """13.05 GFLOP a token for 7B before attention and vocabulary."""
    vocabulary = 2 * SHAPE_7B.width * SHAPE_7B.vocabulary
    attention = SHAPE_7B.layers * 4 * SHAPE_7B.width
    assert (prefill_flops(SHAPE_7B, 1) - vocabulary - attention) / 1e9 == pytest.approx(13.05, abs=0.01)


@pytest.mark.parametrize("tokens", [1, 2, 17])
def test_the_truthful_count_equals_matrix_by_matrix(tokens):
    """Two operations per multiply-add of every matrix product of the model, attention only where it is causal."""

    def product(rows, inner, columns):
        return 2 * rows * inner * columns

    d, q, kv, m = TINY.width, TINY.heads * TINY.head_dim, TINY.kv_heads * TINY.head_dim, TINY.ffn
    total = product(1, d, TINY.vocabulary)
    for _ in range(TINY.layers):
        total += product(tokens, d, q) + 2 * product(tokens, d, kv) + product(tokens, q, d)
        total += 2 * product(tokens, d, m) + product(tokens, m, d)
        for seen in range(1, tokens + 1):
            total += TINY.heads * (product(1, TINY.head_dim, seen) + product(1, seen, TINY.head_dim))
    assert prefill_flops(TINY, tokens) == total
    step = prefill_flops(TINY, tokens + 1) - prefill_flops(TINY, tokens) + product(1, d, TINY.vocabulary)
    assert decode_flops(TINY, tokens + 1) == step


def test_decoding_counts_the_tokens_that_were_fed_back():
    counted = CountedFlops.of(TINY, prompt=10, cached=13)
    assert counted.decode == decode_flops(TINY, 11) + decode_flops(TINY, 12) + decode_flops(TINY, 13)
    assert counted.decode_per_token == decode_flops(TINY, 11)
    assert CountedFlops.of(TINY, prompt=10, cached=10).decode == 0


def test_cache_bytes():
    assert kv_cache_bytes(SHAPE_7B, 1) == 57_344  # 28 layers x keys and values x 512 x 2 bytes
    cache = [(torch.zeros(1, 2, 9, 3), torch.zeros(1, 2, 9, 3)) for _ in range(2)]
    assert kv_cache_bytes(TINY, 9) == sum(t.nbytes for layer in cache for t in layer)
