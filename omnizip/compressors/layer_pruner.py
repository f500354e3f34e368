"""What a method inside the language model is: where it cuts, and which rows it lets the layers behind a cut read.

Such a method sees, at each of its cuts, one row of attention: what the last row of the prompt, the end of the question, makes
of every row before it in the layer just passed. Which rows stay follows from that; text always does. model/layer_pruning.py
carries it out.

Retention is the share of the clip's picture and sound tokens that a layer reads, averaged over all layers: the same budget in
operations as a method that drops tokens beforehand. Depths are given for the 28 layers of the published 7B model; a shallower
model is cut at the same share of its depth, after one layer at the earliest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from ..deferred import Tensor, torch
from ..stream import Compression, Modality, Reason, TokenStream, placed
from .base import Compressor, check_retention, option

PUBLISHED_LAYERS = 28  # of Qwen2.5-Omni-7B, for which depths are stated


@dataclass(frozen=True)
class Cut:
    """From `layer` on, `share` of the clip's tokens are read, chosen `by` a rule of the method."""

    layer: int  # counted from 0, at least 1
    share: float
    by: str = "attention"


@dataclass(frozen=True, eq=False)
class Rows:
    """The N rows that reach a cut, in the order of the prompt."""

    modality: Tensor  # (N,) uint8, Modality
    window: Tensor  # (N,) int64 two-second window, -1 outside the clip

    @classmethod
    def of(cls, stream: TokenStream, index: Tensor) -> Rows:
        """The rows of a prompt that stand at places `index` (N,) of `stream`."""
        return cls(stream.modality[index], stream.window[index])

    def __getitem__(self, index: Tensor) -> Rows:
        return Rows(self.modality[index], self.window[index])

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        return Rows(self.modality.to(device), self.window.to(device))

    @cached_property
    def _on_host(self) -> tuple[Tensor, int]:
        """(M,) int64 rows that hold picture or sound, and how many windows there are; fetched in one transfer."""
        modality, window = torch.stack([self.modality.to(torch.int64), self.window]).cpu()
        return (modality != Modality.TEXT).nonzero().flatten(), int(window.max()) + 1 if window.numel() else 0

    @cached_property
    def media(self) -> Tensor:
        """(M,) int64 rows that hold picture or sound."""
        return placed(self._on_host[0], self.modality.device)

    @cached_property
    def n_windows(self) -> int:
        """W, windows up to the last of these rows."""
        return self._on_host[1]


@dataclass(frozen=True, eq=False)
class Glance:
    """How the last row looks at all N rows, itself included."""

    logits: Tensor  # (H, N) float32 products of its query with every key, scaled, before the softmax

    @cached_property
    def attention(self) -> Tensor:
        """(N,) float32 its attention, averaged over heads."""
        return self.logits.softmax(dim=-1).mean(dim=0)


@dataclass(frozen=True)
class LayerPruner(Compressor):
    """A method that drops tokens between layers of the language model, while the prompt is read."""

    reads_question: ClassVar[bool] = True
    forgets: ClassVar[bool] = False  # whether layers before a cut drop the keys and values of what was cut, too

    retention: float = option(
        0.45, "Kept", "Share of the clip's tokens read, averaged over the model's layers.", low=0.0, high=1.0, step=0.01, is_rate=True
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Self:
        """This method at an average over layers; whether the model's depth allows it is known when it reads."""
        return replace(cls(**fields), retention=check_retention(retention))

    def compress(self, stream: TokenStream) -> Compression:
        """What is dropped before the model reads: nothing, unless a method says otherwise. The rest is decided in the model."""
        media = stream.modality != Modality.TEXT
        return Compression.of(stream, torch.where(media, Reason.METHOD_SCORE, Reason.TEXT).to(torch.uint8), notes=self.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people have to know about any of its decisions."""
        return (self.later,)

    @abstractmethod
    def cuts(self, layers: int, read: float) -> tuple[Cut, ...]:
        """Where to cut a model of `layers`, in order, so that the average share comes nearest to `retention`.

        Args:
            read: share of the clip's tokens that the first layer reads.
        """

    def select(self, cut: Cut, rows: Rows, glance: Glance, count: int) -> Tensor:
        """(N,) bool, the rows read from `cut` on: all text, and the `count` media rows most attended to, earlier ones first."""
        return chosen(rows, glance.attention[rows.media], count)


def chosen(rows: Rows, scores: Tensor, count: int) -> Tensor:
    """(N,) bool: text, and the `count` media rows of highest score (M,); among equals the earlier."""
    keep = rows.modality == Modality.TEXT
    keep[rows.media[scores.argsort(descending=True, stable=True)[:count]]] = True
    return keep


def depth(published: int, layers: int) -> int:
    """The layer of a model of `layers` that stands for `published` of 28, from 1 to the last."""
    return max(1, min(layers - 1, published if layers >= PUBLISHED_LAYERS else round(published * layers / PUBLISHED_LAYERS)))


def average(read: float, cuts: Sequence[Cut], layers: int) -> float:
    """The share of the clip's tokens read, averaged over layers."""
    edges = [0, *(cut.layer for cut in cuts), layers]
    shares = [read, *(cut.share for cut in cuts)]
    return sum(share * (end - start) for share, start, end in zip(shares, edges, edges[1:], strict=False)) / layers


def solved(value: Callable[[float], float], target: float) -> float:
    """x in [0, 1] at which a `value` that grows with x comes nearest to `target`."""
    if value(0.0) >= target:
        return 0.0
    if value(1.0) <= target:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < target else (low, middle)
    return (low + high) / 2
