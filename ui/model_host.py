"""Which model answers: one at a time, loaded while the page is up, exchanged without a restart. No gradio.

`Serving` stands where the page expects an engine. While there is none, whatever asks for one hears in a sentence why.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Lock, Thread
from typing import Any

from omnizip.engine import Engine
from omnizip.engine.zerogpu import Lend
from omnizip.errors import ModelError, OmniZipError
from omnizip.model.loading import dtype_for
from omnizip.model.memory import SHAPES, free_bytes, has_cuda, needs, release_cached_blocks, released_weights
from omnizip.settings import Settings
from omnizip.types import Conditions

from . import words

EMBEDDED = ""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class State:
    """What a visitor should know of the model."""

    name: str
    conditions: Conditions | None  # None while there is no model
    fraction: float | None = None  # of the weights, while they load and where it is known
    problem: str = ""  # why there is none

    @property
    def loading(self) -> bool:
        return self.conditions is None and not self.problem


class Serving:
    """One engine, or the reason there is none."""

    def __init__(self, settings: Settings, lend: Lend | None = None) -> None:
        self.settings = settings
        self._lend = lend
        self._engine: Engine | None = None
        self._state = State(settings.model, None)
        self._lock = Lock()

    @classmethod
    def around(cls, engine: Engine) -> Serving:
        """With an engine that is there already."""
        serving = cls(engine.settings)
        serving._engine = engine
        serving._state = State(engine.settings.model, engine.model.conditions)
        return serving

    @property
    def state(self) -> State:
        return self._state

    def start(self) -> Thread:
        """Load the model of the settings in a thread; the page is up meanwhile."""
        thread = Thread(target=self.load, args=(self.settings.model,), name="load", daemon=True)
        thread.start()
        return thread

    def load(self, name: str) -> None:
        """Have `name` answer from now on; the model before makes room first. Never raises: `state` says what came of it."""
        with self._lock:
            if self._engine is not None and name == self._state.name:
                return
            self._engine = None
            self._state = State(name, None)
            gc.collect()
            release_cached_blocks()
            try:
                engine = Engine.open(replace(self.settings, model=name), self._told, self._lend)
            except OmniZipError as problem:
                self._state = State(name, None, problem=str(problem))
            except Exception:
                self._state = State(name, None, problem=words.MODEL_FAILED.format(name=words.model_name(name)))
                raise
            else:
                self._engine = engine
                self._state = State(name, engine.model.conditions)

    def _told(self, stage: str, fraction: float | None) -> None:
        self._state = replace(self._state, fraction=fraction)

    def choices(self) -> list[str]:
        """Models that may answer here: the one asked for, the embedded one, and those whose weights find room."""
        if self._lend is not None:
            return [self.settings.model]
        device = "cuda" if self.settings.device != "cpu" and has_cuda() else "cpu"
        itemsize = BYTES[dtype_for(self.settings.dtype, device)]
        free = free_bytes(device) or 0
        held = 0 if self._engine is None else self._engine.model.parts.thinker.get_memory_footprint()  # freed by a change
        fitting = []
        for name, shape in SHAPES.items():
            weights = released_weights(name, itemsize, self.settings.four_bit)
            if needs(weights, shape, self.settings, itemsize).total <= free + held:
                fitting.append(name)
        return list(dict.fromkeys([EMBEDDED, *fitting, self.settings.model]))

    def free(self) -> int | None:
        """Memory still free where the model is."""
        on_cuda = self._engine is not None and self._engine.model.parts.device.type == "cuda"
        return None if self._lend is not None else free_bytes("cuda" if on_cuda else "cpu")

    @property
    def engine(self) -> Engine:
        """The engine. Raises ModelError while there is none."""
        engine, state = self._engine, self._state
        if engine is None:
            raise ModelError(f"{state.problem} {words.MODEL_OTHER}" if state.problem else words.MODEL_WAIT)
        return engine

    @property
    def model(self) -> Any:
        return self.engine.model

    def encode(self, *args: Any, **named: Any) -> Any:
        return self.engine.encode(*args, **named)

    def preview(self, *args: Any, **named: Any) -> Any:
        return self.engine.preview(*args, **named)

    def compare(self, *args: Any, **named: Any) -> Iterator[Any]:
        """As the engine's; who has an engine keeps it until the comparison ends."""
        yield from self.engine.compare(*args, **named)
