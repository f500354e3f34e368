"""Reading that takes less than a second is timed again, alternately: one run of a tenth of a second says little on a busy machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

SHORT_MS = 1000.0  # reading that takes longer is not repeated
AT_MOST_S = 2.0  # of repeating in all; no round begins that would not end within it
RUNS = 5  # the median is of so many, the first one counted


def are_short(times_ms: Sequence[float]) -> bool:
    """Whether there are several times to be compared, and all are so short that they are to be repeated."""
    return len(times_ms) > 1 and max(times_ms) < SHORT_MS


def repeated(reads: Sequence[Callable[[], object]], first_ms: Sequence[float], stop: Callable[[], bool]) -> list[list[float]]:
    """Milliseconds of every run of each, the given first one before the others; each has equally many.

    Args:
        reads: what is timed, in turn and in both directions; each returns when the device has done its work.
        first_ms: what each took before.
        stop: asked before every run; a round that it ends does not count.
    """
    times = [[ms] for ms in first_ms]
    begun = perf_counter()
    forward = list(range(len(reads)))
    for number in range(1, RUNS):
        round_s = sum(median(known) for known in times) / 1000
        if perf_counter() - begun + round_s > AT_MOST_S:
            break
        found = {}
        for i in forward if number % 2 else forward[::-1]:
            if stop() or perf_counter() - begun > AT_MOST_S:
                return times
            start = perf_counter()
            reads[i]()
            found[i] = (perf_counter() - start) * 1000
        for i, ms in found.items():
            times[i].append(ms)
    return times
