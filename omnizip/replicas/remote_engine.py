"""What stands where a page expects an engine while the engines are elsewhere: every question goes to the replica of its clip.

A handle is made here, from the file's digest. The page keeps the file; a replica that lacks it is sent its bytes, or finds them in a
folder that both see. Conversations are the page's, so that no replica's end loses one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from .. import media
from ..engine import Arm, ArmDone, ClipHandle, Event, Finished, Piece, Stage
from ..engine.cache import Cache
from ..engine.clips import ClipKey
from ..engine.comparison import History
from ..engine.engine import GIVEN_UP, check_text
from ..engine.progress import yield_progress
from ..errors import BusyError, ModelError, OmniZipError
from ..media import AS_SET, Part
from ..settings import Settings
from ..types import Conditions, Sampling, Turn
from .asking import ReplicaLost, ask_again
from .clip_folder import ClipFolder
from .crossing import ANSWER, COMPARE, ENCODE, PREVIEW, Call, ClipView, End, Failure, Missing, Parcel, PreviewRecord, Said

MEGABYTE = 1e6
PATIENCE_S = 1.5  # from the wish to stop until a replica that says nothing is let go of
EVENTS = (Stage, Piece, ArmDone, Finished)


class Replies(Protocol):
    """What a replica says, as it comes."""

    def __iter__(self) -> Iterator[Said]:
        """Raises ReplicaLost where the replica goes, BusyError where all are taken."""
        ...

    def cancel(self) -> None:
        """Have the replica end; whoever waits for the next reply hears the end."""
        ...


class Replicas(Protocol):
    """Where questions go. Safe to use from several threads."""

    def ask(self, call: Call) -> Replies:
        """Send a call to the replica that its clip belongs to."""
        ...

    def stop(self, call: Call) -> None:
        """Tell that replica that nobody wants more of the call's answer; what was said by then still comes."""
        ...

    def lay(self, content: bytes) -> Any:
        """Lay bytes where every replica can fetch them; returns the reference to send along."""
        ...


@dataclass(eq=False)
class RemoteEngine:
    """Engines in other processes, as one."""

    replicas: Replicas
    settings: Settings
    conditions: Conditions
    same_machine: bool = False  # every replica reads the page's own files
    _digests: Cache[str] = field(init=False, repr=False)
    _views: Cache[ClipView] = field(init=False, repr=False)
    _shared: ClipFolder | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        s = self.settings
        self._digests = Cache(64)
        self._views = Cache(s.clip_memory_mb * MEGABYTE, lambda view: view.nbytes)
        self._shared = ClipFolder(s.shared_folder, s) if s.shared_folder else None

    def open_clip(self, path: str | Path, part: Part = AS_SET) -> ClipHandle:
        """The handle of the file, or a part of it, as it is now. Raises OmniZipError for one that cannot be had; in one sentence."""
        path = Path(path)
        try:
            status = path.stat()
        except OSError:
            digest = media.digest(path, self.settings)  # it has the sentence
        else:
            key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
            digest = self._digests.get(key, lambda: media.digest(path, self.settings))[0]
        return ClipHandle(path, ClipKey.of(digest, part.of(self.settings)))

    def encode(self, clip: str | Path | ClipHandle) -> ClipView:
        """What can be looked at of a clip; the replica decodes and encodes it unless it has."""
        handle = self._handle(clip)

        def fetch() -> ClipView:
            view = self._one(handle, Call(ENCODE, uuid4().hex, self._parcel(handle)), ClipView)
            return replace(view, clip=replace(view.clip, path=handle.path))

        return self._views.get(handle.key, fetch)[0]

    def preview(
        self,
        clip: str | Path | ClipHandle,
        arm: Arm,
        question: str = "",
        history: Sequence[Turn] = (),
        *,
        stop: Callable[[], bool] | None = None,
    ) -> PreviewRecord:
        """What `arm` would keep of a clip, as the replica of the clip says."""
        arm.method_class()
        handle = self._handle(clip)
        call = Call(PREVIEW, uuid4().hex, self._parcel(handle), question, (arm,), tuple(history))
        return self._one(handle, call, PreviewRecord, stop)

    def compare(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm],
        *,
        history: History = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with the full model, then with every arm, as `Engine.compare` does."""
        yield from self._answer(COMPARE, clip, question, arms, history, sampling, stop)

    def answer(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arm: Arm,
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with one arm alone, as `Engine.answer` does."""
        yield from self._answer(ANSWER, clip, question, (arm,), history, sampling, stop)

    def _answer(
        self,
        name: str,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm],
        history: History,
        sampling: Sampling | None,
        stop: Callable[[], bool] | None,
    ) -> Iterator[Event]:
        if not question.strip():
            raise OmniZipError("The question is empty; ask something about the clip.")
        check_text(question, history)
        for arm in arms:
            arm.method_class()
        handle = self._handle(clip)
        told = {number: tuple(turns) for number, turns in history.items()} if isinstance(history, Mapping) else tuple(history)
        call = Call(name, uuid4().hex, self._parcel(handle), question, tuple(arms), told, sampling)
        with closing(self._said(handle, call, stop or (lambda: False))) as said:
            for what in said:
                if isinstance(what, EVENTS):
                    yield what

    def _one(self, handle: ClipHandle, call: Call, kind: type[Any], stop: Callable[[], bool] | None = None) -> Any:
        """The one thing of `kind` that is said to a call. Raises BusyError where it was stopped before."""
        with closing(self._said(handle, call, stop or (lambda: False))) as said:
            for what in said:
                if isinstance(what, kind):
                    return what
        raise BusyError(GIVEN_UP)

    def _said(self, handle: ClipHandle, call: Call, stop: Callable[[], bool]) -> Generator[Said, None, None]:
        """What is said to a call, whichever replica says it in the end."""

        def ask() -> Iterator[Said]:
            asked = replace(call, number=uuid4().hex)
            for what in self._heard(asked, stop):
                if not isinstance(what, Missing):
                    yield what
                    continue
                content = self.replicas.lay(self._bytes(handle))
                yield from self._heard(replace(asked, clip=replace(asked.clip, content=(content,))), stop)

        yield from ask_again(ask, stop)

    def _heard(self, call: Call, stop: Callable[[], bool]) -> Generator[Said, None, None]:
        """What one replica says to a call, up to `End`. Who closes this, or wishes to stop and hears no more, has it end there."""
        replies, wished = self.replicas.ask(call), _Wished(stop)

        def pass_on(report: Callable[[Said], None]) -> None:
            for what in replies:
                report(what)

        def check() -> None:
            if wished.newly():
                self.replicas.stop(call)
            if wished.waited_s > PATIENCE_S:
                raise _GivenUp

        try:
            for what in yield_progress(pass_on, "replica", check):
                if isinstance(what, Failure):
                    raise what.error()
                if isinstance(what, End):
                    return
                yield what
        except _GivenUp:
            return
        finally:
            replies.cancel()
        if not wished.heard:
            raise ReplicaLost

    def _parcel(self, handle: ClipHandle) -> Parcel:
        """The clip as it goes out. Raises MediaError where the file is gone, in one sentence."""
        path = ""
        if self.same_machine:
            path = str(handle.path.absolute())
        elif self._shared is not None:
            self._shared.sweep()
            try:
                path = str(self._shared.copy(handle.key.digest, handle.path).absolute())
            except OSError as failure:
                raise ModelError(
                    f"The clip could not be laid in the folder that the copies of the model share ({failure.strerror}); "
                    "tell whoever runs this page."
                ) from None
        return Parcel(handle.key, handle.name, path)

    def _bytes(self, handle: ClipHandle) -> bytes:
        try:
            return handle.path.read_bytes()
        except OSError:
            media.digest(handle.path, self.settings)  # it has the sentence
            raise

    def _handle(self, clip: str | Path | ClipHandle) -> ClipHandle:
        return clip if isinstance(clip, ClipHandle) else self.open_clip(clip)


class _GivenUp(Exception):
    """Nobody waits for a replica any longer."""


class _Wished:
    """A wish to stop, and for how long it has been one."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop, self._since = stop, None

    @property
    def heard(self) -> bool:
        return self._since is not None

    @property
    def waited_s(self) -> float:
        return 0.0 if self._since is None else monotonic() - self._since

    def newly(self) -> bool:
        """Whether the wish is heard for the first time."""
        if self._since is None and self._stop():
            self._since = monotonic()
            return True
        return False
