"""Encode a clip once, then compress and answer as often as wanted; everything the page and the command line do goes through here.

`Engine.compare` runs the full model first, then every arm, one after the other, on the same encoded clip and after a warm-up
of all prompt lengths, so that the comparison is fair by construction. What it yields is plain data, and text comes as it
is decoded.

One device, one use at a time: encoding, answering and previews take turns under a lock, which a closed or failed comparison gives
back. Remembered are encoded clips (clips.py) and, for follow-up questions, the prompts read last; both are bounded in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from time import monotonic, perf_counter

from .. import media
from ..compressors.base import Compressor
from ..compressors.layer_pruner import LayerPruner
from ..errors import BusyError, MediaError, OmniZipError
from ..media import AS_SET, Clip, Part
from ..media.frame_buffer import FrameBuffer, load_while
from ..model.encoders import Ahead
from ..model.layer_pruning import checked
from ..model.prefix_cache import Prefixes
from ..model.qwen import EncodedClip, QwenOmni
from ..report.decision import CompressionRecord
from ..report.report import ClipRecord
from ..settings import Settings
from ..stream import Compression, TokenStream
from ..types import Conditions, Sampling, Turn
from .cache import Cache
from .clips import ClipHandle, ClipKey, ClipStore, TimedClip
from .comparison import Comparison, History, Stop, Stopped, ms_since, saliency_cost_ms
from .events import Arm, ArmDone, Event, Finished, Piece, Stage
from .out_of_memory import SecondTry, is_out_of_memory
from .progress import POLL_S, yield_progress
from .zerogpu import Lend, LentCalls, LentEncoding, Task

__all__ = ["Arm", "ArmDone", "Engine", "Event", "Finished", "Piece", "Preview", "Stage"]

FULL = Arm("full")
OMNIZIP = Arm("omnizip", 0.45)
PREVIEW_WAIT_S = 10.0  # how long a preview waits for the device while somebody's answer is being written
MEGABYTE = 1e6
GIVEN_UP = "This was stopped before it was done."
BUSY = "The model is busy with another question; try again when it has answered."


@dataclass(frozen=True, eq=False)
class Preview:
    """What a method would keep, without asking the model."""

    encoded: EncodedClip
    stream: TokenStream
    compression: Compression
    compressor: Compressor
    compress_ms: float  # choosing, before the encoder and behind it, and merging, without saliency
    saliency_ms: float  # what the attention that the method ranks by cost
    record: CompressionRecord  # the decision on the host, with its counts
    clip: ClipRecord


@dataclass(eq=False)
class Engine:
    """A loaded model and the clips it has encoded."""

    model: QwenOmni
    settings: Settings
    lend: Lend | None = None  # where the device is only lent for a call: what makes such a call of a function
    _clips: ClipStore = field(init=False, repr=False)
    _digests: Cache[str] = field(init=False, repr=False)
    _prefixes: Prefixes = field(init=False, repr=False)
    _device: Lock = field(init=False, repr=False, default_factory=Lock)
    _lent: LentCalls | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._clips = ClipStore(self.settings.clip_memory_mb * MEGABYTE)
        self._digests = Cache(64)
        self._prefixes = Prefixes(self.settings.prefix_memory_mb * MEGABYTE)
        self._lent = None if self.lend is None else LentCalls(self.model, self.lend)

    @classmethod
    def open(cls, settings: Settings, on_progress: Callable[[str, float | None], None] | None = None, lend: Lend | None = None) -> Engine:
        """Load the model that `settings` name. Raises ModelError in one sentence where that is impossible.

        Args:
            lend: `spaces.GPU` on a host that lends its GPU for one call (zerogpu.py). Nothing else then touches the device.
        """
        return cls(QwenOmni.load(settings, on_progress, host_rows=lend is not None), settings, lend)

    @property
    def conditions(self) -> Conditions:
        """What every number of a run depends on."""
        return self.model.conditions

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled unless a comparison says otherwise."""
        s = self.settings
        return Sampling(s.max_new_tokens, s.temperature, s.top_p, s.seed)

    def open_clip(self, path: str | Path, part: Part = AS_SET) -> ClipHandle:
        """Return the handle of the file as it is now, without reading more than its digest; keeping it keeps the clip encoded.

        Args:
            part: what is read of it, where this is not what the settings say.

        Raises:
            MediaError: the file cannot be opened. OmniZipError: there is no such part. In one sentence.
        """
        path = Path(path)
        return ClipHandle(path, ClipKey.of(self._digest(path), part.of(self.settings)))

    def encode(self, clip: str | Path | ClipHandle, on_progress: Callable[[Stage], None] | None = None) -> EncodedClip:
        """Decode and encode a clip, or take it from memory. Raises MediaError in one sentence for a file that cannot be used."""
        return self._encode(self._handle(clip), on_progress or (lambda stage: None), Stop(None)).clip

    def preview(
        self,
        clip: str | Path | ClipHandle,
        arm: Arm,
        question: str = "",
        history: Sequence[Turn] = (),
        *,
        wait_s: float = PREVIEW_WAIT_S,
        stop: Callable[[], bool] | None = None,
    ) -> Preview:
        """What `arm` would keep of a clip; encodes it if need be, never generates. A method inside the model reads the prompt for it.

        It takes its turn on the device, so that it disturbs nobody's times and peaks. (A clip that has to be encoded first waits
        for that as long as it takes.)

        Args:
            wait_s: how long it waits for its turn.
            stop: asked while the clip is decoded and encoded, and between the layers a method inside the model runs.

        Raises:
            MediaError: the clip cannot be used. MethodError: no such method, or an option it does not take.
            BusyError: the device was not free in time, or the stop was heard.
        """
        arm.method_class()
        handle, wish = self._handle(clip), Stop(stop)
        try:
            encoded = self._encode(handle, lambda stage: wish.check(), wish).clip
            with nullcontext() if self._lent is not None else self._turn(wish, wait_s):
                memory = SecondTry(self.model, self._prefixes, encoded.clip.frames.shape)
                with checked(self.model.parts.language, wish.check):
                    return memory.run(lambda: self._preview(handle.name, encoded, arm, (*history, Turn(question))))
        except (Stopped, media.Cancelled):
            raise BusyError(GIVEN_UP) from None

    def _preview(self, name: str, encoded: EncodedClip, arm: Arm, turns: Sequence[Turn]) -> Preview:
        """Choose what to keep, alone on the device; on the host where the device is lent."""
        stream = self.model.stream(encoded, turns, host=self._lent is not None)
        look_ms = 0.0
        if arm.method_class().chooses_before_encoding:  # shown on the whole encoding: running a part for every move would take seconds
            seen, look_ms = self.model.look(encoded, arm.compressor(stream, self.settings.seed))
            stream = replace(stream, seen=seen)
        compressor = arm.compressor(stream, self.settings.seed)
        observed = compressor.needs & stream.observers.keys()  # the model is run for it
        if self._lent is not None and (isinstance(compressor, LayerPruner) or observed):
            raise OmniZipError(f"{compressor.label} runs the model to choose, and here the GPU is lent for answers only; press Compare.")
        for need in observed:
            stream.observed(need)
        start = perf_counter()
        compression = compressor.compress(stream)
        if self._lent is None:
            self.model.synchronize()
        choose_ms, layers = look_ms + ms_since(start), ()
        if isinstance(compressor, LayerPruner):
            prompt = stream.prompt(compression)
            kept = self.model.prefill(prompt, compressor, stream).kept
            if kept is not None:
                compression, layers = kept.applied_to(compression, prompt.index), kept.layers
        record = CompressionRecord.of(compression, encoded.clip.duration_s, compressor.needs, layers, arm.retention)
        saliency_ms = saliency_cost_ms(encoded, compressor, stream)
        clip = ClipRecord.of(name, encoded.clip, stream)
        return Preview(encoded, stream, compression, compressor, choose_ms, saliency_ms, record, clip)

    def compare(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm] = (OMNIZIP,),
        *,
        history: History = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with the full model (arm 0), then with every arm (1, 2, ...); errors come with the first event.

        Args:
            history: earlier turns with their answers, for all arms alike or per arm number, so that each keeps its own chat.
            stop: asked between stages and before every token. The arm that hears it ends with what it has said, later
                ones do not run, and `Finished` reports those that did; before the first answer nothing more is yielded.

        Yields:
            Stage, Piece, ArmDone as things happen and Finished at the end. Up to `Finished` the device is taken: whoever
            wants another clip encoded while reading the events waits for himself. Where memory runs out, an arm is tried once
            more: its Pieces begin anew.

        Raises:
            OmniZipError: an empty question, an unusable clip, method or option, too little memory; the sentence is for people.
        """
        yield from self._run(clip, question, (FULL, *arms), history, sampling, Stop(stop))

    def answer(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arm: Arm = OMNIZIP,
        *,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Answer with `arm` alone, for who wants the answer and no comparison: its number is 0, nothing is warmed up beforehand.

        Its times are those of this one run, first use included, and there is no agreement with a full model that did not run. All
        else is as in `compare`.
        """
        yield from self._run(clip, question, (arm,), history, sampling, Stop(stop), alone=True)

    def _run(
        self,
        clip: str | Path | ClipHandle,
        question: str,
        arms: Sequence[Arm],
        history: History,
        sampling: Sampling | None,
        wish: Stop,
        alone: bool = False,
    ) -> Iterator[Event]:
        """Decode, encode and answer for every arm."""
        if not question.strip():
            raise OmniZipError("The question is empty; ask something about the clip.")
        check_text(question, history)
        for arm in arms:
            arm.method_class()
        handle, asked = self._handle(clip), sampling or self.sampling
        try:
            with self._clips.using(handle):
                if self._lent is not None:
                    yield from self._run_lent(self._lent, handle, question, arms, history, asked, wish, alone)
                    return
                encoded = yield from yield_progress(partial(self._encode, handle, stop=wish), "encode", wish.check)
                with self._turn(wish):
                    comparison = Comparison(
                        self.model, encoded, handle.name, question, asked, wish, self._prefixes, alone, partial(self._clips.part, handle)
                    )
                    report = yield from comparison.run(arms, history, self._read_as(handle))
        except Stopped:
            return
        except GeneratorExit:
            wish.heard = True  # who closes the events wants no more of them, and a decoder that says nothing hears it, too
            raise
        if report is not None:
            yield Finished(report)

    @contextmanager
    def _turn(self, stop: Stop, wait_s: float = math.inf) -> Iterator[None]:
        """Alone on the device. A plain lock, since a generator may be closed from another thread than ran it.

        Raises:
            Stopped: the stop was heard meanwhile. BusyError: the device was not free within `wait_s`.
        """
        deadline = monotonic() + wait_s
        while not self._device.acquire(timeout=min(POLL_S, max(0.0, deadline - monotonic()))):
            stop.check()
            if monotonic() >= deadline:
                raise BusyError(BUSY)
        try:
            yield
        finally:
            self._device.release()

    def _run_lent(
        self,
        lent: LentCalls,
        handle: ClipHandle,
        question: str,
        arms: Sequence[Arm],
        history: History,
        sampling: Sampling,
        stop: Stop,
        alone: bool,
    ) -> Generator[Event, None, None]:
        """Decode here, do the rest in one call. A stop ends the call, with what was said by then."""
        if handle in self._clips:
            encoded, decode_ms = self._encode(handle, lambda stage: None, stop).clip, None
            clip, crossing = encoded.clip, LentEncoding.of(encoded)
        else:
            clip, decode_ms = yield from yield_progress(partial(self._decode, handle, stop=stop), "decode", stop.check)
            crossing = None
        task = Task(clip, crossing, decode_ms, handle.name, question, arms, history, sampling, self._read_as(handle), alone)
        for event in lent.answer(task, stop):
            if isinstance(event, EncodedClip):
                self._clips.get(handle, partial(TimedClip, event, decode_ms))
            else:
                yield event

    def _handle(self, clip: str | Path | ClipHandle) -> ClipHandle:
        return clip if isinstance(clip, ClipHandle) else self.open_clip(clip)

    def _read_as(self, handle: ClipHandle) -> Settings:
        """The settings, with the part that this handle is of."""
        return handle.key.part.of(self.settings)

    def _decode(self, handle: ClipHandle, report: Callable[[Stage], None], stop: Stop) -> tuple[Clip, float]:
        report(Stage("decode", 0.0))
        start = perf_counter()
        clip = media.load(handle.path, self._read_as(handle), lambda fraction: report(Stage("decode", fraction)), cancelled=stop)
        return _same(clip, handle), ms_since(start)

    def _encode(self, handle: ClipHandle, report: Callable[[Stage], None], stop: Stop) -> TimedClip:
        def make() -> TimedClip:
            if self._lent is not None:
                clip, decode_ms = self._decode(handle, report, stop)
                report(Stage("encode"))
                return TimedClip(self._lent.encode(clip, decode_ms, self._read_as(handle)), decode_ms)
            report(Stage("decode", 0.0))
            clip, ahead, decode_ms = load_while(
                handle.path,
                self._read_as(handle),
                lambda arriving: self._encode_ahead(arriving, stop),
                lambda fraction: report(Stage("decode", fraction)),
                cancelled=stop,
            )
            _same(clip, handle)
            report(Stage("encode"))
            memory = SecondTry(self.model, self._prefixes, clip.frames.shape)
            with self._turn(stop):
                encoded = memory.run(lambda: self.model.encode(clip, lambda fraction: report(Stage("encode", fraction)), ahead))
            return TimedClip(encoded, decode_ms)

        timed, known = self._clips.get(handle, make)
        return TimedClip(timed.clip, None) if known else timed

    def _encode_ahead(self, arriving: FrameBuffer, stop: Stop) -> Ahead | None:
        """Encode what has arrived; None where memory ran out, which is seen to when the whole clip is encoded."""
        try:
            return self.model.encoder.encode_ahead(arriving, lambda: self._turn(stop))
        except (RuntimeError, MemoryError) as failure:
            if is_out_of_memory(failure):
                return None
            raise

    def _digest(self, path: Path) -> str:
        """The file's digest, read again only if the file's size or time changed."""
        try:
            status = path.stat()
        except OSError:
            return media.digest(path, self.settings)  # it has the sentence
        key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        return self._digests.get(key, lambda: media.digest(path, self.settings))[0]


def check_text(question: str, history: History = ()) -> None:
    """Raise OmniZipError for a conversation that no file could hold as text: half a character, bytes that were none."""
    told = chain.from_iterable(history.values()) if isinstance(history, Mapping) else history
    try:
        question.encode()
        for turn in told:
            f"{turn.question}{turn.answer or ''}".encode()
    except UnicodeEncodeError:
        raise OmniZipError("The conversation holds something that is no text; type it again.") from None


def _same(clip: Clip, handle: ClipHandle) -> Clip:
    """The clip, if it is the one that was opened. Raises MediaError where the file has changed since."""
    if clip.digest != handle.key.digest:
        raise MediaError(f"{handle.name} has changed since it was opened; open it again.")
    return clip
