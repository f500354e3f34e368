"""One question to one encoded clip: compress for every arm, warm up, answer one after the other, report.

Every arm is compressed twice: once to learn how long its prompt is, so that all lengths are warm before anything is
measured, and once measured. Times are of the work alone: what the reader of the events does in between is not counted.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from time import perf_counter

from . import __version__
from .compressors.base import Compressor
from .costs import CountedFlops, kv_cache_bytes, paper_flops
from .events import Arm, ArmDone, Event, Piece, Stage
from .qwen import EncodedClip, QwenOmni
from .record import CompressionRecord
from .report import ClipRecord, Run, RunReport
from .run import Answer, Sampling, Timing, Turn
from .settings import Settings
from .stream import Compression, TokenStream

SERVING = ("host", "port", "queue_size")  # settings that no number depends on
PACKAGES = ("torch", "transformers", "accelerate", "numpy", "av")
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


@dataclass(frozen=True, eq=False)
class Encoded:
    clip: EncodedClip
    decode_ms: float | None  # None when it was in memory already


@dataclass(frozen=True, eq=False)
class Comparison:
    """One question to one encoded clip, alone on the device."""

    model: QwenOmni
    encoded: Encoded
    name: str
    question: str
    sampling: Sampling
    stop: Stop

    def run(self, arms: Sequence[Arm], history: History, settings: Settings) -> Iterator[Event]:
        """Compress for all arms, warm up their lengths, answer one after the other; returns the RunReport, None without a run."""
        streams: dict[tuple[Turn, ...], TokenStream] = {}
        plans, lengths = [], []
        for number, arm in enumerate(arms):
            self.stop.check()
            yield Stage("compress", arm=number)
            earlier = history.get(number, ()) if isinstance(history, Mapping) else history
            turns = (*earlier, Turn(self.question))
            if turns not in streams:
                streams[turns] = self.model.stream(self.encoded.clip, turns)
            compressor = arm.compressor(streams[turns], self.sampling.seed)
            lengths.append(int(compressor.compress(streams[turns]).keep.sum()))
            plans.append((arm, compressor, streams[turns]))
        self.stop.check()
        yield Stage("warm up")
        self.model.warm_up(lengths)
        runs = []
        for number, (arm, compressor, stream) in enumerate(plans):
            if self.stop():
                break
            yield Stage("answer", arm=number)
            runs.append((yield from self._answer(number, arm, compressor, stream)))
            yield ArmDone(number, runs[-1])
        return self._report(runs, streams[turns], settings) if runs else None

    def _answer(self, number: int, arm: Arm, compressor: Compressor, stream: TokenStream) -> Iterator[Piece]:
        """Compress once more, now measured, prefill and decode; returns the Run. The time a reader takes is not counted."""
        model = self.model
        model.synchronize()
        model.reset_peak_memory()
        start = perf_counter()
        compression = compressor.compress(stream)
        prompt = stream.prompt(compression)
        model.synchronize()
        choose_ms = ms_since(start)
        start = perf_counter()
        prefilled = model.prefill(prompt)
        prefill_ms = ms_since(start)
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
                yield Piece(number, text)
        finish = "stopped" if self.stop.heard else "length" if len(ids) >= self.sampling.max_new_tokens else "end of turn"
        timing = self._timing(compressor, choose_ms, prefill_ms, times_ms, len(ids))
        answer = Answer(text, tuple(ids), finish)
        return self._run(arm, compressor, compression, prefilled.cache.get_seq_length(), answer, timing)

    def _timing(self, compressor: Compressor, choose_ms: float, prefill_ms: float, times_ms: list[float], tokens: int) -> Timing:
        """Put a run's measurements together; `times_ms` has one entry per token and one for the end of the answer."""
        encoded = self.encoded.clip
        costs = {"saliency": encoded.saliency_ms, "saliency_windowed": encoded.saliency_windowed_ms}
        saliency_ms = sum((ms for name, ms in costs.items() if name in compressor.needs), 0.0)
        first_ms, decode_ms = times_ms[0], sum(times_ms[1:])
        return Timing(
            decode_clip_ms=self.encoded.decode_ms,
            encode_ms=encoded.encode_ms,
            saliency_ms=saliency_ms,
            compress_ms=saliency_ms + choose_ms,
            prefill_ms=prefill_ms,
            first_token_ms=first_ms,
            ttft_ms=saliency_ms + choose_ms + prefill_ms + first_ms,
            decode_ms=decode_ms,
            tokens_per_s=(tokens - 1) / decode_ms * 1000 if tokens > 1 and decode_ms > 0 else None,
        )

    def _run(self, arm: Arm, compressor: Compressor, compression: Compression, cached: int, answer: Answer, timing: Timing) -> Run:
        record = CompressionRecord.of(compression, self.encoded.clip.clip.duration_s, compressor.needs)
        shape, tokens = self.model.shape, record.tokens
        return Run(
            method=compressor.name,
            label=compressor.label,
            parameters=compressor.parameters,
            retention_target=arm.retention,
            answer=answer,
            compression=record,
            timing=timing,
            peak_memory_bytes=self.model.peak_memory_bytes(),
            kv_cache_bytes=kv_cache_bytes(shape, cached),
            flops_paper=paper_flops(shape, tokens["audio"] + tokens["video"]),
            flops_counted=CountedFlops.of(shape, tokens["total"], cached),
        )

    def _report(self, runs: list[Run], stream: TokenStream, settings: Settings) -> RunReport:
        clip = self.encoded.clip.clip
        record = ClipRecord(
            name=self.name,
            duration_s=clip.duration_s,
            frames=len(clip.frames),
            fps=clip.fps,
            windows=stream.n_windows,
            width=clip.width,
            height=clip.height,
            grid=stream.grid,
            has_sound=stream.n_audio > 0,
            warnings=clip.warnings,
        )
        plain = {name: value for name, value in asdict(settings).items() if name not in SERVING}
        return RunReport(self.model.conditions, self.model.shape, self.sampling, plain, _versions(), self.question, record, tuple(runs))


def _versions() -> dict[str, str | None]:
    """Versions of all that numbers depend on; None for a package that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "omnizip": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions
