"""GPUs emulated on the host: real values, CUDA's rules, and a count of what the host would have to wait for.

A tensor on an emulated GPU carries its values along, and every operation on it is carried out on them by the CPU. What CUDA
refuses is refused: operands on different devices, reading a GPU's memory from the host. A copy to the host that does not wait
(`non_blocking`) holds nonsense until something waits for the device. What CUDA adds atomically is added in no fixed order.
What makes the host wait is noted in words: a value that decides something on the host, a shape that depends on values, and
copies that are not told to run on.

What it cannot tell: speed, and kernels' own rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

HOST = torch.device("cpu")
AMPERE = (8, 0)
SDPA = nn.functional.scaled_dot_product_attention
# Operations whose result, on the host or in its shape, depends on values, and how often CUDA's implementation waits.
VALUES_DECIDE = {
    "_local_scalar_dense": 1,
    "item": 1,
    "is_nonzero": 1,
    "equal": 1,
    "nonzero": 1,
    "argwhere": 1,
    "masked_select": 1,
    "unique_consecutive": 1,
    "_unique": 1,
    "_unique2": 1,
    "unique_dim": 1,
    "bincount": 1,
    "multinomial": 2,  # looks whether the shares are valid and whether all are zero
}
ATOMIC = ("index_add", "index_add_", "scatter_add", "scatter_add_")  # of (target, dimension, index, source)
TRANSFERS = ("_to_copy", "to", "copy_", "cpu", "cuda")


class OnGpu(Tensor):
    """Values on an emulated GPU. To torch's inner parts it lies on the device "meta", to all that asks in Python on its GPU."""

    values: Tensor
    gpu: torch.device

    @staticmethod
    def __new__(cls, values: Tensor, gpu: torch.device | None = None, requires_grad: bool = False) -> OnGpu:
        if isinstance(values, OnGpu):  # accelerate makes a parameter anew by its class
            return nn.Parameter(values, requires_grad=False)  # type: ignore[return-value]
        made = Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype, device="meta"
        )
        made.values, made.gpu = values, gpu
        return made

    device = property(lambda self: self.gpu)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def untyped_storage(self) -> Any:
        return self.values.untyped_storage()

    def get_device(self) -> int:
        return self.gpu.index

    def __deepcopy__(self, memo: dict) -> OnGpu:
        return OnGpu(self.values.clone(), self.gpu)

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.values}, {self.gpu})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{function} met a tensor of an emulated GPU outside of `emulated`.")


@dataclass(eq=False)
class EmulatedGpus:
    """What happens on them."""

    count: int = 1
    capability: tuple[int, int] = (9, 0)
    memory_bytes: int = 80 << 30
    fail_at: int = 0  # the allocation that finds no memory, counted from 1; 0: none
    fail_times: int = 1
    waits: list[str] = field(default_factory=list)
    allocations: int = 0
    failed: int = 0
    current: torch.device = torch.device("cuda", 0)  # that of the call being answered
    _on_their_way: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _additions: int = 0

    def put(self, values: Any, index: int = 0) -> Any:
        """A tensor, or a copy of a module with all it has, on GPU `index`."""
        gpu = torch.device("cuda", index)
        if isinstance(values, Tensor):
            return OnGpu(values.clone(), gpu)
        moved = copy.deepcopy(values)
        for module in moved.modules():
            for name, value in module._parameters.items():
                if value is not None:
                    module._parameters[name] = nn.Parameter(OnGpu(value.data, gpu), requires_grad=False)
            for name, value in module._buffers.items():
                if value is not None:
                    module._buffers[name] = OnGpu(value, gpu)
        return moved

    def wait(self, why: str = "") -> None:
        """The host waits: copies that are on their way land."""
        if why:
            self.waits.append(why)
        for target, values in self._on_their_way:
            target.copy_(values)
        self._on_their_way.clear()

    def send(self, target: Tensor, values: Tensor) -> None:
        """Begin a copy to the host's `target`, which holds nonsense meanwhile."""
        target.fill_(float("nan") if target.is_floating_point() or target.is_complex() else 1)
        self._on_their_way.append((target, values.to(target.dtype).clone()))

    def shuffled(self, dimension: int, *operands: Any) -> list[Tensor]:
        """Operands whose places along a dimension (an index of one dimension has no other) are in another order every time."""
        self._additions += 1
        host = [_values(x) for x in operands]
        order = torch.randperm(host[-1].shape[dimension], generator=torch.Generator().manual_seed(self._additions))
        return [x.index_select(dimension if x.ndim > 1 else 0, order) for x in host]

    def allocate(self, values: Tensor, gpu: torch.device) -> OnGpu:
        """A result on a GPU, if there is room."""
        self.allocations += 1
        if self.fail_at and self.allocations >= self.fail_at and self.failed < self.fail_times:
            self.failed += 1
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {values.nbytes} bytes. {gpu} is emulated.")
        return OnGpu(values, gpu)


class _Operations(TorchDispatchMode):
    """Carries operations out."""

    def __init__(self, gpus: EmulatedGpus) -> None:
        super().__init__()
        self.gpus = gpus

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_gpu = [x for x in tensors if isinstance(x, OnGpu)]
        name = function._schema.name.removeprefix("aten::")
        asked = _device_of(args, kwargs)
        if asked is not None and asked.type == "meta":  # torch's inner parts make a number beside a tensor of a GPU
            asked = self.gpus.current
        if kwargs.pop("pin_memory", None) and on_gpu:
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        if name == "copy_" and on_gpu:
            return self._copy(args, kwargs)
        if asked is not None and tensors and name in TRANSFERS:
            return self._transfer(function, args, kwargs, asked)
        if not on_gpu and (asked is None or asked.type != "cuda"):
            return function(*args, **kwargs)
        gpu = asked if asked is not None and asked.type == "cuda" else self._common(name, args, tensors, on_gpu)
        if asked is not None:
            args, kwargs = _on_host(args), {**_on_host(kwargs), "device": HOST}
        self._note(name, args, on_gpu)
        if name in ATOMIC:
            args = (*args[:2], *self.gpus.shuffled(args[1], *args[2:4]), *args[4:])
        result = function(*_mapped(_values, args), **_mapped(_values, kwargs))
        if function._schema.is_mutable and name.endswith("_"):
            return args[0]
        return _mapped(lambda x: self.gpus.allocate(x, gpu) if isinstance(x, Tensor) else x, result)

    def _copy(self, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        target, source, *rest = args
        runs_on = bool(rest[0] if rest else kwargs.get("non_blocking", False))
        if isinstance(target, OnGpu):
            if not isinstance(source, OnGpu) and source.ndim and source.numel() and not runs_on:
                self.gpus.wait("a copy to the device that waits")
            target.values.copy_(_values(source))
        elif runs_on:
            self.gpus.send(target, source.values)
        else:
            self.gpus.wait("a copy to the host")
            target.copy_(source.values)
        return target

    def _transfer(self, function: Any, args: tuple, kwargs: dict[str, Any], asked: torch.device) -> Tensor:
        source = args[0]
        runs_on = bool(kwargs.get("non_blocking", False))
        here = source.gpu if isinstance(source, OnGpu) else HOST
        dtype = kwargs.get("dtype") or next((x for x in args[1:] if isinstance(x, torch.dtype)), source.dtype)
        if asked == here:
            if dtype == source.dtype and not kwargs.get("copy", False):
                return source
            made = _values(source).to(dtype, copy=True)
            return made if here == HOST else self.gpus.allocate(made, here)
        made = _values(source).to(dtype, copy=True, memory_format=kwargs.get("memory_format") or torch.preserve_format)
        if asked.type == "cuda":
            if here == HOST and not runs_on and source.numel():
                self.gpus.wait("a copy to the device that waits")
            return self.gpus.allocate(made, asked)
        if runs_on:
            target = torch.empty_like(made)
            self.gpus.send(target, made)
            return target
        self.gpus.wait("a copy to the host")
        return made

    def _common(self, name: str, args: tuple, tensors: list[Tensor], on_gpu: list[OnGpu]) -> torch.device:
        """The one device of all operands; single numbers and indices may lie on the host."""
        gpu = on_gpu[0].gpu
        indices = {id(x) for x in _leaves(args[1])} if name.startswith(("index.", "_index_put", "index_put", "index")) else set()
        for x in tensors:
            where = x.gpu if isinstance(x, OnGpu) else HOST
            if where != gpu and not (
                where == HOST and (x.ndim == 0 or (id(x) in indices and name in ("index", "index_put", "index_put_")))
            ):
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but found at least two devices, {gpu} and {where}! ({name})"
                )
        return gpu

    def _note(self, name: str, args: tuple, on_gpu: list[OnGpu]) -> None:
        if not on_gpu:
            return
        for _ in range(VALUES_DECIDE.get(name, 0)):
            self.gpus.wait(name)
        if name == "repeat_interleave" and any(isinstance(x, Tensor) for x in args[1:2]):
            self.gpus.wait(name)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            for index in args[1]:
                if isinstance(index, OnGpu) and index.dtype in (torch.bool, torch.uint8):
                    self.gpus.wait(f"{name} by a mask")
                elif index is not None and not isinstance(index, OnGpu):
                    self.gpus.wait(f"{name} by rows on the host")


class _Calls(TorchFunctionMode):
    """Answers the few calls that never reach an operation, or reach it without what they were asked."""

    def __init__(self, gpus: EmulatedGpus) -> None:
        super().__init__()
        self.gpus = gpus

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in (Tensor.to, Tensor.type_as) and len(args) > 1 and isinstance(args[1], OnGpu):
            return args[0].to(args[1].device, args[1].dtype, *args[2:], **kwargs)
        if function is Tensor.to and len(args) > 1 and isinstance(args[1], int):
            args = (args[0], torch.device("cuda", args[1]), *args[2:])
        if isinstance(kwargs.get("device"), int):
            kwargs["device"] = torch.device("cuda", kwargs["device"])
        if function is torch.device and args and isinstance(args[0], int):
            return torch.device("cuda", args[0])
        if function is Tensor.pin_memory:
            return args[0].clone()
        if function is Tensor.tolist and isinstance(args[0], OnGpu):
            self.gpus.wait("tolist")
            return args[0].values.tolist()
        if function is Tensor.cuda:
            return args[0].to(torch.device("cuda", kwargs.get("device", 0)))
        if function in (Tensor.numpy, Tensor.__array__) and isinstance(args[0], OnGpu):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if function is SDPA:
            return self._attention(args, kwargs)
        if function is torch.tensor and _is_cuda(kwargs.get("device")):
            return torch.tensor(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        first = next((x for x in (*args, *kwargs.values()) if isinstance(x, OnGpu)), None)
        if first is None:
            first = next((x for x in _leaves(args[:1]) if isinstance(x, OnGpu)), None)
        if first is not None:
            self.gpus.current = first.gpu
        return function(*args, **kwargs)

    def _attention(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """One kernel, as on a GPU; taken apart it would copy constants."""
        on_gpu = [x for x in (*args, *kwargs.values()) if isinstance(x, OnGpu)]
        if not on_gpu:
            return SDPA(*args, **kwargs)
        if any(isinstance(x, Tensor) and (not isinstance(x, OnGpu) or x.gpu != on_gpu[0].gpu) for x in (*args, *kwargs.values())):
            raise RuntimeError("Expected all tensors to be on the same device. (scaled_dot_product_attention)")
        made = SDPA(*_mapped(_values, args), **_mapped(_values, kwargs))
        return self.gpus.allocate(made, on_gpu[0].gpu)


def _mapped(change: Callable[[Any], Any], given: Any) -> Any:
    """Arguments or results with every leaf changed."""
    if isinstance(given, (tuple, list)):
        return type(given)([_mapped(change, x) for x in given]) if type(given) in (tuple, list) else change(given)
    if isinstance(given, dict):
        return {name: _mapped(change, x) for name, x in given.items()}
    return change(given)


def _leaves(given: Any) -> list[Any]:
    if isinstance(given, (tuple, list)):
        return [leaf for x in given for leaf in _leaves(x)]
    if isinstance(given, dict):
        return _leaves(list(given.values()))
    return [given]


def _values(x: Any) -> Any:
    return x.values if isinstance(x, OnGpu) else x


def _is_cuda(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _named(device: Any) -> torch.device:
    device = torch.device(device)
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _device_of(args: tuple, kwargs: dict[str, Any]) -> torch.device | None:
    """The device an operation is asked for, if it is."""
    given = [x for x in args[1:] if isinstance(x, torch.device)] + ([kwargs["device"]] if kwargs.get("device") is not None else [])
    return _named(given[0]) if given else None


def _on_host(given: Any) -> Any:
    return _mapped(lambda x: HOST if isinstance(x, torch.device) else x, given)


@contextmanager
def emulated(**how: Any) -> Iterator[EmulatedGpus]:
    """Within it, torch has GPUs: `how` are the fields of `EmulatedGpus`. What is on them is of no use outside.

    Not for use while another thread uses torch.
    """
    gpus = EmulatedGpus(**how)
    real = torch.Generator
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: gpus.count,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: "an emulated GPU",
        "get_device_capability": lambda device=None: gpus.capability,
        "is_bf16_supported": lambda *_: gpus.capability >= AMPERE,
        "synchronize": lambda device=None: gpus.wait(),
        "empty_cache": lambda: None,
        "mem_get_info": lambda device=None: (gpus.memory_bytes, gpus.memory_bytes),
        "memory_allocated": lambda device=None: 0,
        "memory_reserved": lambda device=None: 0,
        "max_memory_allocated": lambda device=None: 0,
        "reset_peak_memory_stats": lambda device=None: None,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(patch.object(torch, "Generator", lambda device="cpu": real()))
        # Tensors that carry others cannot be views in inference mode; without gradients is what is left of it.
        stack.enter_context(patch.object(torch._C, "_InferenceMode", lambda mode: torch.no_grad() if mode else nullcontext()))
        stack.enter_context(_Operations(gpus))
        stack.enter_context(_Calls(gpus))
        yield gpus
