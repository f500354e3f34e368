"""Counting what would wait for a GPU, on the CPU: every operation whose result the host has to know before it goes on."""

from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique_dim", "unique_consecutive", "equal", "is_nonzero")


class Synchronisations(TorchDispatchMode):
    """Counts operations that wait. Indexing by a boolean and repeating by a tensor count, since their size is data.

    `Tensor.tolist` and `.cpu()` of a tensor on the CPU dispatch nothing; what is asked number by number is counted.
    """

    def __init__(self):
        super().__init__()
        self.names = []

    @property
    def count(self):
        return len(self.names)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        boolean = any(i is not None and i.dtype.itemsize == 1 and str(i.dtype) in ("torch.bool", "torch.uint8") for i in indices)
        sized = name == "repeat_interleave" and kwargs.get("output_size") is None
        if name in WAITING or boolean or sized:
            self.names.append(name)
        return function(*args, **kwargs)
