"""A visitor's wish that a run stop, and the runs that ask for it. No gradio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Flag
from time import monotonic

PATIENCE_S = 2.0  # how long Stop waits for a run to end by itself before it is cut off


class Wish(Flag):
    """A visitor's wish that a run about the clip at `path` stop; if it is abandoned, nobody wants to see its end either."""

    def __init__(self, path: str | None) -> None:
        super().__init__()
        self.path = path
        self.over = Flag()
        self.abandoned = False


class Stops:
    """Wishes to stop, one per visitor; a run asks whether its visitor wished so."""

    def __init__(self) -> None:
        self._runs: dict[str, Wish] = {}
        self._wished: set[str] = set()
        self.closing = False  # the server stops, and every run with it

    @contextmanager
    def run(self, visitor: str, path: str | None = None) -> Iterator[Wish]:
        """The flag of a run that starts now; an older run of the same visitor is told to stop."""
        if older := self._runs.get(visitor):
            older.set()
        wish = self._runs[visitor] = Wish(path)
        if self.closing:
            wish.set()
        try:
            yield wish
        finally:
            wish.set()
            wish.over.set()
            if self._runs.get(visitor) is wish:
                del self._runs[visitor]

    def stop(self, visitor: str, patience_s: float = 0.0) -> bool:
        """Tell the visitor's run, if there is one, and wait at most so long for it to end; whether it has ended by itself."""
        self._wished.add(visitor)
        wish = self._runs.get(visitor)
        if wish is None:
            return False  # it may wait in the queue
        wish.set()
        return wish.over.wait(patience_s)

    def close(self, patience_s: float) -> None:
        """Tell all runs to stop, those that have yet to begin too, and wait at most so long for them to end."""
        self.closing = True
        deadline = monotonic() + patience_s
        for wish in list(self._runs.values()):
            wish.set()
        for wish in list(self._runs.values()):
            wish.over.wait(max(0.0, deadline - monotonic()))

    def begin(self, visitor: str) -> None:
        """The visitor wants a run, which has yet to wait for its turn."""
        self._wished.discard(visitor)

    def wished(self, visitor: str) -> bool:
        """Whether the visitor has wished to stop since the last beginning: a run that ended without an answer did so on purpose."""
        return visitor in self._wished

    def leave(self, visitor: str) -> None:
        """The visitor has closed the tab."""
        self.stop(visitor)
        self._wished.discard(visitor)

    def turn_to(self, visitor: str, path: str | None) -> bool:
        """The visitor looks at the clip at `path` now: abandon a run about another; whether one about this clip goes on."""
        wish = self._runs.get(visitor)
        if wish is None:
            return False
        if path is not None and wish.path == path:
            return True
        wish.abandoned = True
        wish.set()
        return False
