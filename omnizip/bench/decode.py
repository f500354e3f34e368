"""What a token costs beside the stock `generate`: the same model and prompt, the two in turn, in one run.

Both are greedy and both tell the host every token as it is made. Weights are random and are not what is measured; a model that
is small shows what the loops themselves cost, a large one what is left of that.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer

from ..model.generate import LanguageModel
from ..model.loading import Parts
from ..stream import Prompt
from ..types import Sampling
from .compress import COLUMNS, ROWS, Bench
from .prefill import build

ROWS_PER_SECOND = ROWS * COLUMNS + 25
IDS = (10, 250)  # that are text in every vocabulary


class _Stamps(BaseStreamer):
    """Notes when each token arrives, and which it is."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.ids: list[int] = []

    def put(self, value: Tensor) -> None:
        if value.numel() == 1:  # the prompt comes first, whole
            self.ids.append(int(value))
            self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def measure(bench: Bench, shape: str, rows: int, new_tokens: int, attention: str) -> dict[str, Any]:
    """One model.

    Returns:
        {"shape", "parameters", "attention", "prompt", "tokens", "ours_ms", "stock_ms", "ratio", "same_ids"}: medians of ms a token
        after the first, ratio = ours over stock, the median over the pairs that ran one after the other.
    """
    parts = build(shape, bench, attention)
    parts.thinker.config.vision_start_token_id = -1  # the stock rule of positions reads it; no release declares it
    ids = torch.randint(*IDS, (rows,), generator=torch.Generator().manual_seed(bench.seed)).to(bench.device)
    pairs, same = [], True
    for turn in range(bench.repeats + 1):
        runs = [(name, run(parts, ids, new_tokens)) for name, run in (("ours", ours), ("stock", stock))[:: 1 if turn % 2 else -1]]
        found = dict(runs)
        same = same and found["ours"][1] == found["stock"][1]
        if turn:  # the first is first use
            pairs.append((found["ours"][0], found["stock"][0]))
    return {
        "shape": shape,
        "parameters": parts.thinker.num_parameters(),
        "attention": attention,
        "prompt": rows,
        "tokens": new_tokens,
        "ours_ms": median(pair[0] for pair in pairs),
        "stock_ms": median(pair[1] for pair in pairs),
        "ratio": median(pair[0] / pair[1] for pair in pairs),
        "same_ids": same,
    }


def ours(parts: Parts, ids: Tensor, new_tokens: int) -> tuple[float, list[int]]:
    """Milliseconds a token after the first, and the tokens."""
    decoder = LanguageModel(parts, torch.empty(0, dtype=torch.int64), frozenset())
    place = torch.arange(ids.numel(), device=ids.device)
    with torch.inference_mode():
        embeds = parts.thinker.get_input_embeddings()(ids)
    prefilled = decoder.prefill(Prompt(embeds, place.expand(3, -1), place, ids.numel()))
    made, times = [], []
    for token in decoder.decode(prefilled, Sampling(max_new_tokens=new_tokens + 1)):
        made.append(token)
        times.append(time.perf_counter())
    return 1000 * (times[-1] - times[0]) / new_tokens, made


def stock(parts: Parts, ids: Tensor, new_tokens: int) -> tuple[float, list[int]]:
    """The same of the stock `generate`."""
    stamps = _Stamps()
    config = GenerationConfig(max_new_tokens=new_tokens + 1, do_sample=False, pad_token_id=0, eos_token_id=None)
    with torch.inference_mode():
        parts.thinker.generate(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], generation_config=config, streamer=stamps)
    return 1000 * (stamps.times[-1] - stamps.times[0]) / new_tokens, stamps.ids


def markdown(result: dict[str, Any]) -> str:
    """The table as GitHub shows it."""
    lines = [
        "| shape | million parameters | prompt | ours ms/token | stock generate ms/token | ours over stock | same tokens |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in result["rows"]:
        times = f"{row['ours_ms']:.2f} | {row['stock_ms']:.2f} | {row['ratio']:.2f}"
        lines.append(
            f"| {row['shape']} | {row['parameters'] / 1e6:,.1f} | {row['prompt']:,} | {times} | {'yes' if row['same_ids'] else 'no'} |"
        )
    return "\n".join(lines)
