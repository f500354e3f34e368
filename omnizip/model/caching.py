"""How a model is handed its cache of keys and values: under the name that the installed transformers has for it.

Up to 5.23 the argument and the field of the output are called `past_key_values`; from 5.24 on they are called `cache`, and the
old name warns until 5.40 drops it.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from typing import Any

from torch import nn


def with_cache(model: nn.Module, cache: Any) -> dict[str, Any]:
    """The arguments with which `model` reads behind `cache` and extends it."""
    return {_name(type(model)): cache, "use_cache": True}


def cache_of(model: nn.Module, output: Any) -> Any:
    """The cache in an output of `model`."""
    return output[_name(type(model))]


@lru_cache
def _name(kind: type[nn.Module]) -> str:
    return "cache" if "cache" in signature(kind.forward).parameters else "past_key_values"
