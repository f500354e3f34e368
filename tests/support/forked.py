"""A GPU that is lent as ZeroGPU lends it, without a GPU: a forked process, everything across its border pickled.

Stands for `spaces.GPU`. Beyond the pickling, what may not cross is refused by name: tensors on a device (here any that is not on
the CPU), and with pickle itself locks, events, lambdas. The asker's process is told apart by its id, so that a model can be
guarded against use outside.
"""

import inspect
import io
import multiprocessing
import os
import pickle
import threading
import traceback

import torch

FORK = multiprocessing.get_context("fork")


class Border(pickle.Pickler):
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


class Lender:
    """What `spaces.GPU` is to the engine, and how often it lent and for how long."""

    def __init__(self):
        self.seconds, self.crossed = [], []

    def __call__(self, task, *, duration):
        assert inspect.isgeneratorfunction(task)

        def lent(*args):
            self.seconds.append(duration(*args))
            ours, theirs = FORK.Pipe()
            stop = FORK.Event()
            process = FORK.Process(target=serve, args=(task, packed(args), theirs, stop), daemon=True)
            process.start()
            theirs.close()
            try:
                while True:
                    kind, load = ours.recv()
                    if kind == "end":
                        return
                    if kind == "error":  # as there: only the name of the class comes back
                        raise RuntimeError(f"ZeroGPU worker error: {load}")
                    self.crossed.append(len(load))
                    yield pickle.loads(load)
            finally:
                stop.set()
                ours.close()
                process.join(20)
                assert not process.is_alive(), "the call goes on after it was closed"

        return lent


def serve(task, args, pipe, stop):
    """The forked side. Results are made in a thread of its own, as there."""
    torch.set_num_threads(1)

    def iterate():
        try:
            for item in task(*pickle.loads(args)):
                if stop.is_set():
                    break
                pipe.send(("item", packed(item)))
            pipe.send(("end", None))
        except (BrokenPipeError, OSError):
            return
        except Exception as problem:
            traceback.print_exc()
            pipe.send(("error", type(problem).__name__))

    thread = threading.Thread(target=iterate)
    thread.start()
    thread.join()
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
