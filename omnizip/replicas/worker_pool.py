"""Tasks shared out to workers that may die: each is done once, by whoever is free. Plain futures, so that it is tested without Ray.

A worker that goes is replaced, and its task is the next that is taken. A task that has ended several workers, one after the other, is
given up and told so, since it would end every further one, too.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ..errors import ModelError
from .crossing import Failure

TRIES = 3  # workers that a task may end, and that may end in a row before they are ready
PATIENCE_S = 60.0  # without a worker, before it is said

NOT_READY = (
    "{tries} workers ended one after the other before they had their model ({why}); look that every node has this project, its packages "
    "and memory enough (docs/several-gpus.md)."
)
NOBODY = "No worker has come up yet: each needs {share} of the cluster that nobody else has taken; interrupt this to give up."
OTHER = "Node {node} differs from {first} in {what}; give all nodes the same model, packages and kind of device."
GIVEN_UP = "{tries} workers ended on it, one after the other ({why}), perhaps for lack of memory"

T = TypeVar("T", bound=Hashable)


class WorkerLost(Exception):
    """A worker is no more; the text says why, as far as it is known."""


@dataclass(frozen=True)
class Ready:
    """A worker that can be given tasks."""

    node: str  # where it is, for people
    known: dict[str, Any]  # what its outcomes depend on, which has to be the same of all
    conditions: dict[str, Any]  # what else is told of it


class Worker(Protocol):
    """A process elsewhere. Its futures raise WorkerLost where it is no more."""

    def ready(self) -> Future[Ready | Failure]:
        """Have it get ready, which takes as long as loading a model does."""
        ...

    def do(self, task: Any) -> Future[Any]:
        """Have it do a task; it does one at a time."""
        ...

    def end(self) -> None:
        """End it, whatever it does. Does nothing where it has ended."""
        ...


class WorkerPool:
    """Workers, of which each has one task. Used by one thread; leaving the `with` ends them all."""

    def __init__(self, hire: Callable[[], Worker], count: int, share: str = "", say: Callable[[str], object] = lambda text: None) -> None:
        """Begin `count` workers.

        Args:
            share: what each needs, for people: "a GPU".
            say: takes what somebody who waits has to know, a sentence each.
        """
        self.count = count
        self._hire, self._share, self._say = hire, share, say
        self._first: Ready | None = None
        self._workers: list[Worker] = []
        self._beginning: dict[Future[Any], Worker] = {}
        self._idle: list[Worker] = []
        self._lost_in_a_row = 0
        for _ in range(count):
            self._add()

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def first(self) -> Ready:
        """What the first worker that is ready tells of itself; waits for it.

        Raises:
            OmniZipError: it cannot get ready, in its own sentence with its node's name.
        """
        while self._first is None:
            self._wait({})
        return self._first

    def outcomes(self, tasks: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Yield every task with its outcome as they are done, or with a WorkerLost that says how often it ended its worker.

        Raises:
            OmniZipError: a worker cannot get ready, or would do the tasks otherwise than the first.
        """
        waiting, losses = deque(tasks), Counter[T]()
        working: dict[Future[Any], tuple[Worker, T]] = {}
        while waiting or working:
            while waiting and self._idle:
                worker, task = self._idle.pop(), waiting.popleft()
                working[worker.do(task)] = worker, task
            for future in self._wait(working):
                worker, task = working.pop(future)
                try:
                    outcome = future.result()
                except WorkerLost as lost:
                    losses[task] += 1
                    given_up = losses[task] == TRIES
                    if not given_up:
                        waiting.appendleft(task)
                    self._lose(worker, replace=bool(waiting))
                    if given_up:
                        yield task, WorkerLost(GIVEN_UP.format(tries=TRIES, why=lost))
                else:
                    self._idle.append(worker)
                    yield task, outcome

    def _wait(self, working: dict[Future[Any], Any]) -> list[Future[Any]]:
        """Wait until something happens, and see to workers that have become ready; returns those of `working` that are done."""
        done = wait([*self._beginning, *working], None if working else PATIENCE_S, FIRST_COMPLETED).done
        if not done:
            self._say(NOBODY.format(share=self._share))
            done = wait(self._beginning, None, FIRST_COMPLETED).done
        for future in done & self._beginning.keys():
            self._welcome(future, self._beginning.pop(future))
        return [future for future in done if future in working]

    def _welcome(self, future: Future[Ready | Failure], worker: Worker) -> None:
        """Take a worker in, or another in its place."""
        try:
            ready = future.result()
        except WorkerLost as lost:
            self._lost_in_a_row += 1
            if self._lost_in_a_row == TRIES:
                raise ModelError(NOT_READY.format(tries=TRIES, why=lost)) from None
            self._lose(worker, replace=True)
            return
        if isinstance(ready, Failure):
            raise ready.error()
        self._lost_in_a_row = 0
        first = self._first = self._first or ready
        if other := [name for name in first.known if ready.known.get(name) != first.known[name]]:
            raise ModelError(OTHER.format(node=ready.node, first=first.node, what=", ".join(other)))
        self._idle.append(worker)

    def _add(self) -> None:
        worker = self._hire()
        self._workers.append(worker)
        self._beginning[worker.ready()] = worker

    def _lose(self, worker: Worker, replace: bool) -> None:
        worker.end()
        self._workers.remove(worker)
        if replace:
            self._add()
