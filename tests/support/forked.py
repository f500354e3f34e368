"""A GPU that is lent as ZeroGPU lends it, without a GPU: a forked process, everything across its border pickled.

Stands for `spaces.GPU`, and fails as it does. Its queues use multiprocessing's pickler, for which torch has reductions that put
tensors into shared memory; what cannot be pickled ends the call with the name of the error, and what fails otherwise while it is
sent (shared memory that is full, say) ends it without a word. Beyond that, what may not cross is refused by name: tensors on a
device (here any that is not on the CPU), and with pickle itself locks, events, lambdas. The asker's process is told apart by its
id, so that a model can be guarded against use outside.
"""

import contextlib
import ctypes
import inspect
import io
import multiprocessing
import os
import pickle
import threading
import traceback
from multiprocessing.reduction import ForkingPickler

import torch
import torch.multiprocessing  # registers the reductions
from torch.multiprocessing import reductions

FORK = multiprocessing.get_context("fork")
NEW_MOUNTS, PRIVATE, RECURSIVE = 0x20000, 1 << 18, 1 << 14  # CLONE_NEWNS, MS_PRIVATE, MS_REC


class Border(ForkingPickler):
    """Refuses what ZeroGPU's border does not take."""

    def reducer_override(self, item):
        if isinstance(item, torch.Tensor) and item.device.type != "cpu":
            raise pickle.PicklingError(f"a tensor on {item.device} crosses the border")
        if callable(item) and getattr(item, "__name__", "") == "<lambda>":
            raise pickle.PicklingError("a lambda crosses the border")
        return NotImplemented


def packed(item):
    buffer = io.BytesIO()
    Border(buffer).dump(item)
    return buffer.getvalue()


def shrink_shared_memory(size):
    """Leave this process `size` bytes of shared memory: a /dev/shm of its own where that is allowed, else torch's answer to one."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = libc.unshare(NEW_MOUNTS) == 0 and libc.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None) == 0
    if own and libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, f"size={size}".encode()) == 0:
        return
    real = reductions.reduce_storage

    def reduce_storage(storage):
        if storage.nbytes() > size:
            raise RuntimeError("unable to allocate shared memory(shm) for file </torch>: No space left on device (28)")
        return real(storage)

    ForkingPickler.register(torch.UntypedStorage, reduce_storage)


class Lender:
    """What `spaces.GPU` is to the engine, and how often it lent and for how long.

    Args:
        shared_bytes: shared memory of the lent process; None for as much as there is.
        lives_for: results after which the process is taken away; None for never.
    """

    def __init__(self, shared_bytes=None, lives_for=None):
        self.seconds, self.crossed = [], []
        self.shared_bytes, self.lives_for = shared_bytes, lives_for

    def __call__(self, task, *, duration):
        assert inspect.isgeneratorfunction(task)

        def lent(*args):
            self.seconds.append(duration(*args))
            ours, theirs = FORK.Pipe()
            stop = FORK.Event()
            process = FORK.Process(target=self.serve, args=(task, packed(args), theirs, stop), daemon=True)
            process.start()
            theirs.close()
            try:
                while True:
                    kind, load = ours.recv()
                    if kind == "end":
                        return
                    if kind == "error":  # as there: only the name of the class comes back
                        raise RuntimeError(f"ZeroGPU worker error: {load}")
                    self.crossed.append(load)
                    yield pickle.loads(load)
            finally:
                stop.set()
                ours.close()
                process.join(20)
                assert not process.is_alive(), "the call goes on after it was closed"

        return lent

    def serve(self, task, args, pipe, stop):
        """The forked side. Results are made in a thread of its own, as there."""
        torch.set_num_threads(1)
        if self.shared_bytes is not None:
            shrink_shared_memory(self.shared_bytes)

        def iterate():
            results = task(*pickle.loads(args))
            sent = 0
            while not stop.is_set() and sent != self.lives_for:
                try:
                    item = next(results)
                except StopIteration:
                    return
                except Exception as problem:
                    traceback.print_exc()
                    pipe.send(("error", type(problem).__name__))
                    return
                try:
                    load = packed(item)
                except (pickle.PicklingError, TypeError, AttributeError) as problem:
                    pipe.send(("error", type(problem).__name__))
                    return
                pipe.send(("item", load))  # whatever else fails above or here is lost with the thread
                sent += 1

        thread = threading.Thread(target=iterate)
        thread.start()
        thread.join()
        with contextlib.suppress(OSError):
            pipe.send(("end", None))
        stop.wait(60)  # as there it lives on, since shared memory is fetched from it
        os._exit(0)


def guard(engine):
    """Whatever of the model computes on its device fails in this process from now on, and only here."""
    here = os.getpid()

    def refuse(module, *_):
        if os.getpid() == here:
            raise AssertionError(f"{type(module).__name__} runs outside the lent call")

    for module in engine.model.parts.thinker.modules():
        module.register_forward_pre_hook(refuse)
    return engine
