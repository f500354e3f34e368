"""Adds a picture's rows to those the language model reads after its first layers, as Qwen3-Omni wants them ("deepstack").

The stock forward takes a mask and rows for the whole prompt and adds them between layers itself. Here a hook behind each of these
layers adds them, the same sum, so that rows that have left the prompt in between are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def deepstacked(
    language: nn.Module, rows: Tensor | None, places: Tensor | None, read: Callable[[], Tensor] | None = None
) -> Iterator[None]:
    """Within it, `rows` are added to the picture's rows of the one prompt that `language` reads; the hooks are gone afterwards.

    Args:
        rows: (layers, V, D) what is added after each of the first layers; None adds nothing.
        places: (V,) int64, ascending, rows of the prompt they belong to.
        read: called behind a layer, gives the rows of the prompt it read (N,), ascending; all of them where it is not given.
    """
    if rows is None or places is None or not places.numel():
        yield
        return
    model: Any = language
    handles = []
    try:
        for layer, added in zip(model.layers, rows, strict=False):
            handles.append(layer.register_forward_hook(_adding(added, places, read)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adding(added: Tensor, places: Tensor, read: Callable[[], Tensor] | None) -> Callable[..., Any]:
    def hook(layer: nn.Module, args: tuple, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        at, own = places, added
        if read is not None:
            index = read().to(places.device)
            at = torch.searchsorted(index, places).clamp(max=index.numel() - 1)
            there = index[at] == places
            at, own = at[there], added[there.to(added.device)]
        hidden = hidden.clone()
        at = at.to(hidden.device)
        hidden[0, at] = hidden[0, at] + own.to(hidden)
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    return hook
