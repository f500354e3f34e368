"""Several processes that train one model: each takes its share of every batch, gradients are averaged.

On a CPU two processes of one thread are faster than one process of two: nothing waits within a layer, only once a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class ProcessShare:
    """This process among several: its rank and their number."""

    rank: int = 0
    processes: int = 1

    def average(self, parameters: list[Tensor], stop: bool = False) -> bool:
        """Replace gradients by their mean over the processes; returns whether any of them wants to stop."""
        if self.processes == 1:
            return stop
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in gradients), gradients[0].new_tensor([float(stop)])]).cpu()  # where processes meet
        distributed.all_reduce(flat)
        flat[:-1] /= self.processes
        for gradient, mean in zip(gradients, flat[:-1].split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))
        return bool(flat[-1] > 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.processes > 1:
            distributed.barrier()


ALONE = ProcessShare()


def _run_process(meeting: str, rank: int, processes: int, work, arguments: tuple) -> None:
    with _process_group(meeting, rank, processes):
        work(*arguments, ProcessShare(rank, processes))


@contextmanager
def _process_group(meeting: str, rank: int, processes: int) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def start_processes(processes: int, folder: Path, work, arguments: tuple = ()) -> Iterator[ProcessShare]:
    """Start `work(*arguments, share)` in all processes but this one, whose share is the first.

    Args:
        folder: where they meet; it exists.
        work: a function of a module, since it is started by name.
    """
    if processes == 1:
        yield ALONE
        return
    meeting = folder.resolve() / "meeting"
    meeting.unlink(missing_ok=True)
    context = get_context("spawn")
    others = [context.Process(target=_run_process, args=(str(meeting), rank, processes, work, arguments)) for rank in range(1, processes)]
    for other in others:
        other.start()
    try:
        with _process_group(str(meeting), 0, processes):
            yield ProcessShare(0, processes)
    finally:
        for other in others:
            other.join(30)
            other.terminate()
        meeting.unlink(missing_ok=True)
