"""Reads what a module is called with, by a hook that is always taken off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def captured_input(module: nn.Module, call: Callable[[Tensor, dict[str, Any]], None] | None = None) -> Iterator[list[Tensor]]:
    """The hidden states `module` is called with inside the context, call by call; the hook is gone after it.

    Args:
        call: called with the hidden states and named arguments of each call instead; then nothing is collected.
    """
    seen: list[Tensor] = []

    def note(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        seen.append(hidden) if call is None else call(hidden, kwargs)

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()
