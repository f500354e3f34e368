"""One engine, asked from elsewhere: what Ray Serve runs in every replica. Plain asyncio, so that it is tested without Ray.

Answers are given one at a time, in the order in which they were asked; who waits hears how many come before. Looking (previews, the
clip itself) goes on beside, as in a process of its own. A call that was cancelled, or told to stop, ends within a token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

from ..engine import ClipHandle, Engine, Stage
from ..errors import ModelError, OmniZipError
from ..settings import Settings
from ..types import Conditions
from .clip_folder import ClipFolder
from .crossing import COMPARE, ENCODE, PREVIEW, Call, ClipView, End, Failure, Missing, Parcel, PreviewRecord, Said

OVER = object()  # after the last of what a thread says


@dataclass(frozen=True)
class ReplicaState:
    """The model a replica answers with, or why it has none."""

    conditions: Conditions | None
    problem: Failure | None = None


@dataclass(eq=False)
class _Running:
    """A call that waits or works."""

    wish: Flag = field(default_factory=Flag)  # to stop
    works: bool = False
    heard_at: float = 0.0  # monotonic, when it last said something; that it asks for a wish to stop is no sign of progress


class _Line:
    """Those that answer, the first of them now. Used by one event loop, so that nothing moves between two awaits."""

    def __init__(self) -> None:
        self._places: list[_Running] = []
        self._changed = asyncio.Event()

    def move(self) -> None:
        """Have everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def place(self, running: _Running) -> Iterator[None]:
        """Join at the end; leave however it goes."""
        self._places.append(running)
        try:
            yield
        finally:
            self._places.remove(running)
            self.move()

    async def waiting(self, running: _Running) -> AsyncGenerator[int, None]:
        """How many come before, whenever that changes, until it is this one's turn or it is wanted no more."""
        told = 0
        while (ahead := self._places.index(running)) and not running.wish.is_set():
            changed = self._changed
            if ahead != told:
                told = ahead
                yield ahead
            else:
                await changed.wait()


class Replica:
    """One engine and what it needs to be asked from elsewhere."""

    def __init__(self, settings: Settings, open_engine: Callable[[Settings], Engine] = Engine.open) -> None:
        """Load the model that `settings` name.

        What a person can cure is kept in `state`, since a replica that failed to start would only be started again.
        """
        self._settings = settings
        self._folder = ClipFolder.of_this_machine(settings)
        self._running: dict[str, _Running] = {}
        self._line = _Line()
        self._engine: Engine | None = None
        try:
            self._engine = open_engine(settings)
            self._state = ReplicaState(self._engine.conditions)
        except OmniZipError as problem:
            self._state = ReplicaState(None, Failure.of(problem))

    async def state(self) -> ReplicaState:
        """The model that answers here, or why there is none."""
        return self._state

    async def check_health(self) -> None:
        """Raise where work goes on without a sign for longer than it may; Serve then replaces the replica."""
        await asyncio.to_thread(self._folder.sweep)
        longest = self._settings.replica_silence_s
        for running in self._running.values():
            if running.works and monotonic() - running.heard_at > longest:
                raise RuntimeError(f"A call has given no sign for {longest:g} s.")

    async def stop(self, number: str) -> bool:
        """Tell a call to stop; whether there was one."""
        running = self._running.get(number)
        if running is None:
            return False
        running.wish.set()
        self._line.move()
        return True

    async def perform(self, call: Call) -> AsyncGenerator[Said, None]:
        """Do what is asked, and say what comes of it up to `End`; whoever closes this ends the work."""
        running = self._running[call.number] = _Running()
        try:
            try:
                handle = await self._find(call.clip)
            except OmniZipError as problem:
                yield Failure.of(problem)
                return
            if handle is None:
                yield Missing()
            elif call.answers:
                with self._line.place(running):
                    async for ahead in self._line.waiting(running):
                        yield Stage("wait", ahead=ahead)
                    if not running.wish.is_set():
                        async for said in self._work(call, handle, running):
                            yield said
            else:
                async for said in self._work(call, handle, running):
                    yield said
            yield End()
        finally:
            running.wish.set()
            del self._running[call.number]

    async def _find(self, clip: Parcel) -> ClipHandle | None:
        """The clip with its file, which is taken from where it was laid or from what was sent; None where it has to be sent."""
        if clip.path:
            return ClipHandle(Path(clip.path), clip.key)
        path = self._folder.find(clip.key.digest, clip.name)
        if path is None and clip.content:
            content = await clip.content[0]
            path = await asyncio.to_thread(self._folder.write, clip.key.digest, clip.name, content)  # MediaError where it is another
        return None if path is None else ClipHandle(path, clip.key)

    async def _work(self, call: Call, handle: ClipHandle, running: _Running) -> AsyncGenerator[Said, None]:
        """Yield what the engine says in a thread of its own. Whoever closes this has the thread end before anybody else's begins."""
        loop, said = asyncio.get_running_loop(), asyncio.Queue[Any]()
        ended = asyncio.Event()

        def heard() -> None:
            running.heard_at = monotonic()

        def tell(what: Any) -> None:
            heard()
            loop.call_soon_threadsafe(said.put_nowait, what)

        def work() -> None:
            try:
                for what in self._said(call, handle, running.wish.is_set, lambda stage: heard()):
                    tell(what)
            except OmniZipError as problem:
                tell(Failure.of(problem))
            except BaseException as failure:  # raised again where somebody waits
                tell(failure)
            finally:
                tell(OVER)
                loop.call_soon_threadsafe(ended.set)

        running.works, running.heard_at = True, monotonic()
        Thread(target=work, name=call.name, daemon=True).start()
        try:
            while (what := await said.get()) is not OVER:
                if isinstance(what, BaseException):
                    raise what
                yield what
        finally:
            running.wish.set()
            if not ended.is_set():
                await asyncio.shield(ended.wait())
            running.works = False

    def _said(self, call: Call, handle: ClipHandle, stop: Callable[[], bool], signs: Callable[[Stage], None]) -> Iterator[Said]:
        """What the engine says to a call; `signs` hears of what goes on without a word."""
        engine = self._engine
        if engine is None:
            raise self._state.problem.error() if self._state.problem else ModelError("There is no model on this copy; ask again.")
        if call.name == ENCODE:
            yield ClipView.of(engine.encode(handle, signs))
        elif call.name == PREVIEW:
            history = call.history if isinstance(call.history, tuple) else ()
            yield PreviewRecord.of(engine.preview(handle, call.arms[0], call.question, history, stop=stop))
        elif call.name == COMPARE:
            yield from engine.compare(handle, call.question, call.arms, history=call.history, sampling=call.sampling, stop=stop)
        else:
            history = call.history if isinstance(call.history, tuple) else ()
            yield from engine.answer(handle, call.question, call.arms[0], history=history, sampling=call.sampling, stop=stop)
