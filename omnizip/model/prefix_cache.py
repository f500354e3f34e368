"""Keeps the caches of prompts that were read, so that a follow-up question on the same clip reads only its new rows.

A row is what the model reads at one place: an embedding and its position. Two prompts share what they have in common from
their beginning, row by row, so reuse is right whatever method, settings or chat made them: nothing has to be trusted but
that equal rows give equal keys and values. A method that looks at the question makes other rows, and says so beforehand.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..stream import Prompt


@dataclass(frozen=True, eq=False)
class Prefix:
    """N rows, and the keys and values the model made of them."""

    cache: Any  # transformers' DynamicCache of N tokens
    embeds: Tensor  # (N, D)
    positions: Tensor  # (3, N)
    deepstack: Tensor | None = None  # (layers, V, D) what was added to the picture's rows after the first layers
    video_rows: Tensor | None = None  # (V,) which rows those are

    @classmethod
    def of(cls, cache: Any, prompt: Prompt, answer: Tensor) -> Prefix:
        """A prompt (K rows) and of its answer's embeddings (R, D) as many as were fed back."""
        fed = cache.get_seq_length() - prompt.embeds.shape[0]
        behind = torch.arange(fed, device=prompt.positions.device) + prompt.next_position
        positions = torch.cat([prompt.positions, behind.expand(3, -1)], dim=1)
        embeds = torch.cat([prompt.embeds, answer[:fed].to(prompt.embeds)])
        return cls(cache, embeds, positions, prompt.deepstack, prompt.video_rows)

    def shared(self, prompt: Prompt) -> int:
        """Rows from the beginning that `prompt` has as well; never all of it, since its last row has to be answered."""
        n = min(self.embeds.shape[0], prompt.embeds.shape[0] - 1)
        same = (self.embeds[:n] == prompt.embeds[:n]).all(dim=1) & (self.positions[:, :n] == prompt.positions[:, :n]).all(dim=0)
        first = int(same.long().cumprod(dim=0).sum())
        return min(first, self._deeper_shared(prompt))

    def _deeper_shared(self, prompt: Prompt) -> int:
        """Rows from the beginning before the first to which something else is added in deeper layers."""
        mine, theirs = (self.deepstack, self.video_rows), (prompt.deepstack, prompt.video_rows)
        if mine[0] is None or mine[1] is None or theirs[0] is None or theirs[1] is None:
            return prompt.embeds.shape[0]
        n = min(mine[1].numel(), theirs[1].numel())
        same = (mine[0][:, :n] == theirs[0][:, :n]).all(dim=2).all(dim=0) & (mine[1][:n] == theirs[1][:n])
        alike = int(same.long().cumprod(dim=0).sum())
        return min(int(rows[alike]) if alike < rows.numel() else prompt.embeds.shape[0] for rows in (mine[1], theirs[1]))

    @property
    def nbytes(self) -> int:
        """Bytes that the rows and the keys and values keep from others, also where a tensor is a part of a larger one."""
        cached = [tensor for layer in self.cache.layers for tensor in (layer.keys, layer.values)]
        own = [tensor for tensor in (self.embeds, self.positions, self.deepstack) if tensor is not None]
        return sum(tensor.untyped_storage().nbytes() for tensor in (*cached, *own))


class Prefixes:
    """The prefixes read last, of at most `limit_bytes` on the model's device. Whoever takes one has it alone: reading on changes it."""

    def __init__(self, limit_bytes: float = math.inf) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, key: Hashable) -> Prefix | None:
        """The prefix at `key`, which stays."""
        return self._kept.get(key)

    def take(self, key: Hashable) -> Prefix | None:
        """The prefix at `key`, which is then no longer kept."""
        return self._kept.pop(key, None)

    def put(self, key: Hashable, prefix: Prefix) -> None:
        """Keep a prefix; the ones used least recently make room. One that is larger than the bound is not kept."""
        self._kept.pop(key, None)
        if prefix.nbytes > self._limit_bytes:
            return
        self._kept[key] = prefix
        while self.nbytes > self._limit_bytes:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(prefix.nbytes for prefix in self._kept.values())
