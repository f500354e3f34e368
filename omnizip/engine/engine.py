"""Encode a clip once, then compress and answer as often as wanted; everything the page and the command line do goes through here.

`Engine.compare` runs the full model first, then every arm, one after the other, on the same encoded clip and after a warm-up
of all prompt lengths, so that the comparison is fair by construction. What it yields is plain data, and text comes as it
is decoded.

One device, one answer at a time: encoding and answering take turns under a lock, which a closed or failed comparison gives
back. Remembered are the clips encoded last and, for follow-up questions, the prompts read last; both are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from time import perf_counter
from typing import Any

from .. import media
from ..compressors.base import Compressor
from ..compressors.layer_pruner import LayerPruner
from ..errors import OmniZipError
from ..media import Clip
from ..media.frame_buffer import load_while
from ..model.prefix_cache import Prefixes
from ..model.qwen import EncodedClip, QwenOmni
from ..report.decision import CompressionRecord
from ..settings import Settings
from ..stream import Compression, TokenStream
from ..types import Sampling, Turn
from .cache import Cache
from .comparison import Comparison, Encoded, History, Stop, Stopped, ms_since, saliency_cost_ms
from .events import Arm, ArmDone, Event, Finished, Piece, Stage
from .zerogpu import ClipEncoded, Failed, Lend, Task, Work, duration_s, perform

__all__ = ["Arm", "ArmDone", "Engine", "Event", "Finished", "Piece", "Preview", "Stage"]

FULL = Arm("full")
OMNIZIP = Arm("omnizip", 0.45)
POLL_S = 0.1  # how soon a stop is noticed while waiting


@dataclass(frozen=True, eq=False)
class Preview:
    """What a method would keep, without asking the model."""

    encoded: EncodedClip
    stream: TokenStream
    compression: Compression
    compressor: Compressor
    compress_ms: float  # choosing and merging, without saliency
    layers: tuple[tuple[int, int, int], ...] = ()  # text, audio, video tokens each layer read, for a method inside the model
    asked: float | None = None  # share of the clip to keep, where one was asked for

    @property
    def saliency_ms(self) -> float:
        """What the attention that the method ranks by cost."""
        return saliency_cost_ms(self.encoded, self.compressor, self.stream)

    @property
    def record(self) -> CompressionRecord:
        """The decision on the host, with its counts."""
        return CompressionRecord.of(self.compression, self.encoded.clip.duration_s, self.compressor.needs, self.layers, self.asked)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question, and whom it is put to."""

    question: str
    arms: Sequence[Arm]
    history: History
    sampling: Sampling


@dataclass(eq=False)
class Engine:
    """A loaded model and the clips it has encoded."""

    model: QwenOmni
    settings: Settings
    lend: Lend | None = None  # where the device is only lent for a call: what makes such a call of a function
    _clips: Cache[Encoded] = field(init=False, repr=False)
    _digests: Cache[str] = field(init=False, repr=False)
    _prefixes: Prefixes = field(init=False, repr=False, default_factory=Prefixes)
    _device: Lock = field(init=False, repr=False, default_factory=Lock)
    _lent: Work | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._clips = Cache(self.settings.cached_clips)
        self._digests = Cache(64)
        if self.lend is not None:
            model = self.model

            def work(task: Task) -> Iterator[Event | ClipEncoded | Failed]:
                yield from perform(model, task)

            self._lent = self.lend(work, duration=lambda task: duration_s(task, model.conditions.parameters))

    @classmethod
    def open(cls, settings: Settings, on_progress: Callable[[str, float | None], None] | None = None, lend: Lend | None = None) -> Engine:
        """Load the model that `settings` name. Raises ModelError in one sentence where that is impossible.

        Args:
            lend: `spaces.GPU` on a host that lends its GPU for one call (lent.py). Nothing else then touches the device.
        """
        return cls(QwenOmni.load(settings, on_progress, host_rows=lend is not None), settings, lend)

    @property
    def sampling(self) -> Sampling:
        """How answers are sampled unless a comparison says otherwise."""
        s = self.settings
        return Sampling(s.max_new_tokens, s.temperature, s.top_p, s.seed)

    def encode(self, path: str | Path, on_progress: Callable[[Stage], None] | None = None) -> EncodedClip:
        """Decode and encode a clip, or take it from memory. Raises MediaError in one sentence for a file that cannot be used."""
        return self._encode(Path(path), on_progress or (lambda stage: None), Stop(None)).clip

    def preview(self, path: str | Path, arm: Arm, question: str = "", history: Sequence[Turn] = ()) -> Preview:
        """What `arm` would keep of a clip; encodes it if need be, never generates. A method inside the model reads the prompt for it.

        Raises:
            MediaError: the clip cannot be used. MethodError: no such method, or an option it does not take.
        """
        arm.method_class()
        encoded = self.encode(path)
        stream = self.model.stream(encoded, (*history, Turn(question)), host=self._lent is not None)
        compressor = arm.compressor(stream, self.settings.seed)
        if self._lent is not None and (isinstance(compressor, LayerPruner) or compressor.needs & stream.observers.keys()):
            raise OmniZipError(f"{compressor.label} runs the model to choose, and here the GPU is lent for answers only; press Compare.")
        if asked := compressor.needs & stream.observers.keys():
            with self._turn(Stop(None)):  # the model is run for it
                for name in asked:
                    stream.observed(name)
        start = perf_counter()
        compression = compressor.compress(stream)
        if self._lent is None:
            self.model.synchronize()
        choose_ms, layers = ms_since(start), ()
        if isinstance(compressor, LayerPruner):
            prompt = stream.prompt(compression)
            with self._turn(Stop(None)):
                kept = self.model.prefill(prompt, compressor, stream).kept
            compression, layers = kept.applied_to(compression, prompt.index), kept.layers
        return Preview(encoded, stream, compression, compressor, choose_ms, layers, arm.retention)

    def compare(
        self,
        path: str | Path,
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
            wants another clip encoded while reading the events waits for himself.

        Raises:
            OmniZipError: an empty question, an unusable clip, method or option; the sentence is for people.
        """
        if not question.strip():
            raise OmniZipError("The question is empty; ask something about the clip.")
        for arm in arms:
            arm.method_class()
        heard = Stop(stop)
        if self._lent is not None:
            asked = _Asked(question, (FULL, *arms), history, sampling or self.sampling)
            yield from self._compare_lent(Path(path), asked, heard)
            return
        try:
            encoded = yield from self._telling(lambda tell: self._encode(Path(path), tell, heard), heard)
            with self._turn(heard):
                comparison = Comparison(self.model, encoded, Path(path).name, question, sampling or self.sampling, heard, self._prefixes)
                report = yield from comparison.run((FULL, *arms), history, self.settings)
        except Stopped:
            return
        if report is not None:
            yield Finished(report)

    @contextmanager
    def _turn(self, stop: Stop) -> Iterator[None]:
        """Alone on the device. A plain lock, since a generator may be closed from another thread than ran it."""
        while not self._device.acquire(timeout=POLL_S):
            stop.check()
        try:
            yield
        finally:
            self._device.release()

    def _compare_lent(self, path: Path, asked: _Asked, stop: Stop) -> Iterator[Event]:
        """Decode here, do the rest in one call. A stop ends the call, with what was said by then."""
        key = self._key(path)
        try:
            if key in self._clips:
                encoded, decode_ms = self._clips.get(key, lambda: self._encode(path, lambda stage: None, stop))[0].clip, None
                clip = encoded.clip
            else:
                clip, decode_ms = yield from self._telling(lambda tell: self._decode(path, tell, stop), stop)
                encoded = None
            task = Task(clip, encoded, decode_ms, path.name, asked.question, asked.arms, asked.history, asked.sampling, self.settings)
            with closing(self._lent(task)) as events:
                for event in events:
                    stop.check()
                    if isinstance(event, Failed):
                        raise event.error()
                    if isinstance(event, ClipEncoded):
                        self._clips.get(key, partial(Encoded, event.beside(clip), decode_ms))
                    else:
                        yield event
        except Stopped:
            return

    def _encode_lent(self, clip: Clip, decode_ms: float) -> EncodedClip:
        """A call that encodes and asks nothing."""
        task = Task(clip, None, decode_ms, "", "", (), (), self.sampling, self.settings)
        for event in self._lent(task):
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, ClipEncoded):
                return event.beside(clip)
        raise OmniZipError("The GPU was taken back before the clip was read; try again.")

    def _key(self, path: Path) -> Hashable:
        s = self.settings
        return self._digest(path), s.fps, s.tokens_per_step, s.max_frames, s.decode_pixels

    def _decode(self, path: Path, tell: Callable[[Stage], None], stop: Stop) -> tuple[Clip, float]:
        tell(Stage("decode", 0.0))
        start = perf_counter()
        clip = media.load(path, self.settings, lambda fraction: tell(Stage("decode", fraction)), cancelled=stop)
        return clip, ms_since(start)

    def _encode(self, path: Path, tell: Callable[[Stage], None], stop: Stop) -> Encoded:
        def make() -> Encoded:
            if self._lent is not None:
                clip, decode_ms = self._decode(path, tell, stop)
                tell(Stage("encode"))
                return Encoded(self._encode_lent(clip, decode_ms), decode_ms)
            tell(Stage("decode", 0.0))
            encoder = self.model.encoder
            clip, ahead, decode_ms = load_while(
                path,
                self.settings,
                lambda arriving: encoder.encode_ahead(arriving, lambda: self._turn(stop)),
                lambda fraction: tell(Stage("decode", fraction)),
                cancelled=stop,
            )
            tell(Stage("encode"))
            with self._turn(stop):
                return Encoded(self.model.encode(clip, lambda fraction: tell(Stage("encode", fraction)), ahead), decode_ms)

        encoded, known = self._clips.get(self._key(path), make)
        return Encoded(encoded.clip, None) if known else encoded

    def _digest(self, path: Path) -> str:
        """The file's digest, read again only if the file's size or time changed."""
        try:
            status = path.stat()
        except OSError:
            return media.digest(path, self.settings)  # it has the sentence
        key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        return self._digests.get(key, lambda: media.digest(path, self.settings))[0]

    def _telling(self, do: Callable[[Callable[[Stage], None]], Any], stop: Stop) -> Iterator[Stage]:
        """Do something in a thread of its own, so that its stages can be yielded; returns what it returned."""
        stages: SimpleQueue[Stage | None] = SimpleQueue()
        abandoned = Flag()
        outcome: list[Any] = []

        def tell(stage: Stage) -> None:
            if abandoned.is_set():
                raise Stopped
            stages.put(stage)

        def work() -> None:
            try:
                outcome.append(do(tell))
            except BaseException as failure:
                outcome.append(failure)
            finally:
                stages.put(None)

        Thread(target=work, name="encode", daemon=True).start()
        try:
            while True:
                try:
                    stage = stages.get(timeout=POLL_S)
                except Empty:
                    stop.check()
                    continue
                if stage is None:
                    break
                stop.check()
                yield stage
        except GeneratorExit:
            stop.heard = True  # who closes the events wants no more of them, and a decoder that says nothing hears it, too
            raise
        finally:
            abandoned.set()
        stop.check()
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]
