"""What happened in a comparison: per run what was kept, what it cost, what was said; as JSON, CSV and ratios.

Every number stands beside its conditions. JSON is strict: what is unknown or does not exist is null, never NaN.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..types import Agreement, Answer, Conditions, MachineLoad, ModelShape, Sampling, Timing
from .decision import CompressionRecord, WindowRecord, ratio
from .flops import CountedFlops

if TYPE_CHECKING:
    from ..media import Clip
    from ..stream import TokenStream

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ClipRecord:
    """The clip as it was read."""

    name: str
    duration_s: float
    frames: int
    fps: float  # really sampled
    windows: int  # of two seconds
    width: int  # pixels, upright original
    height: int
    grid: tuple[int, int, int]  # steps, rows, columns of video tokens
    has_sound: bool
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, name: str, clip: Clip, stream: TokenStream) -> ClipRecord:
        """What a report says of a clip and of the tokens it became."""
        return cls(
            name=name,
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


@dataclass(frozen=True, eq=False)
class Run:
    """One method on one clip and question."""

    method: str
    label: str
    parameters: dict[str, Any]
    retention_target: float | None  # None: the parameters' own rates, or no compression
    answer: Answer
    compression: CompressionRecord
    timing: Timing
    peak_memory_bytes: int | None  # None where it cannot be measured
    kv_cache_bytes: int
    flops_paper: int
    flops_counted: CountedFlops
    flops_encode: int  # of both encoders, on what this run needs encoded
    reused_tokens: int = 0  # of the prompt, read for an earlier question: prefill time and operations are of the rest
    agreement: Agreement | None = None  # with the full model's answer; None where that is empty
    first_token_attention: tuple[float, ...] | None = None  # (W,) of the last layer, what each window gets as the first token is chosen

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens the model read: text, audio, video, total."""
        return self.compression.tokens

    @property
    def retained(self) -> dict[str, float | None]:
        """Kept share of the clip's audio, video and both; None where the clip has none."""
        return self.compression.retained

    @property
    def windows(self) -> tuple[WindowRecord, ...]:
        """(W,) one record per two seconds."""
        return self.compression.windows

    def to_json(self) -> dict[str, Any]:
        """Plain values, null for what is unknown."""
        return plain(
            {
                "method": self.method,
                "label": self.label,
                "parameters": self.parameters,
                "retention_target": self.retention_target,
                "answer": self.answer.text,
                "answer_tokens": len(self.answer.token_ids),
                "agreement": None if self.agreement is None else asdict(self.agreement),
                "finish": self.answer.finish,
                "first_token_attention": self.first_token_attention,
                "reused_tokens": self.reused_tokens,
                "timing": {**asdict(self.timing), "ttft_encoded_ms": self.timing.ttft_encoded_ms},
                "peak_memory_bytes": self.peak_memory_bytes,
                "kv_cache_bytes": self.kv_cache_bytes,
                "flops": {"paper": self.flops_paper, **asdict(self.flops_counted), "encode": self.flops_encode},
                **self.compression.to_json(),
            }
        )


@dataclass(frozen=True, eq=False)
class RunReport:
    """A comparison: the full model's run first, then the compressed ones, with all they depend on."""

    conditions: Conditions
    shape: ModelShape
    sampling: Sampling
    settings: Mapping[str, Any]  # limits and sampling of the clip
    versions: Mapping[str, str | None]
    question: str
    clip: ClipRecord
    runs: tuple[Run, ...]
    load: MachineLoad | None = None  # of the machine, at the end

    def ratios(self, run: Run) -> dict[str, float | None]:
        """How many times less `run` takes than the first, see `ratios_of`."""
        return ratios_of(self.runs[0], run)

    def to_json(self) -> dict[str, Any]:
        """The report in plain values that strict JSON can hold; fractions are of the clip's tokens, ratios full / this run."""
        conditions = {
            **asdict(self.conditions),
            "versions": self.versions,
            "sampling": asdict(self.sampling),
            "seed": self.sampling.seed,
            "settings": self.settings,
            "load_average": None if self.load is None else self.load.average,
            "cores": None if self.load is None else self.load.cores,
        }
        return plain(
            {
                "schema": SCHEMA_VERSION,
                "model": {"name": self.conditions.model, **asdict(self.conditions), "shape": asdict(self.shape)},
                "conditions": conditions,
                "question": self.question,
                "clip": asdict(self.clip),
                "runs": [{**run.to_json(), "ratios": self.ratios(run)} for run in self.runs],
            }
        )

    def windows_csv(self) -> str:
        """One row per run and window; empty where the method has no opinion."""
        text = io.StringIO()
        names = list(WindowRecord.__dataclass_fields__)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["run", "method", "window", *names])
        for number, run in enumerate(self.runs):
            for window, record in enumerate(run.windows):
                writer.writerow([number, run.method, window, *(asdict(record)[name] for name in names)])
        return text.getvalue()


def ratios_of(full: Run, run: Run) -> dict[str, float | None]:
    """How many times less `run` takes than `full`.

    Of tokens, prefill, ttft, ttft_encoded (with each run's own encoding), kv_cache, flops_paper, flops (counted, of the prefill)
    and flops_encoded (with the encoders').
    """
    return {
        "tokens": ratio(full.tokens["total"], run.tokens["total"]),
        "prefill": ratio(full.timing.prefill_ms, run.timing.prefill_ms),
        "ttft": ratio(full.timing.ttft_ms, run.timing.ttft_ms),
        "ttft_encoded": ratio(full.timing.ttft_encoded_ms, run.timing.ttft_encoded_ms),
        "kv_cache": ratio(full.kv_cache_bytes, run.kv_cache_bytes),
        "flops_paper": ratio(full.flops_paper, run.flops_paper),
        "flops": ratio(full.flops_counted.prefill, run.flops_counted.prefill),
        "flops_encoded": ratio(full.flops_counted.prefill + full.flops_encode, run.flops_counted.prefill + run.flops_encode),
    }


def plain(value: Any) -> Any:
    """Mappings to dicts, sequences to lists, numbers that are not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# One word, one mark of punctuation, or one character of a script that is written without spaces.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+|[^\w\s]"
)


def differing_words(a: str, b: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where two answers differ, word by word.

    Returns:
        Spans (start, end) in characters of `a` and of `b`; neighbouring words that differ share one span.
    """
    words_a, words_b = list(_WORD.finditer(a)), list(_WORD.finditer(b))
    matcher = difflib.SequenceMatcher(None, [w.group() for w in words_a], [w.group() for w in words_b], autojunk=False)
    spans_a, spans_b = [], []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        if kind == "equal":
            continue
        if a1 > a0:
            spans_a.append((words_a[a0].start(), words_a[a1 - 1].end()))
        if b1 > b0:
            spans_b.append((words_b[b0].start(), words_b[b1 - 1].end()))
    return spans_a, spans_b
