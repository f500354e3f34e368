"""One question to one encoded clip: compress for every arm, warm up, answer one after the other, report.

Every arm is compressed twice: once to learn how long its prompt is, so that all lengths are warm before anything is
measured, and once measured. Times are of the work alone: what the reader of the events does in between is not counted.

A method that chooses before encoding has an encoding of its own, made here and remembered; all others share the whole one. Each is
billed its own, whenever it was made.

In a follow-up question on the same clip and settings each arm goes on from what it has read (prefix_cache.py): times, operations
and `reused_tokens` say so. The choice itself is made anew, since it costs little and shows what the answer rests on.

Where memory runs out, an arm begins anew after all that is kept for other questions was freed (out_of_memory.py). It then reads
everything, whatever the others reused.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from time import perf_counter

from torch import Tensor

from ..compressors.base import Compressor
from ..compressors.layer_pruner import LayerPruner
from ..model.conditions import installed_versions, machine_load
from ..model.generate import Prefilled
from ..model.layer_pruning import checked
from ..model.prefix_cache import Prefixes
from ..model.qwen import EncodedClip, QwenOmni
from ..report.decision import CompressionRecord
from ..report.flops import CountedFlops, encoder_flops, kv_cache_bytes, layered_paper_flops, paper_flops
from ..report.report import ClipRecord, Run, RunReport
from ..settings import Settings
from ..stream import Compression, TokenStream
from ..types import Agreement, Answer, Sampling, Timing, Turn
from .clips import TimedClip
from .events import Arm, ArmDone, Event, Piece, Stage
from .out_of_memory import SecondTry, is_out_of_memory
from .repeats import are_short, repeated

SERVING = Settings.names("page")  # settings that no number depends on
Parts = Callable[[EncodedClip, Tensor, Callable[[], EncodedClip]], tuple[EncodedClip, bool]]
History = Sequence[Turn] | Mapping[int, Sequence[Turn]]


class Stopped(Exception):
    """Someone asked for an end; never leaves this module."""


class Stop:
    """The caller's wish to stop, remembered once it was expressed."""

    def __init__(self, wish: Callable[[], bool] | None):
        self._wish = wish
        self.heard = False

    def __call__(self) -> bool:
        self.heard = self.heard or bool(self._wish and self._wish())
        return self.heard

    def check(self) -> None:
        if self():
            raise Stopped


def ms_since(start: float) -> float:
    return (perf_counter() - start) * 1000


def saliency_cost_ms(encoded: EncodedClip, compressor: Compressor, stream: TokenStream) -> float:
    """Milliseconds that the attention this method ranks by took to compute."""
    costs = {"saliency": encoded.saliency_ms, "saliency_windowed": encoded.saliency_windowed_ms}
    return sum((ms for name, ms in costs.items() if name in compressor.needs), stream.observing_ms(compressor.needs))


@dataclass(frozen=True, eq=False)
class Encoding:
    """What one arm has of the clip: all of it encoded, or what its method chose."""

    clip: EncodedClip
    look_ms: float  # choosing what to encode
    reused: bool  # the very same encoding was there before


@dataclass(frozen=True, eq=False)
class Plan:
    """One arm before it answers: its method as it applies to its stream, and how much there is to read."""

    number: int
    arm: Arm
    compressor: Compressor
    encoding: Encoding
    stream: TokenStream
    length: int  # tokens of its prompt
    unread: int  # of them, not read for an earlier question


@dataclass(frozen=True, eq=False)
class Comparison:
    """One question to one encoded clip, alone on the device."""

    model: QwenOmni
    encoded: TimedClip
    name: str  # of the file
    question: str
    sampling: Sampling
    stop: Stop
    prefixes: Prefixes  # what earlier questions have read, the answers of this one are added
    alone: bool = False  # one arm that is compared with nothing: no warm-up for even times, no full answer to be scored
    parts: Parts = lambda whole, seen, make: (make(), False)  # remembers encodings of a part of the picture
    repeats: bool = True  # short reading is timed again; not where the device is lent by the call

    def run(self, arms: Sequence[Arm], history: History, settings: Settings) -> Generator[Event, None, RunReport | None]:
        """Compress for all arms, warm up their lengths, answer one after the other; returns the RunReport, None without a run.

        Raises:
            ModelError: memory ran out, also on a second try with everything else freed; in one sentence.
        """
        memory = SecondTry(self.model, self.prefixes, self.encoded.clip.clip.frames.shape)
        plans = yield from self._plan(arms, history, memory)
        self.stop.check()
        reuse = self._reuses(plans, history)
        if not self.alone:
            yield Stage("warm up")
            with checked(self.model.parts.language, self.stop.check):
                memory.run(lambda: self._warm_up(plans, reuse))
        runs: list[Run] = []
        for plan in plans:
            if self.stop():
                break
            yield Stage("answer", arm=plan.number)
            full_ids = runs[0].answer.token_ids if runs else None
            try:
                runs.append((yield from memory.stream(lambda plan=plan, ids=full_ids: self._answer(plan, reuse, ids))))
            except Stopped:  # while the prompt was read: there is nothing of this answer yet
                break
            yield ArmDone(plan.number, runs[-1])
        first = not any(_earlier(history, plan.number) for plan in plans)
        if self.repeats and first and len(runs) == len(plans) and are_short([run.timing.prefill_ms for run in runs]) and not self.stop():
            yield Stage("repeat")
            runs = self._repeat(plans, runs)
        return self._report(runs, plans[-1].stream, settings) if runs else None

    def _repeat(self, plans: Sequence[Plan], runs: Sequence[Run]) -> list[Run]:
        """The runs with the median of several times of reading, after all answers; as they are where a stop or want of memory forbids."""

        def read(plan: Plan) -> Callable[[], object]:
            prompt = plan.stream.prompt(plan.compressor.compress(plan.stream))
            return lambda: self.model.prefill(prompt, plan.compressor, plan.stream)

        try:
            with checked(self.model.parts.language, self.stop.check):
                times = repeated([read(plan) for plan in plans], [run.timing.prefill_ms for run in runs], self.stop)
        except Stopped:
            return list(runs)
        except (RuntimeError, MemoryError) as failure:
            if is_out_of_memory(failure):  # the answers stand
                return list(runs)
            raise
        timings = (run.timing.with_prefill(median(known), len(known)) for run, known in zip(runs, times, strict=True))
        return [replace(run, timing=timing) for run, timing in zip(runs, timings, strict=True)]

    def _plan(self, arms: Sequence[Arm], history: History, memory: SecondTry) -> Generator[Event, None, list[Plan]]:
        """Compress once for every arm, unmeasured. Arms with the same turns and the same encoding share one stream."""
        streams: dict[Hashable, TokenStream] = {}

        def plan(number: int, arm: Arm, turns: tuple[Turn, ...]) -> Plan:
            encoding = self._encoding(number, arm)
            key = id(encoding.clip), turns
            if key not in streams:
                streams[key] = self.model.stream(encoding.clip, turns)
            compressor = arm.compressor(streams[key], self.sampling.seed)
            return Plan(number, arm, compressor, encoding, streams[key], *self._lengths(number, compressor, streams[key]))

        plans = []
        for number, arm in enumerate(arms):
            self.stop.check()
            yield Stage("compress", arm=number)
            turns = (*_earlier(history, number), Turn(self.question))
            plans.append(memory.run(lambda number=number, arm=arm, turns=turns: plan(number, arm, turns)))
        return plans

    def _encoding(self, number: int, arm: Arm) -> Encoding:
        """The clip as this arm has it encoded. What a method chose is run for it and never cut out of the whole."""
        whole = self.encoded.clip
        if not arm.method_class().chooses_before_encoding:
            return Encoding(whole, 0.0, number > 0 or self.encoded.decode_ms is None)
        compressor = arm.compressor(self.model.sight(whole).layout, self.sampling.seed)
        seen, look_ms = self.model.look(whole, compressor)
        clip, known = self.parts(whole, seen, lambda: self.model.encoder.encode_seen(whole, seen))
        return Encoding(clip, look_ms, known)

    def _reuses(self, plans: Sequence[Plan], history: History) -> bool:
        """Whether the arms go on from what they have read: all or none, or times could not be compared."""
        return all(
            _earlier(history, plan.number) and plan.unread < plan.length and self.prefixes.peek(self._key(plan.number, plan.compressor))
            for plan in plans
        )

    def _warm_up(self, plans: Sequence[Plan], reuse: bool) -> None:
        """Run every length once, unmeasured; a method inside the model reads its prompt, as later layers read lengths of their own."""
        self.model.warm_up([plan.unread if reuse else plan.length for plan in plans])
        for plan in plans:
            if isinstance(plan.compressor, LayerPruner):
                self.stop.check()
                self.model.prefill(plan.stream.prompt(plan.compressor.compress(plan.stream)), plan.compressor, plan.stream)

    def _lengths(self, number: int, compressor: Compressor, stream: TokenStream) -> tuple[int, int]:
        """Tokens of this arm's prompt, and how many of them it has not read for an earlier question."""
        compression = compressor.compress(stream)
        known = self.prefixes.peek(self._key(number, compressor))
        if known is None or compressor.reads_question:
            kept = int(compression.keep.sum())
            return kept, kept
        prompt = stream.prompt(compression)
        total = prompt.embeds.shape[0]
        return total, total - known.shared(prompt)

    def _key(self, number: int, compressor: Compressor) -> Hashable:
        """Each arm has a chat of its own for every clip and setting."""
        return number, self.encoded.clip.clip.digest, compressor.name, tuple(compressor.parameters.items())

    def _answer(self, plan: Plan, reuse: bool, full_ids: Sequence[int] | None) -> Generator[Piece, None, Run]:
        """Compress once more, now measured, prefill and decode; returns the Run. The time a reader takes is not counted.

        Args:
            full_ids: the full model's answer, to be scored after all is measured; None for the full model, whose own is.
        """
        model, compressor, stream = self.model, plan.compressor, plan.stream
        key = self._key(plan.number, compressor)
        known = self.prefixes.take(key)  # its cache is used up
        if not reuse:
            known = None  # another chat's on the same clip and settings: freed before anything is measured
        model.synchronize()
        model.reset_peak_memory()
        start = perf_counter()
        compression = compressor.compress(stream)
        prompt = stream.prompt(compression)
        model.synchronize()
        choose_ms = ms_since(start)
        start = perf_counter()
        with checked(model.parts.language, self.stop.check):
            prefilled = model.prefill(prompt, compressor, stream) if known is None else model.resume(known, prompt)
        prefill_ms = ms_since(start)
        del known
        ids: list[int] = []
        times_ms: list[float] = []
        text = ""
        tokens = model.decode(prefilled, self.sampling, self.stop)
        while True:
            start = perf_counter()
            token = next(tokens, None)
            times_ms.append(ms_since(start))
            if token is None:
                break
            ids.append(token)
            longer = model.text(ids)
            if longer != text:
                text = longer
                yield Piece(plan.number, text)
        peak = model.peak_memory_bytes()
        peak = None if peak is None else peak - self.prefixes.nbytes  # what other chats keep is not this run's
        agreement = None if self.alone else model.score(prefilled, ids if full_ids is None else full_ids)
        looks = model.first_token_attention(prefilled, prompt, stream)
        if not compressor.reads_question:  # another question would choose otherwise
            self.prefixes.put(key, model.prefix(prefilled, prompt, ids))
        if prefilled.kept is not None:
            compression = prefilled.kept.applied_to(compression, prompt.index)
        finish = "stopped" if self.stop.heard else "length" if len(ids) >= self.sampling.max_new_tokens else "end of turn"
        timing = self._timing(plan, choose_ms, prefill_ms, times_ms, len(ids))
        answer = Answer(text, tuple(ids), finish)
        return self._run(plan, compression, prefilled, answer, timing, peak, agreement, looks)

    def _timing(self, plan: Plan, choose_ms: float, prefill_ms: float, times_ms: list[float], tokens: int) -> Timing:
        """Put a run's measurements together; `times_ms` has one entry per token and one for the end of the answer."""
        encoding = plan.encoding
        saliency_ms = saliency_cost_ms(encoding.clip, plan.compressor, plan.stream)
        compress_ms = saliency_ms + encoding.look_ms + choose_ms
        first_ms, decode_ms = times_ms[0], sum(times_ms[1:])
        return Timing(
            decode_clip_ms=self.encoded.decode_ms,
            encode_ms=encoding.clip.encode_ms,
            saliency_ms=saliency_ms,
            compress_ms=compress_ms,
            prefill_ms=prefill_ms,
            first_token_ms=first_ms,
            ttft_ms=compress_ms + prefill_ms + first_ms,
            decode_ms=decode_ms,
            tokens_per_s=(tokens - 1) / decode_ms * 1000 if tokens > 1 and decode_ms > 0 else None,
            look_ms=encoding.look_ms,
            encode_reused=encoding.reused,
        )

    def _run(
        self,
        plan: Plan,
        compression: Compression,
        prefilled: Prefilled,
        answer: Answer,
        timing: Timing,
        peak: int | None,
        agreement: Agreement | None,
        looks: tuple[float, ...] | None,
    ) -> Run:
        arm, compressor, encoding = plan.arm, plan.compressor, plan.encoding.clip
        layers = prefilled.kept.layers if prefilled.kept else ()
        record = CompressionRecord.of(compression, self.encoded.clip.clip.duration_s, compressor.needs, layers, arm.retention)
        shape, tokens, fed = self.model.shape, record.tokens, prefilled.fed
        if layers:
            paper = layered_paper_flops(shape, [audio + video for _, audio, video in layers])
            counted = CountedFlops.layered(shape, [sum(layer) for layer in layers], prefilled.lengths, fed)
        else:
            paper = paper_flops(shape, tokens["audio"] + tokens["video"])
            counted = CountedFlops.of(shape, tokens["total"], tokens["total"] + fed, prefilled.reused)
        return Run(
            method=compressor.name,
            label=compressor.label,
            parameters=compressor.parameters,
            retention_target=arm.retention,
            answer=answer,
            compression=record,
            timing=timing,
            peak_memory_bytes=peak,
            kv_cache_bytes=sum(kv_cache_bytes(replace(shape, layers=1), n + fed) for n in prefilled.lengths),
            flops_paper=paper,
            flops_counted=counted,
            flops_encode=encoder_flops(self.model.encoder_shape, encoding.grid, encoding.seen, plan.stream.n_audio),
            reused_tokens=prefilled.reused,
            agreement=agreement,
            first_token_attention=looks,
        )

    def _report(self, runs: list[Run], stream: TokenStream, settings: Settings) -> RunReport:
        clip = self.encoded.clip.clip
        record = ClipRecord.of(self.name, clip, stream)
        plain = {name: value for name, value in asdict(settings).items() if name not in SERVING}
        return RunReport(
            self.model.conditions,
            self.model.shape,
            self.sampling,
            plain,
            installed_versions(),
            self.question,
            record,
            tuple(runs),
            load=machine_load(),
        )


def _earlier(history: History, number: int) -> Sequence[Turn]:
    """The turns arm `number` has had."""
    return history.get(number, ()) if isinstance(history, Mapping) else history
