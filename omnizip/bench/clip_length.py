"""What everything before the language model costs as clips grow, from seconds to an hour.

Encoders run at the embedded model's sizes, the way the product runs them; saliency and compression at those of Qwen2.5-Omni-7B,
where saliency over the whole clip grows with the square of the length and is left out beyond `quadratic_s`. Memory is what is
taken at the peak above the clip itself; what stays, the features, stands beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch

from ..compressors import COMPRESSORS
from ..model.encoders import Encoder
from .compress import COLUMNS, ROWS, Bench, peak_bytes, saliency_ms, stream_of
from .prefill import build, layout_of, noise

SHAPE = "nano"
AUDIO_TOKENS_PER_SECOND = 25
ONCE_ABOVE_S = 60
COSTS = ("encode_ms", "saliency_window_ms", "compress_ms")  # linear by design


def measure(bench: Bench, seconds: list[int], retention: float, quadratic_s: int) -> dict[str, Any]:
    """One row per clip length.

    Returns:
        {"shape", "rows": [{"seconds", "tokens", "runs", "encode_ms", "encode_peak_bytes", "feature_bytes", "saliency_window_ms",
        "saliency_clip_ms" (None beyond quadratic_s), "compress_ms", "compress_peak_bytes"}]}
    """
    parts = build(SHAPE, Bench(bench.device, torch.float32), "sdpa")
    encoder = Encoder(parts, layout_of(parts.thinker.config), ROWS * COLUMNS)
    encoder.encode(noise(10, bench.seed))  # first use
    warm = stream_of(10, bench)
    COMPRESSORS["omnizip"].at_retention(retention, warm, saliency_scope="window").compress(warm)
    return {"shape": SHAPE, "rows": [_row(bench, encoder, length, retention, quadratic_s) for length in seconds]}


def _row(bench: Bench, encoder: Encoder, length: int, retention: float, quadratic_s: int) -> dict[str, Any]:
    stream = stream_of(length, bench)
    method = COMPRESSORS["omnizip"].at_retention(retention, stream, saliency_scope="window")
    compress_ms, compress_peak, _ = _time_and_peak(bench, length, partial(method.compress, stream))
    del stream
    clip = noise(length, bench.seed)
    encode_ms, encode_peak, features = _time_and_peak(bench, length, lambda: encoder.features(clip))
    return {
        "seconds": length,
        "tokens": length * (ROWS * COLUMNS + AUDIO_TOKENS_PER_SECOND),
        "runs": _runs(bench, length),
        "encode_ms": encode_ms,
        "encode_peak_bytes": encode_peak,
        "feature_bytes": sum(part.nbytes for part in features if part is not None),
        "saliency_window_ms": saliency_ms(length, "window", bench),
        "saliency_clip_ms": saliency_ms(length, "clip", bench) if length <= quadratic_s else None,
        "compress_ms": compress_ms,
        "compress_peak_bytes": compress_peak,
    }


def _runs(bench: Bench, length: int) -> int:
    """Long clips are run once: a minute of work is its own average."""
    return bench.repeats if length <= ONCE_ABOVE_S else 1


def _time_and_peak(bench: Bench, length: int, work: Callable[[], Any]) -> tuple[float, int | None, Any]:
    """Median ms, the first run's peak memory, and what it returned."""
    times, peaks = [], []
    for _ in range(_runs(bench, length)):
        with peak_bytes(bench.device) as peak:
            bench.synchronize()
            start = time.perf_counter()
            result = work()
            bench.synchronize()
            times.append(1000 * (time.perf_counter() - start))
        peaks += peak
    return median(times), peaks[0] if peaks else None, result


def growth(rows: list[dict[str, Any]], name: str) -> float | None:
    """The power of the length with which a cost grows between the two longest clips: 1 is linear, 2 quadratic."""
    known = [(row["seconds"], row[name]) for row in rows if row[name]]
    if len(known) < 2:
        return None
    (before_s, before), (after_s, after) = known[-2:]
    return float(torch.tensor(after / before).log() / torch.tensor(after_s / before_s).log())


def markdown(result: dict[str, Any]) -> str:
    """One row per length, and with which power of the length each cost grows at the end."""
    columns = {
        "encode_ms": "encoders ms",
        "saliency_window_ms": "saliency within windows ms",
        "compress_ms": "compress ms",
        "saliency_clip_ms": "saliency over the clip ms",
    }
    memory = {"feature_bytes": "features MB", "encode_peak_bytes": "encoders' peak MB", "compress_peak_bytes": "compression's peak MB"}
    lines = [f"| clip | tokens | {' | '.join((*columns.values(), *memory.values()))} |", "| ---: " * 9 + "|"]
    for row in result["rows"]:
        times = ["–" if row[name] is None else f"{row[name]:,.1f}" for name in columns]
        sizes = ["–" if row[name] is None else f"{row[name] / 1e6:,.0f}" for name in memory]
        lines.append(f"| {row['seconds']:,} s | {row['tokens']:,} | {' | '.join((*times, *sizes))} |")
    powers = [growth(result["rows"], name) for name in (*columns, *memory)]
    lines.append(f"| grows with the power | | {' | '.join('–' if p is None else f'{p:.2f}' for p in powers)} |")
    return "\n".join(lines)
