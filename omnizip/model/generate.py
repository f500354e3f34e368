"""Prefill and decode: a prompt of embeddings in, token ids out as they are made.

The stock `generate` is not used, for two reasons: it projects every position of the prompt to the vocabulary (10,000 x
152,064 numbers are 3 GB for one row that is needed), which would flatter any method that shortens the prompt; and positions
of a pruned prompt are not consecutive, so the next one is given here and not inferred. The arithmetic is the same: greedy ids
equal those of `generate`.

The host waits for the device once a token, to learn its id. The steps are not captured in a CUDA graph: a graph is bound to the
shapes and addresses it was captured with, so the cache would need a fixed size. One for all prompts takes the longest prompt's
memory and time for every prompt and hides what a compressed one saves; one for each length is captured anew for almost every
prompt, and for methods inside the model with layers of unequal length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from ..compressors.layer_pruner import LayerPruner, Rows
from ..stream import Prompt, placed
from ..types import Agreement, Sampling
from .caching import with_cache
from .deepstack import deepstacked
from .first_token import LastRow, noting_last_row
from .layer_pruning import KeptRows, pruned, uneven
from .loading import Parts

ROWS_SCORED = 16  # projected to the vocabulary at once
COLDEST = 1e-6  # temperature below which the most likely token is taken: logits divided by less differ beyond what float32 tells apart


@dataclass(frozen=True, eq=False)
class Prefilled:
    """A prompt the language model has read. Decoding extends the cache, so each is decoded once."""

    cache: Any  # transformers' DynamicCache
    logits: Tensor  # (vocabulary,) float32 of the last position
    next_position: float  # mRoPE position of the first generated token
    reused: int = 0  # rows that had been read before
    kept: KeptRows | None = None  # what a method inside the model left
    lengths: tuple[int, ...] = ()  # rows of the prompt in each layer's cache
    last_row: LastRow | None = None  # as the last layer read it

    @property
    def first_token_attention(self) -> Tensor | None:
        """(N,) what the first token is chosen from looks at: of the rows of the prompt that the last layer read, on any device."""
        if self.last_row is None:
            return None
        return self.last_row.attention(self.cache.layers[-1].keys[0][:, : self.lengths[-1]])

    @property
    def uneven(self) -> bool:
        """Whether layers differ in how much of the prompt they remember."""
        return len(set(self.lengths)) > 1

    @property
    def fed(self) -> int:
        """Tokens of the answer that were read behind the prompt so far."""
        return self.cache.get_seq_length() - self.lengths[0]


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A thinker's language model, with the ids that are suppressed and those that end its turn."""

    parts: Parts
    suppressed_ids: Tensor  # (S,) int64
    end_ids: frozenset[int]

    @cached_property
    def _suppressed(self) -> Tensor:
        """The suppressed ids where logits are made, so that no token waits for a copy from the host."""
        return placed(self.suppressed_ids, self.parts.thinker.lm_head.weight.device)

    @torch.inference_mode()
    def prefill(self, prompt: Prompt, pruner: LayerPruner | None = None, rows: Rows | None = None, media: int = 0) -> Prefilled:
        """Read a prompt of K rows; only the last is projected to the vocabulary.

        Args:
            pruner: a method that drops rows between layers; then `rows` says what the K rows are, and `media` how many
                tokens of picture and sound the clip has before any compression.
        """
        cache = DynamicCache(config=self.parts.language.config)
        embeds = prompt.embeds.to(self.parts.device)
        positions = prompt.positions.to(self.parts.device)
        with noting_last_row(self.parts.language) as noted:
            if pruner is None or rows is None:
                with deepstacked(self.parts.language, prompt.deepstack, prompt.video_rows):
                    logits, kept = self._forward(embeds, positions, cache), None
            else:
                with (
                    pruned(self.parts.language, pruner, rows.to(self.parts.device), media, cache) as reading,
                    deepstacked(self.parts.language, prompt.deepstack, prompt.video_rows, lambda: reading.index),
                ):
                    logits = self._forward(embeds, positions, cache)
                    kept = reading.outcome()
        return Prefilled(cache, logits, prompt.next_position, kept=kept, lengths=_lengths(cache), last_row=noted[0])

    @torch.inference_mode()
    def resume(self, cache: Any, shared: int, prompt: Prompt) -> Prefilled:
        """Read what follows the first `shared` rows of a prompt, which `cache` begins with; the rest of it is forgotten."""
        if surplus := cache.get_seq_length() - shared:
            cache.crop(-surplus)  # the number to remove; releases differ in how they take the number to keep
        embeds, positions = prompt.embeds[shared:].to(self.parts.device), prompt.positions[:, shared:].to(self.parts.device)
        with noting_last_row(self.parts.language) as noted, deepstacked(self.parts.language, *prompt.deepstack_from(shared)):
            logits = self._forward(embeds, positions, cache)
        return Prefilled(cache, logits, prompt.next_position, shared, lengths=_lengths(cache), last_row=noted[0])

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> Tensor:
        """(R, D) embeddings of token ids, as they are fed back."""
        return self.parts.thinker.get_input_embeddings()(placed(torch.tensor(ids, dtype=torch.int64), self.parts.device))

    @torch.inference_mode()
    def advance(self, prefilled: Prefilled, token: int, step: int) -> Tensor:
        """(vocabulary,) float32 logits after `token`, the generated token number `step`, counted from 0."""
        device = self.parts.device
        embeds = self.embed([token])
        position = torch.full((3, 1), prefilled.next_position + step, device=device)
        with uneven(self.parts.language, prefilled.cache) if prefilled.uneven else nullcontext():
            return self._forward(embeds, position, prefilled.cache)

    @torch.inference_mode()
    def score(self, prefilled: Prefilled, ids: Sequence[int]) -> Agreement | None:
        """How likely `ids` are as the answer to a prompt; None without ids. What was decoded after it so far stays untouched.

        The same ids are suppressed as while decoding. Logits are made a few rows at a time.
        """
        if not ids:
            return None
        language, device = self.parts.language, self.parts.device
        embeds = self.embed(ids[:-1])
        states = embeds[None, :0]
        with _prompt_alone(prefilled):
            if len(ids) > 1:
                positions = (torch.arange(len(ids) - 1, device=device) + prefilled.next_position).expand(3, 1, -1)
                with uneven(language, prefilled.cache) if prefilled.uneven else nullcontext():
                    states = language(
                        inputs_embeds=embeds[None], position_ids=positions, **with_cache(language, prefilled.cache)
                    ).last_hidden_state
        first = self._log_likelihoods(prefilled.logits[None])
        likelihoods = [first[0, ids[0]]]
        for start in range(0, len(ids) - 1, ROWS_SCORED):
            said = self._log_likelihoods(self.parts.thinker.lm_head(states[0, start : start + ROWS_SCORED]).float())
            wanted = placed(torch.tensor(ids[start + 1 : start + 1 + len(said)]), said.device)
            likelihoods += said.gather(1, wanted[:, None])[:, 0]
        rank = 1 + int((first[0] > first[0, ids[0]]).sum())
        return Agreement(sum(float(x) for x in likelihoods) / len(ids), rank, len(ids))

    def _log_likelihoods(self, logits: Tensor) -> Tensor:
        """(R, vocabulary) log-likelihoods of the next token; minus infinity for suppressed ids."""
        return logits.index_fill(1, self._suppressed.to(logits.device), -torch.inf).log_softmax(dim=-1)

    def decode(self, prefilled: Prefilled, sampling: Sampling, stop: Callable[[], bool] | None = None) -> Iterator[int]:
        """Yield token ids as they are made, until the model ends its turn, `max_new_tokens`, or `stop()` says so.

        `stop` is asked before each token, so an answer ends within one token of it. The same seed draws the same tokens.
        """
        choose = self._sampler(sampling)
        logits, token = prefilled.logits, -1
        for step in range(sampling.max_new_tokens):
            if stop is not None and stop():
                return
            if step:
                logits = self.advance(prefilled, token, step - 1)
            token = choose(logits)
            if token in self.end_ids:
                return
            yield token

    def _forward(self, embeds: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """(vocabulary,) float32 logits of the last of the new rows (K, D) at positions (3, K)."""
        language = self.parts.language
        output = language(inputs_embeds=embeds[None], position_ids=positions[:, None], **with_cache(language, cache))
        return self.parts.thinker.lm_head(output.last_hidden_state[:, -1])[0].float()

    def _sampler(self, sampling: Sampling) -> Callable[[Tensor], int]:
        """Logits (vocabulary,) -> the next id."""
        warpers, greedy = LogitsProcessorList(), sampling.temperature < COLDEST
        if not greedy:
            warpers.append(TemperatureLogitsWarper(sampling.temperature))
            if sampling.top_p < 1:
                warpers.append(TopPLogitsWarper(sampling.top_p))
        generator: torch.Generator | None = None

        @torch.inference_mode()
        def choose(logits: Tensor) -> int:
            nonlocal generator
            logits = logits.index_fill(0, self._suppressed.to(logits.device), -torch.inf)
            if greedy:
                return int(logits.argmax())
            if generator is None:
                generator = torch.Generator(logits.device).manual_seed(sampling.seed)
            no_ids = torch.empty(1, 0, dtype=torch.int64, device=logits.device)  # the warpers do not look at them
            shares = warpers(no_ids, logits[None]).softmax(dim=-1)
            # What torch.multinomial draws, without its two checks of the shares, for each of which the host would wait.
            return int((shares / torch.empty_like(shares).exponential_(1, generator=generator)).argmax())

        return choose


def _lengths(cache: Any) -> tuple[int, ...]:
    return tuple(layer.get_seq_length() for layer in cache.layers)


@contextmanager
def _prompt_alone(prefilled: Prefilled) -> Iterator[None]:
    """Within it, the cache holds the prompt alone; afterwards what it held before, to the bit."""
    layers = prefilled.cache.layers
    before = [(layer.keys, layer.values) for layer in layers]
    try:
        for layer, (keys, values), length in zip(layers, before, prefilled.lengths, strict=True):
            layer.keys, layer.values = keys[:, :, :length], values[:, :, :length]
        yield
    finally:
        for layer, (keys, values) in zip(layers, before, strict=True):
            layer.keys, layer.values = keys, values
