"""Workers of a pool as Ray's actors: a process each, on a GPU of its own or a core, wherever the cluster has one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..errors import OmniZipError
from .crossing import Failure
from .ray_session import first_line, import_ray
from .worker_pool import Ready, WorkerLost

# What a worker begins with: what does one task, what its outcomes depend on, what else is told of it.
Begin = Callable[[], tuple[Callable[[Any], Any], dict[str, Any], dict[str, Any]]]


class TaskWorker:
    """What runs in a worker's process."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._do: Callable[[Any], Any] | None = None

    def ready(self) -> Ready | Failure:
        """Get ready, or say why that cannot be, with the name of this node."""
        node = f"{socket.gethostname()} ({import_ray().util.get_node_ip_address()})"
        try:
            self._do, known, conditions = self._begin()
        except OmniZipError as problem:
            return Failure.of(type(problem)(f"Node {node}: {problem}"))
        return Ready(node, known, conditions)

    def do(self, task: Any) -> Any:
        """Do one task."""
        assert self._do is not None, "no task is given to a worker that is not ready"
        return self._do(task)


class RayWorker:
    """A worker as the pool has it."""

    def __init__(self, begin: Begin, on_gpu: bool) -> None:
        """Ask the cluster for one, on a GPU that nobody else has taken or on a core.

        Ray neither begins it anew nor asks it again: the pool does.
        """
        share = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
        actor = import_ray().remote(TaskWorker)
        self._actor = actor.options(max_restarts=0, scheduling_strategy="SPREAD", **share).remote(begin)

    def ready(self) -> Future[Ready | Failure]:
        """Have it get ready."""
        return _outcome(self._actor.ready.remote())

    def do(self, task: Any) -> Future[Any]:
        """Have it do a task."""
        return _outcome(self._actor.do.remote(task))

    def end(self) -> None:
        """End it."""
        import_ray().kill(self._actor)


def _outcome(reference: Any) -> Future[Any]:
    """What Ray refers to, with the end of a worker in this project's words: all that Ray raises but what its program raised."""
    from ray.exceptions import RayError, RayTaskError

    found: Future[Any] = Future()

    def settle(theirs: Future[Any]) -> None:
        failure = theirs.exception()
        if failure is None:
            found.set_result(theirs.result())
        elif isinstance(failure, RayError) and not isinstance(failure, RayTaskError):
            found.set_exception(WorkerLost(first_line(failure)))
        else:  # a mistake in the worker's program, with its own traceback
            found.set_exception(failure)

    reference.future().add_done_callback(settle)
    return found
