"""Work in a thread of its own whose progress is yielded by the thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from typing import Any, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")
POLL_S = 0.1  # how soon a wish to stop is noticed


class Unwanted(Exception):
    """Nobody waits for the work any more; never leaves the thread that does it."""


def yield_progress(
    work: Callable[[Callable[[Step], None]], Result], name: str, check: Callable[[], None] = lambda: None, join: bool = False
) -> Generator[Step, None, Result]:
    """Run `work` in a thread and yield what it reports; returns what it returned, raises what it raised.

    A closed generator has the next report of the work raise Unwanted, which ends it there.

    Args:
        work: takes the function it reports with.
        name: of the thread.
        check: called between reports, at least every `POLL_S`; what it raises ends the wait, and the work likewise.
        join: wait for the thread to end in any case; for work that writes what the caller removes afterwards.
    """
    reports: SimpleQueue[tuple[Any] | None] = SimpleQueue()
    abandoned = Flag()
    results: list[Result] = []
    failures: list[BaseException] = []

    def report(step: Step) -> None:
        if abandoned.is_set():
            raise Unwanted
        reports.put((step,))

    def run() -> None:
        try:
            results.append(work(report))
        except BaseException as failure:  # raised again by the thread that waits
            failures.append(failure)
        finally:
            reports.put(None)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        while True:
            try:
                entry = reports.get(timeout=POLL_S)
            except Empty:
                check()
                continue
            check()
            if entry is None:
                break
            yield entry[0]
    finally:
        abandoned.set()
        if join:
            thread.join()
    if failures:
        raise failures[0]
    return results[0]
