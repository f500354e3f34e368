"""Which model answers: one at a time, loaded while the page is up, exchanged without a restart. No gradio.

`ModelHost` stands where the page expects an engine (it is a ComparisonEngine). torch and transformers are imported by the first
loading, so that the page is up before they are. While there is no engine, a comparison waits for it, and whatever else asks for one
hears in a sentence why. Clip handles outlive a change of model: the next one encodes their clips anew when it is asked about them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from time import sleep
from typing import TYPE_CHECKING, Any, Protocol

from omnizip import media
from omnizip.engine import Arm, ClipHandle, Event, Stage
from omnizip.engine.clips import ClipKey
from omnizip.errors import ModelError, OmniZipError
from omnizip.media import AS_SET, Part
from omnizip.settings import Settings
from omnizip.types import Conditions, Turn

from . import words

if TYPE_CHECKING:
    from omnizip.engine import ComparisonEngine, Engine
    from omnizip.engine.protocol import Previewed, Viewed
    from omnizip.engine.zerogpu import Lend

EMBEDDED = ""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
LOOK_S = 0.2  # how often who waits for a model looks whether he is still to wait


@dataclass(frozen=True)
class HostState:
    """What a visitor should know of the model."""

    name: str
    conditions: Conditions | None  # None while there is no model
    stage: str = "load"  # "download" while weights come from the hub
    fraction: float | None = None  # of the weights, while they come or load and where it is known
    problem: str = ""  # why there is none
    refused: str = ""  # why the one asked for last is not the one that answers

    @property
    def loading(self) -> bool:
        """Whether the weights are being fetched or read."""
        return self.conditions is None and not self.problem


class Copies(Protocol):
    """Where several copies of the model answer instead of one engine here."""

    most: int  # copies that may answer at the same time
    here: bool  # on this machine, whose memory says which models find room

    def open(self, settings: Settings, on_progress: Callable[[str, float | None], None]) -> ComparisonEngine:
        """Have all of them answer with the model of `settings`. Raises ModelError in one sentence."""
        ...


class _SetAside(Exception):
    """Another model was chosen while one was on its way."""


class ModelHost:
    """One engine, or the reason there is none."""

    def __init__(self, settings: Settings, lend: Lend | None = None, copies: Copies | None = None) -> None:
        """
        Args:
            lend: what makes a call of a function where the device is only lent for a call.
            copies: who answers where several copies of the model do.
        """
        self.settings = settings
        self._lend, self._copies = lend, copies
        self._chosen = settings.model  # by whoever chose last
        self._engine: ComparisonEngine | None = None
        self._answered: str | None = None  # which model did last
        self._state = HostState(settings.model, None)
        self._lock = Lock()
        self._here = Flag()  # torch and what needs it are imported, or cannot be
        self._asked = False  # whether anybody has asked for a model to be loaded
        self._choices: list[str] = []  # once they are known

    @classmethod
    def of(cls, engine: Engine) -> ModelHost:
        """With an engine that is there already."""
        host = cls(engine.settings)
        host._engine, host._answered = engine, engine.settings.model
        host._state = HostState(engine.settings.model, engine.model.conditions)
        host._here.set()
        return host

    @property
    def state(self) -> HostState:
        """What a visitor should know of the model now."""
        return self._state

    def start(self, name: str | None = None) -> Thread:
        """Load a model in a thread, that of the settings where none is named; the page is up meanwhile."""
        self._asked = True
        thread = Thread(target=self.load, args=(self.settings.model if name is None else name,), name="load", daemon=True)
        thread.start()
        return thread

    def load(self, name: str) -> None:
        """Have `name` answer from now on; the model before makes room first, and one on its way is set aside.

        Where `name` cannot be loaded, the model that answered last is put back. What a visitor should know of it is in `state`;
        what nobody foresaw is raised after that. What a download brought is kept for another time.
        """
        self._chosen, self._asked = name, True
        with self._lock:
            if self._chosen != name:
                return  # chosen by somebody who did not wait for it
            if self._engine is not None and name == self._state.name:
                return
            self._try(name, self._answered)

    def _try(self, name: str, before: str | None) -> None:
        """Load `name`; where that fails and a model answered before, load that again."""
        try:
            self._open(name)
        finally:
            if (problem := self._state.problem) and before not in (None, name) and self._chosen == name:
                self._chosen = before
                self._try(before, None)
                if not self._state.problem:
                    self._state = replace(self._state, refused=words.MODEL_KEPT.format(problem=problem, name=words.model_name(before)))

    def _open(self, name: str) -> None:
        """Replace the engine by one of `name`, or by the reason there is none."""
        self._engine = None
        self._state = HostState(name, None)
        gc.collect()
        try:
            from omnizip.engine import Engine
            from omnizip.model.memory import release_cached_blocks

            release_cached_blocks()
            self.choices()  # while nothing takes the memory that they are chosen by
            self._here.set()
            settings = replace(self.settings, model=name)
            if self._copies is not None:
                engine: ComparisonEngine = self._copies.open(settings, self._report_progress)
            else:
                engine = Engine.open(settings, self._report_progress, self._lend)
        except _SetAside:
            return
        except OmniZipError as problem:
            self._state = HostState(name, None, problem=self._plain(str(problem), name))
        except Exception:
            self._state = HostState(name, None, problem=words.MODEL_FAILED.format(name=words.model_name(name)))
            raise
        else:
            self._engine, self._answered = engine, name
            self._state = HostState(name, engine.conditions)
        finally:
            self._here.set()

    def _plain(self, problem: str, name: str) -> str:
        """The sentence without the folder's path, which visitors have no use for."""
        if not name.startswith(("/", "~", ".")):
            return problem
        return problem.replace(str(Path(name).expanduser()), words.model_name(name)).replace(name, words.model_name(name))

    def _report_progress(self, stage: str, fraction: float | None) -> None:
        if self._chosen != self._state.name:
            raise _SetAside
        self._state = replace(self._state, stage=stage, fraction=fraction)

    def choices(self) -> list[str]:
        """Models that may answer here: the one asked for, the embedded one, and those whose weights found room when first asked."""
        if self._lend is not None:
            return [self.settings.model]
        self._choices = self._choices or self._find_choices()
        return self._choices

    def _find_choices(self) -> list[str]:
        if self._copies is not None and not self._copies.here:
            return list(dict.fromkeys([EMBEDDED, self.settings.model]))
        try:
            from omnizip.engine import Engine
            from omnizip.model.loading import dtype_for
            from omnizip.model.memory import SHAPES, free_bytes, has_cuda, has_four_bits, needs, released_weights
        except ImportError:
            return list(dict.fromkeys([EMBEDDED, self.settings.model]))
        device = "cuda" if self.settings.device != "cpu" and has_cuda() else "cpu"
        itemsize = BYTES[dtype_for(self.settings.dtype, device)]
        free = free_bytes(device) or 0
        held = self._engine.model.parts.thinker.get_memory_footprint() if isinstance(self._engine, Engine) else 0  # freed by a change
        fitting = []
        for name, shape in SHAPES.items():
            if self.settings.four_bit and not has_four_bits(shape):
                continue
            weights = released_weights(name, itemsize, self.settings.four_bit)
            if needs(weights, shape, self.settings, itemsize).total <= free + held:
                fitting.append(name)
        return list(dict.fromkeys([EMBEDDED, *fitting, self.settings.model]))

    def free(self) -> int | None:
        """Memory still free where the model is; None where that is not known here."""
        if self.elsewhere:
            return None
        from omnizip.engine import Engine
        from omnizip.model.memory import free_bytes

        on_cuda = isinstance(self._engine, Engine) and self._engine.model.parts.device.type == "cuda"
        return free_bytes("cuda" if on_cuda else "cpu")

    @property
    def engine(self) -> ComparisonEngine:
        """The engine. Raises ModelError while there is none."""
        engine, state = self._engine, self._state
        if engine is None:
            raise ModelError(f"{state.problem} {words.MODEL_OTHER}" if state.problem else words.MODEL_WAIT)
        return engine

    @property
    def elsewhere(self) -> bool:
        """Whether the model is not this process's own: the device is only lent for a call, or copies answer."""
        return self._lend is not None or self._copies is not None

    @property
    def at_once(self) -> int:
        """How many questions are answered at the same time."""
        return 1 if self._copies is None else self._copies.most

    @property
    def knows_choices(self) -> bool:
        """Whether `choices` is answered at once: not before torch is imported."""
        return self._here.is_set()

    @property
    def _is_coming(self) -> bool:
        """Whether a model is on its way. One that nobody has asked for is not, and is not waited for."""
        return self._asked and self._state.loading

    def _arrival(self, stop: Callable[[], bool] | None) -> Iterator[Stage]:
        """While the model is on its way, how far it is, whenever that has changed; ends when it is there or cannot be, or with a stop."""
        told = None
        while self._is_coming and not (stop and stop()):
            state = self._state
            if (now := Stage(state.stage, state.fraction)) != told:
                told = now
                yield now
            sleep(LOOK_S)

    @property
    def conditions(self) -> Conditions:
        """The engine's."""
        return self.engine.conditions

    def open_clip(self, path: str | Path, part: Part = AS_SET) -> ClipHandle:
        """Open a clip, which needs no model unless that is what cannot be had."""
        if self._engine is None and self._state.loading:
            return ClipHandle(Path(path), ClipKey.of(media.digest(Path(path), self.settings), part.of(self.settings)))
        return self.engine.open_clip(path, part)

    def encode(self, clip: str | Path | ClipHandle) -> Viewed:
        """Encode a clip with the engine."""
        return self.engine.encode(clip)

    def preview(
        self,
        clip: str | Path | ClipHandle,
        arm: Arm,
        question: str = "",
        history: Sequence[Turn] = (),
        *,
        stop: Callable[[], bool] | None = None,
        **named: Any,
    ) -> Previewed:
        """Preview a method with the engine. Who can say stop waits for one that is on its way; who cannot hears that it is."""
        if stop is not None:
            for _ in self._arrival(stop):
                pass
        return self.engine.preview(clip, arm, question, history, stop=stop, **named)

    def compare(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm],
        *,
        stop: Callable[[], bool] | None = None,
        **named: Any,
    ) -> Iterator[Event]:
        """Compare with the engine, once it is there; who has an engine keeps it until the comparison ends."""
        yield from self._arrival(stop)
        if not self._is_coming:
            yield from self.engine.compare(clip, question, arms, stop=stop, **named)

    def answer(
        self, clip: str | Path | ClipHandle, question: str, arm: Arm, *, stop: Callable[[], bool] | None = None, **named: Any
    ) -> Iterator[Event]:
        """Answer with one method alone, once an engine is there; who has one keeps it until the answer ends."""
        yield from self._arrival(stop)
        if not self._is_coming:
            yield from self.engine.answer(clip, question, arm, stop=stop, **named)
