"""A device that lies on the host and counts what would have to be waited for.

A tensor that says it is on the device "meta" carries its values along, and every operation on it is carried out on them. What
makes the host wait for an accelerator is counted: a value that decides something, a shape that depends on values, and copies
between host and device but those that `non_blocking` lets run on (from the host only, as memory there is not pinned).
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
VALUES_DECIDE = {  # operations whose result, on the host or in its shape, depends on values
    "_local_scalar_dense",
    "equal",
    "nonzero",
    "masked_select",
    "unique_consecutive",
    "_unique2",
    "unique_dim",
    "bincount",
}


class OnDevice(torch.Tensor):
    """Values on the device."""

    @staticmethod
    def __new__(cls, values):
        made = torch.Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype, device=DEVICE
        )
        made.values = values
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function} met a tensor of the device outside of `counted`")


class _Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = []
        tree_map(lambda x: tensors.append(x) if isinstance(x, torch.Tensor) else None, (args, kwargs))
        touches = any(isinstance(x, OnDevice) for x in tensors)
        name = function._schema.name.removeprefix("aten::")
        target = kwargs.get("device")
        if target is not None and torch.device(target) == DEVICE:
            kwargs["device"] = torch.device("cpu")
            result = function(*tree_map(_values, args), **tree_map(_values, kwargs))
            if tensors and not touches and not kwargs.get("non_blocking", False):
                self.waits.append("a blocking copy to the device")
            return OnDevice(result.clone() if tensors and not touches else result)
        if not touches:
            return function(*args, **kwargs)
        if name == "_to_copy" and target is not None:
            self.waits.append("a copy to the host")
            return function(_values(args[0]), **kwargs).clone()
        self._count(name, args)
        result = function(*tree_map(_values, args), **tree_map(_values, kwargs))
        if name in ("_local_scalar_dense", "equal"):
            return result
        if function._schema.is_mutable and name.endswith("_"):
            return args[0]
        return tree_map(lambda x: OnDevice(x) if isinstance(x, torch.Tensor) else x, result)

    def _count(self, name, args):
        if name in VALUES_DECIDE:
            self.waits.append(name)
        if name == "repeat_interleave":
            self.waits.append(name)
        if name == "copy_" and isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice) and args[1].ndim:
            self.waits.append("a copy between host and device")
        if name in ("index", "index_put_", "index_put", "_index_put_impl_"):
            for index in args[1]:
                if index is None:
                    continue
                if index.dtype in (torch.bool, torch.uint8) and isinstance(index, OnDevice):
                    self.waits.append(f"{name} by a mask")
                elif isinstance(args[0], OnDevice) and not isinstance(index, OnDevice):
                    self.waits.append(f"{name} by rows on the host")
        else:
            for x in args:
                if isinstance(x, torch.Tensor) and not isinstance(x, OnDevice) and x.ndim and name != "copy_":
                    raise AssertionError(f"{name} mixes tensors of host and device")


def _values(x):
    return x.values if isinstance(x, OnDevice) else x


@contextmanager
def counted():
    """Within it tensors may be on the device; gives the list of what was waited for, in words."""
    mode = _Counting()
    with mode:
        yield mode.waits
