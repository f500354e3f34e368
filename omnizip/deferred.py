"""torch, imported when it is first used: names, labels and options of the methods are known before it, and a page is up sooner."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    __all__ = ["Tensor", "torch"]
else:

    class _Torch:
        """Stands for the module, whose attributes it takes over as they are asked for."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module("torch"), name)
            setattr(self, name, value)
            return value

    class _IsTensor(type):
        """Asks torch, when it is asked."""

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, torch.Tensor)

    class Tensor(metaclass=_IsTensor):
        """torch.Tensor, for annotations and isinstance."""

    torch = _Torch()
