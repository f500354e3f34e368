"""Where the first token of an answer looks: the row of the last layer's attention that it is chosen from, over the whole prompt.

The prompt's last row is noted as the last layer reads it; its query is made anew from that row, by the layer's own projections, and
multiplied with the keys in the cache. That is what the layer itself computed, on any attention backend, without the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..stream import Prompt, TokenStream
from .layer_pruning import KeptRows, last_query, last_row_products


@dataclass(frozen=True, eq=False)
class LastRow:
    """What the last layer reads in a prompt's last row."""

    layer: nn.Module
    hidden: Tensor  # (1, 1, D)
    rotation: tuple[Tensor, Tensor]  # cosines and sines of its position

    @torch.inference_mode()
    def attention(self, keys: Tensor) -> Tensor:
        """(N,) float32 what the row gives to each of N keys (G, N, d), averaged over heads; sums to one."""
        return last_row_products(last_query(self.layer, self.hidden, self.rotation), keys).attention


@contextmanager
def noting_last_row(language: nn.Module) -> Iterator[list[LastRow]]:
    """Within it, the last row that the last layer of `language` reads is noted; the hook is gone afterwards, whatever happens."""
    noted: list[LastRow] = []

    def note(layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        cos, sin = (part[..., -1:, :] for part in kwargs["position_embeddings"])
        noted[:] = [LastRow(layer, hidden[:, -1:], (cos, sin))]

    handle = language.layers[-1].register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield noted
    finally:
        handle.remove()


def by_window(attention: Tensor, prompt: Prompt, stream: TokenStream, kept: KeptRows | None = None) -> tuple[float, ...]:
    """(W,) share of the row's attention that goes to the picture and sound of each window; what is left of 1 goes to text.

    Args:
        attention: (N,) over the rows the last layer read; kept: which of the prompt's these were, where a method inside the model chose.
    """
    places = prompt.index.cpu() if kept is None else prompt.index.cpu()[kept.read[-1].cpu()]
    window = stream.window.cpu()[places]
    within = window >= 0
    shares = torch.zeros(stream.n_windows).index_add_(0, window[within].long(), attention.cpu()[within])
    return tuple(shares.tolist())
