"""A bounded memory of costly things: made once however many ask at the same time, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Values that cost at most `limit` together. Safe to use from several threads; different keys are made at the same time.

    The value used last stays, even where it alone costs more.

    Args:
        cost: of a value; each costs 1 where nothing is given, so that `limit` is a number of values.
        rank: how much somebody needs the value at a key. The lowest rank goes first, within it the one used least recently;
            None for a value that must not go.
    """

    def __init__(
        self, limit: float, cost: Callable[[Value], float] = lambda value: 1, rank: Callable[[Hashable], int | None] = lambda key: 0
    ) -> None:
        self._limit, self._cost, self._rank = limit, cost, rank
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._gates: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    @property
    def cost(self) -> float:
        """What all values cost together."""
        with self._lock:
            return self._total()

    def get(self, key: Hashable, make: Callable[[], Value]) -> tuple[Value, bool]:
        """Return the value at `key` and whether it was there. What `make` raises is passed on and nothing is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key], True
            gate = self._gates.setdefault(key, Lock())
        with gate:
            with self._lock:
                if key in self._values:  # someone else made it while this thread waited
                    self._values.move_to_end(key)
                    return self._values[key], True
            try:
                value = make()
                with self._lock:
                    self._values[key] = value
                    self._shrink()
                return value, False
            finally:
                with self._lock:
                    self._gates.pop(key, None)

    def _total(self) -> float:
        return sum(map(self._cost, self._values.values()))

    def _shrink(self) -> None:
        """Let values go until the rest fits; called under the lock."""
        ranked = [(rank, age, key) for age, key in enumerate(self._values) if (rank := self._rank(key)) is not None]
        newest = next(reversed(self._values))
        for _, _, key in sorted(ranked, key=lambda entry: entry[:2]):
            if self._total() <= self._limit:
                return
            if key != newest:
                del self._values[key]
