"""What happened in a comparison: per run what was kept, what it cost, what was said; and everything that follows from it.

What was allocated and measured is stored; counts, shares and ratios are derived here and nowhere else. Two counts of
operations are given, because the published one is a proxy:

- `paper_flops`, OmniZip's equation 9, for comparison with published tables: multiply-adds counted once, a feed-forward
  network without gate, as many key heads as query heads, picture and sound only.
- `prefill_flops` and `decode_flops`, what this model computes: multiply-adds counted as two operations, gated
  feed-forward network, grouped keys and values, causal attention, every token of the prompt, vocabulary scores of one
  position. Softmax, norms and the compressor itself (reported as time) are not counted.

Does not know: what the encoders cost, which is shared by all runs of a clip.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .run import Answer, Conditions, ModelShape, Sampling, Timing
from .stream import Compression, Modality, Reason
from .windows import WINDOW_S

if TYPE_CHECKING:
    import numpy as np

SCHEMA_VERSION = 1
PAPER_ANSWER_TOKENS = 100  # R in equation 9
MEDIA = (Modality.AUDIO, Modality.VIDEO)
SALIENCY_NOTES = {
    "uniform": "The sound track is silent, so all of its tokens rank alike.",
    "embedding norm": "No attention was given, so audio is ranked by the norm of its embeddings.",
    "given": "Audio is ranked by a saliency given from outside, not by the encoder's attention.",
}


def paper_flops(shape: ModelShape, n: int, answer_tokens: int = PAPER_ANSWER_TOKENS) -> int:
    """OmniZip's equation 9: T(4nd^2 + 2n^2 d + 2ndm) + T R((4d^2 + 2dm) + 2(dn + d(R+1)/2)).

    T layers, d width, m width of the feed-forward network, R tokens of the answer.

    Args:
        n: audio and video tokens the model reads; text is not counted.
    """
    d, m, r = shape.width, shape.ffn, answer_tokens
    prefill = 4 * n * d * d + 2 * n * n * d + 2 * n * d * m
    decode = r * (4 * d * d + 2 * d * m + 2 * d * n) + d * r * (r + 1)
    return shape.layers * (prefill + decode)


def _per_token_flops(shape: ModelShape) -> int:
    """Operations of one layer's matrices for one token: queries and output, keys and values, the gated network's three."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return 2 * shape.width * (2 * queries + 2 * keys + 3 * shape.ffn)


def prefill_flops(shape: ModelShape, tokens: int) -> int:
    """Operations of reading a prompt of `tokens` (text included) up to the scores of the first token of the answer."""
    attention = 4 * shape.heads * shape.head_dim * (tokens * (tokens + 1) // 2)  # token i attends to i tokens, itself included
    return shape.layers * (tokens * _per_token_flops(shape) + attention) + 2 * shape.width * shape.vocabulary


def decode_flops(shape: ModelShape, cached: int) -> int:
    """Operations of one further token that attends to `cached` tokens, itself included."""
    attention = 4 * shape.heads * shape.head_dim * cached
    return shape.layers * (_per_token_flops(shape) + attention) + 2 * shape.width * shape.vocabulary


def kv_cache_bytes(shape: ModelShape, tokens: int) -> int:
    """Bytes of the keys and values of `tokens` cached tokens, prompt and answer."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * tokens * shape.kv_bytes


@dataclass(frozen=True)
class CountedFlops:
    """Operations as this model computes them, see the module's description."""

    prefill: int
    decode_per_token: int  # the first token that is fed back
    decode: int  # all tokens of this answer that were fed back

    @classmethod
    def of(cls, shape: ModelShape, prompt: int, cached: int) -> CountedFlops:
        """Of a prompt of `prompt` tokens, of which `cached` tokens are cached once the answer's are added."""
        decode = sum(decode_flops(shape, n) for n in range(prompt + 1, cached + 1))
        return cls(prefill_flops(shape, prompt), decode_flops(shape, prompt + 1), decode)


@dataclass(frozen=True)
class WindowRecord:
    """Two seconds of the clip: what they hold, what was allocated to them, what was kept."""

    start_s: float
    end_s: float
    audio_tokens: int
    audio_kept: int
    video_tokens: int
    video_kept: int
    audio_retention: float | None  # as allocated; None where the method has no opinion or the window no sound
    video_pruning_rate: float | None  # as allocated; None where the method has no opinion or the window no picture


@dataclass(frozen=True, eq=False)
class CompressionRecord:
    """A Compression on the host, without embeddings: enough for every picture and count, and it pickles."""

    keep: np.ndarray  # (L,) bool
    source: np.ndarray  # (L,) int64 the survivor each token lives on in, itself if kept, -1 if dropped
    reason: np.ndarray  # (L,) uint8, Reason
    modality: np.ndarray  # (L,) uint8, Modality
    window: np.ndarray  # (L,) int64, -1 outside the clip
    saliency: np.ndarray | None  # (L,) float32 attention received as this method ranks by it; NaN where not observed
    saliency_kind: str  # "attention" or what stands in for it
    audio_retention: np.ndarray | None  # (W,) as allocated; NaN without audio
    video_pruning_rate: np.ndarray | None  # (W,) as allocated; NaN without video
    grid: tuple[int, int, int]  # steps, rows, columns
    duration_s: float
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, compression: Compression, duration_s: float, needs: frozenset[str] = frozenset()) -> CompressionRecord:
        """Copy a decision to the host.

        Args:
            duration_s: length of the clip, the end of its last window.
            needs: the compressor's `needs`; they decide which of the two saliencies is recorded.
        """
        stream = compression.stream
        saliency = stream.saliency_windowed if "saliency_windowed" in needs else stream.saliency
        notes = compression.notes
        ranks = needs & {"saliency", "saliency_windowed"} and stream.n_audio
        if ranks and not notes and stream.saliency_kind in SALIENCY_NOTES:
            notes = (SALIENCY_NOTES[stream.saliency_kind],)
        return cls(
            *(_host(t) for t in (compression.keep, compression.source, compression.reason, stream.modality, stream.window, saliency)),
            stream.saliency_kind,
            _host(compression.audio_retention),
            _host(compression.video_pruning_rate),
            stream.grid,
            duration_s,
            notes,
        )

    @cached_property
    def _counts(self) -> Counter:
        """How many tokens there are of each (modality, window, reason)."""
        return Counter(zip(self.modality.tolist(), self.window.tolist(), self.reason.tolist(), strict=True))

    def _count(self, modality: Modality, kept: bool = False, window: int | None = None) -> int:
        return sum(
            n
            for (m, w, reason), n in self._counts.items()
            if m == modality and (not kept or reason < Reason.FOLDED) and (window is None or w == window)
        )

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens the model reads: text, audio, video, total."""
        kept = {m.name.lower(): self._count(m, kept=True) for m in Modality}
        return {**kept, "total": sum(kept.values())}

    @property
    def clip_tokens(self) -> dict[str, int]:
        """Tokens of the clip before compression: audio, video, total."""
        counts = {m.name.lower(): self._count(m) for m in MEDIA}
        return {**counts, "total": sum(counts.values())}

    @property
    def retained(self) -> dict[str, float | None]:
        """Kept share of the clip's audio, video and both; None where the clip has none."""
        tokens, clip = self.tokens, self.clip_tokens
        kept = {"audio": tokens["audio"], "video": tokens["video"], "total": tokens["audio"] + tokens["video"]}
        return {name: ratio(kept[name], clip[name]) for name in kept}

    @property
    def reasons(self) -> dict[str, dict[str, int]]:
        """Where the tokens of each modality went: audio and video, reason -> tokens, only reasons that occur."""
        went = {m.name.lower(): dict.fromkeys((r.name.lower() for r in Reason), 0) for m in MEDIA}
        for (modality, _, reason), n in self._counts.items():
            if modality != Modality.TEXT:
                went[Modality(modality).name.lower()][Reason(reason).name.lower()] += n
        return {name: {reason: n for reason, n in counts.items() if n} for name, counts in went.items()}

    @cached_property
    def windows(self) -> tuple[WindowRecord, ...]:
        """(W,) one record per two seconds."""
        total = int(self.window.max()) + 1 if self.window.size else 0
        retention = _per_window(self.audio_retention, total)
        rate = _per_window(self.video_pruning_rate, total)
        counts: Counter = Counter()
        for (modality, window, reason), n in self._counts.items():
            counts[modality, window, False] += n
            counts[modality, window, True] += n * (reason < Reason.FOLDED)
        records = []
        for i in range(total):
            start, end = i * WINDOW_S, (i + 1) * WINDOW_S
            if i == total - 1 and start < self.duration_s < end:
                end = self.duration_s
            held = [counts[m, i, kept] for m in MEDIA for kept in (False, True)]
            records.append(WindowRecord(start, end, *held, retention[i], rate[i]))
        return tuple(records)


def _host(tensor: Any) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy().copy()


def _per_window(values: np.ndarray | None, total: int) -> list[float | None]:
    """One value per window; None where there is none, and everywhere if the method's windows are not the clip's."""
    if values is None or values.shape[0] != total:
        return [None] * total
    return [value if math.isfinite(value) else None for value in values.tolist()]


def ratio(a: float | None, b: float | None) -> float | None:
    """a / b; None where either is unknown or b is nothing."""
    return a / b if a is not None and b else None


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
        return _plain(
            {
                "method": self.method,
                "label": self.label,
                "parameters": self.parameters,
                "retention_target": self.retention_target,
                "answer": self.answer.text,
                "answer_tokens": len(self.answer.token_ids),
                "finish": self.answer.finish,
                "tokens": self.tokens,
                "retained": self.retained,
                "reasons": self.compression.reasons,
                "timing": asdict(self.timing),
                "peak_memory_bytes": self.peak_memory_bytes,
                "kv_cache_bytes": self.kv_cache_bytes,
                "flops": {"paper": self.flops_paper, **asdict(self.flops_counted)},
                "saliency_kind": self.compression.saliency_kind,
                "notes": self.compression.notes,
                "windows": [asdict(window) for window in self.windows],
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

    def ratios(self, run: Run) -> dict[str, float | None]:
        """How many times less `run` takes than the first run: tokens, prefill, ttft, kv_cache, flops_paper, flops."""
        full = self.runs[0]
        return {
            "tokens": ratio(full.tokens["total"], run.tokens["total"]),
            "prefill": ratio(full.timing.prefill_ms, run.timing.prefill_ms),
            "ttft": ratio(full.timing.ttft_ms, run.timing.ttft_ms),
            "kv_cache": ratio(full.kv_cache_bytes, run.kv_cache_bytes),
            "flops_paper": ratio(full.flops_paper, run.flops_paper),
            "flops": ratio(full.flops_counted.prefill, run.flops_counted.prefill),
        }

    def to_json(self) -> dict[str, Any]:
        """The report in plain values that strict JSON can hold; fractions are of the clip's tokens, ratios full / this run."""
        conditions = {
            **asdict(self.conditions),
            "versions": self.versions,
            "sampling": asdict(self.sampling),
            "seed": self.sampling.seed,
            "settings": self.settings,
        }
        return _plain(
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


def _plain(value: Any) -> Any:
    """Mappings to dicts, sequences to lists, numbers that are not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
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
