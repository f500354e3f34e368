"""A bounded memory of costly things: made once however many ask at the same time, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """At most `size` values. Safe to use from several threads; different keys are made at the same time."""

    def __init__(self, size: int):
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._gates: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Value]) -> tuple[Value, bool]:
        """The value at `key` and whether it was there. What `make` raises is passed on and nothing is kept."""
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
                    while len(self._values) > self._size:
                        self._values.popitem(last=False)
                return value, False
            finally:
                with self._lock:
                    self._gates.pop(key, None)
