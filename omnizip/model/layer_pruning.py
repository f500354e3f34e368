"""Carries out a LayerPruner: rows leave the prompt between decoder layers during prefill, on any attention backend.

Hooks before decoder layers shorten the hidden states, and with them the rotary embeddings and the mask of every later layer.
What a method sees is made of parts that exist anyway: the keys of the layer just passed lie in the cache, and the query of the
last row is computed anew from that row alone. So memory grows with the length of the prompt, never with its square.

Afterwards the layers' caches differ in length. One new row attends to all of its layer's cache and needs no mask; several
new rows get a mask per layer. Positions are given from outside, so a gap changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..compressors.layer_pruner import Glance, LayerPruner, Rows
from ..stream import Compression, Modality, Reason

Counts = tuple[int, int, int]  # text, audio, video


@dataclass(frozen=True, eq=False)
class KeptRows:
    """What a LayerPruner left of a prompt. What is counted is counted when it is asked for, not while the prompt is read."""

    pruner: LayerPruner
    modality: Tensor  # (K,) uint8 of the prompt's rows
    media: int  # the clip's tokens before any compression
    read: tuple[Tensor, ...]  # per layer, the rows of the prompt it read
    index: Tensor  # (N,) int64 rows of the prompt that the last choice left, before all of the clip was dropped if it was

    @cached_property
    def layers(self) -> tuple[Counts, ...]:
        """Rows each layer read, by modality."""
        counted = {id(rows): torch.bincount(self.modality[rows].long(), minlength=3) for rows in self.read}
        counts = torch.stack([counted[id(rows)] for rows in self.read]).tolist()
        return tuple((text, audio, video) for text, audio, video in counts)

    @cached_property
    def shortfall(self) -> str:
        """Why the average over layers is not what was asked for, one sentence."""
        shares = [(audio + video) / self.media if self.media else 0.0 for _, audio, video in self.layers]
        got, asked = sum(shares) / len(shares), self.pruner.retention
        if abs(got - asked) * self.media <= 1:
            return ""
        return (
            f"In a model of {len(shares)} layers {self.pruner.label} keeps {100 * got:.0f} % of the clip on average, "
            f"not the {100 * asked:.0f} % asked."
        )

    def applied_to(self, compression: Compression, places: Tensor) -> Compression:
        """The decision as it ended: what left the prompt inside the model is dropped.

        Args:
            compression: what was decided before the model; places: (K,) where the prompt's rows stood in the stream.
        """
        stays = torch.zeros_like(compression.keep)
        stays[places[self.index.to(places.device)]] = True
        reason = torch.where(compression.keep & ~stays, Reason.DROPPED, compression.reason).to(compression.reason.dtype)
        notes = (*compression.notes, self.shortfall) if self.shortfall else compression.notes
        return Compression.of(compression.stream, reason, notes=notes)


@dataclass(frozen=True, eq=False)
class _RowsAtCut(Rows):
    """Rows whose media rows and windows are known already, so that no method waits for the device to find them."""

    media: Tensor = field()  # (M,) int64
    n_windows: int = field()


@dataclass(eq=False)
class PrunedReading:
    """One prompt on its way through the layers."""

    pruner: LayerPruner
    rows: Rows  # of the prompt
    media: int  # the clip's tokens before any compression
    cache: Any
    layers: Sequence[nn.Module]
    index: Tensor = field(init=False)  # (N,) rows of the prompt still read
    survivors: Tensor = field(init=False)  # (N,) after the last choice
    read: list[Tensor] = field(default_factory=list)  # per layer, `index` as it was
    query: Tensor | None = None  # (H, d) of the last row in the layer before a cut

    def __post_init__(self) -> None:
        self.index = torch.arange(self.rows.modality.shape[0], device=self.rows.modality.device)
        self.survivors = self.index
        self.n_text = self.index.numel() - self.rows.media.numel()
        found = self.pruner.cuts(len(self.layers), self.rows.media.numel() / self.media if self.media else 0.0)
        self.cuts = {cut.layer: cut for cut in found}  # of several at one layer the last

    def before(self, number: int, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """What layer `number` reads instead of (args, kwargs)."""
        hidden = args[0] if args else kwargs["hidden_states"]
        if number in self.cuts and self.media:
            hidden = self._cut(number, hidden)
        total = self.rows.modality.shape[0]
        if self.index.numel() < total:
            kwargs = {**kwargs, **_arguments_for(self.index, kwargs)}
        self.read.append(self.index)
        if number + 1 in self.cuts:
            self.query = last_query(layer, hidden[:, -1:], kwargs["position_embeddings"])
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    def _cut(self, number: int, hidden: Tensor) -> Tensor:
        cut = self.cuts[number]
        rows = self._rows()
        count = 0 if cut.by == "all" else round(cut.share * self.media)
        if count >= rows.media.numel():
            return hidden
        if cut.by == "all":
            keep = rows.modality == Modality.TEXT
        else:
            glance = last_row_products(self.query, self.cache.layers[number - 1].keys[0])
            keep = self.pruner.select(cut, rows, Glance(glance.logits.to(self.index.device)), count)
        places = keep.nonzero().flatten()  # the only wait for the device
        self.index = self.index[places]
        if cut.by != "all":
            self.survivors = self.index
        return hidden.index_select(1, places.to(hidden.device))

    def _rows(self) -> Rows:
        """The rows still read. All text is always among them, so their numbers are known without asking the device."""
        modality = self.rows.modality[self.index]
        media = (modality == Modality.TEXT).to(torch.uint8).argsort(stable=True)[: self.index.numel() - self.n_text]
        return _RowsAtCut(modality, self.rows.window[self.index], media, self.rows.n_windows)

    def outcome(self) -> KeptRows:
        """What was left, once all layers have read; tidies the cache for methods that forget."""
        if self.pruner.forgets:
            self.forget()
        return KeptRows(self.pruner, self.rows.modality, self.media, tuple(self.read), self.survivors)

    def forget(self) -> None:
        """Take what was dropped later from the caches of earlier layers, too."""
        places: dict[int, Tensor] = {}  # layers between two cuts read the same rows
        for layer, read in zip(self.cache.layers, self.read, strict=True):
            if read.numel() == self.index.numel():  # rows only ever leave, so these are the same
                continue
            if id(read) not in places:
                places[id(read)] = torch.searchsorted(read, self.index)  # both ascend
            stays = places[id(read)].to(layer.keys.device)
            layer.keys, layer.values = layer.keys.index_select(2, stays), layer.values.index_select(2, stays)


@contextmanager
def pruned(language: nn.Module, pruner: LayerPruner, rows: Rows, media: int, cache: Any) -> Iterator[PrunedReading]:
    """Within it, a prompt read by `language` into `cache` is pruned; the hooks are gone afterwards, whatever happens.

    Args:
        rows: of the prompt, all of them. media: tokens of picture and sound the clip has before any compression.

    Yields:
        How far the reading is; its `outcome` is to be asked once the prompt has been read.
    """
    reading = PrunedReading(pruner, rows, media, cache, language.layers)
    with _hooks(language, reading.before):
        yield reading


@contextmanager
def uneven(language: nn.Module, cache: Any) -> Iterator[None]:
    """Within it, new rows are read behind a cache whose layers differ in length."""
    flash = "flash" in (language.config._attn_implementation or "")

    def before(number: int, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        hidden = args[0] if args else kwargs["hidden_states"]
        new = hidden.shape[1]
        mask = None
        if new > 1 and not flash:  # one row sees everything; flash attention aligns a causal mask with the cache's end by itself
            past = cache.layers[number].get_seq_length()
            hidden_from = torch.ones(new, past + new, dtype=torch.bool, device=hidden.device).triu(past + 1)
            mask = torch.zeros(1, 1, new, past + new, dtype=hidden.dtype, device=hidden.device)
            mask.masked_fill_(hidden_from, torch.finfo(hidden.dtype).min)
        return args, {**kwargs, "attention_mask": mask}

    with _hooks(language, before):
        yield


@contextmanager
def checked(language: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Within it, `check` is called before every decoder layer of `language`; what it raises ends the reading of a prompt there."""

    def before(number: int, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        check()

    with _hooks(language, before):
        yield


@contextmanager
def _hooks(language: nn.Module, before: Callable[[int, nn.Module, tuple, dict[str, Any]], Any]) -> Iterator[None]:
    handles = []
    try:
        for number, layer in enumerate(language.layers):

            def hook(layer: nn.Module, args: tuple, kwargs: dict[str, Any], number: int = number) -> Any:
                return before(number, layer, args, kwargs)

            handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _arguments_for(index: Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a layer that have a row for every row of the prompt, for the rows at `index` only."""
    cos, sin = (part[..., index.to(part.device), :] for part in kwargs["position_embeddings"])
    short: dict[str, Any] = {"position_embeddings": (cos, sin)}
    mask = kwargs.get("attention_mask")
    if isinstance(mask, Tensor):  # eager attention is given one, causal; what is left of it is causal again
        short["attention_mask"] = mask[..., : index.numel(), : index.numel()]
    return short


def last_query(layer: nn.Module, last: Tensor, position_embeddings: tuple[Tensor, Tensor]) -> Tensor:
    """(H, d) float32 query of the last row (1, 1, D), rotated and scaled, as the layer's attention makes it."""
    attention = layer.self_attn
    query = attention.q_proj(layer.input_layernorm(last)).view(-1, attention.head_dim)
    query = (attention.q_norm(query) if hasattr(attention, "q_norm") else query).float()
    cos, sin = (part.reshape(-1, part.shape[-1])[-1].to(query) for part in position_embeddings)
    first, second = query.chunk(2, dim=-1)
    return (query * cos + torch.cat([-second, first], dim=-1) * sin) * attention.scaling


def last_row_products(query: Tensor, keys: Tensor) -> Glance:
    """The last row's products with every key, from (H, d) and (G, N, d), where H / G heads share keys."""
    grouped = query.view(keys.shape[0], -1, query.shape[-1]).to(keys.device)
    return Glance(torch.cat([q @ k.float().T for q, k in zip(grouped, keys, strict=True)]))
