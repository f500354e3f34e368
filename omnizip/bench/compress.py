"""The compressor alone: how long each stage takes over clip length, beside a floor and one matrix product of the same run.

Streams have the shape of Qwen2.5-Omni-7B (width 3584, 144 tokens a step, 25 audio tokens a second) and random values: the
cost does not depend on them. The floor is the time this machine needs, at the speeds it reaches in this run, to read every
video embedding once and to multiply what has to be multiplied (density peaks, change, audio to picture).

Whole-clip saliency is quadratic in the clip's length by definition: it is measured up to ten minutes and extrapolated
beyond, and marked so.
"""

from __future__ import annotations

import ctypes
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..compressors import COMPRESSORS
from ..compressors.base import Compressor
from ..compressors.omnizip import OmniZip
from ..model.saliency import attention_received, attention_received_windowed
from ..stream import TokenStream

WIDTH = 3584
ROWS, COLUMNS = 9, 16  # 144 tokens a step
AUDIO_HEADS, AUDIO_HEAD_DIM, FRAMES_PER_SECOND, WINDOW_FRAMES = 20, 64, 50, 100
MEASURED_UP_TO_S = 600  # what is quadratic, unless `quadratic_s` says otherwise
AUDIO_ID, VIDEO_ID = 1, 2


@dataclass(frozen=True)
class Bench:
    """How to measure."""

    device: torch.device
    dtype: torch.dtype
    repeats: int = 5
    seed: int = 0

    def median_ms(self, work: Callable[[], Any]) -> float:
        """Median of `repeats` runs after one to warm up, the device synchronised around each."""
        return self.medians_ms(work)[0]

    def medians_ms(self, *works: Callable[[], Any]) -> list[float]:
        """Medians of several, run in turn, so that what else the machine does hits all alike."""
        times: list[list[float]] = [[] for _ in works]
        for _ in range(self.repeats + 1):
            for work, taken in zip(works, times, strict=True):
                self.synchronize()
                start = time.perf_counter()
                work()
                self.synchronize()
                taken.append((time.perf_counter() - start) * 1000)
        return [median(taken[1:]) for taken in times]

    def synchronize(self) -> None:
        """Synchronise with the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def stream_of(seconds: int, bench: Bench, width: int = WIDTH, rows: int = ROWS) -> TokenStream:
    """A clip of random embeddings (L, width) in the token layout of the model."""
    generator = torch.Generator(bench.device).manual_seed(bench.seed)
    steps, per_step = seconds, rows * COLUMNS
    windows = [torch.full((min(2, steps - w) * per_step,), VIDEO_ID) for w in range(0, steps, 2)]
    sound = [torch.full((25 * min(2, steps - w),), AUDIO_ID) for w in range(0, steps, 2)]
    ids = torch.cat([part for pair in zip(windows, sound, strict=True) for part in pair])
    embeds = torch.empty(ids.numel(), width, dtype=bench.dtype, device=bench.device)
    for block in embeds.split(65536):  # without a float32 copy of an hour
        block.copy_(torch.randn(block.shape, generator=generator, device=bench.device, dtype=torch.float32))
    saliency = torch.rand(25 * seconds, generator=generator, device=bench.device)
    return TokenStream.from_ids(
        ids,
        embeds,
        audio_token_id=AUDIO_ID,
        video_token_id=VIDEO_ID,
        grid_thw=(steps, 2 * rows, 2 * COLUMNS),
        audio_saliency=saliency,
    )


def product(bench: Bench) -> Callable[[], Tensor]:
    """The yardstick: one float32 product of 1024 x 3584 by 3584 x 7680."""
    a, b = (torch.randn(shape, device=bench.device) for shape in ((1024, WIDTH), (WIDTH, 7680)))
    return lambda: a @ b


def speeds(bench: Bench) -> dict[str, float]:
    """What this machine reaches now: bytes read per ms, multiply-adds per ms in float32, and the reference product in ms."""
    product_ms = bench.median_ms(product(bench))
    memory = torch.randn(64 << 20, device=bench.device)
    return {
        "product_ms": product_ms,
        "multiply_adds_per_ms": 1024 * WIDTH * 7680 / product_ms,
        "bytes_read_per_ms": memory.numel() * 4 / bench.median_ms(lambda: memory.sum()),
    }


def floor_ms(stream: TokenStream, method: Compressor, speed: dict[str, float]) -> float | None:
    """The least time the default method's operations and bytes take here; None for other methods, whose needs differ."""
    if type(method) is not OmniZip:
        return None
    steps, n, width = stream.grid[0], stream.tokens_per_step, stream.embeds.shape[1]
    first = (steps + 1) // 2
    rest = stream.n_audio * (method.rho_audio - method.anchor_ratio)
    multiply_adds = first * n * n * width + (steps - first) * n * width + rest * 2 * n * width
    read = stream.n_video * width * stream.embeds.element_size()
    return multiply_adds / speed["multiply_adds_per_ms"] + read / speed["bytes_read_per_ms"]


def stages_of(method: Compressor, stream: TokenStream, bench: Bench) -> dict[str, float]:
    """Median ms of each stage of the default method, by name; empty for other methods."""
    if type(method) is not OmniZip:
        return {}
    runs: list[dict[str, float]] = []

    def run() -> None:
        marks: dict[str, float] = {}
        last = time.perf_counter()

        def on_stage(name: str) -> None:
            nonlocal last
            bench.synchronize()
            now = time.perf_counter()
            marks[name] = (now - last) * 1000
            last = now

        method.compress(stream, on_stage)
        runs.append(marks)

    for _ in range(bench.repeats + 1):
        run()
    return {name: median(marks[name] for marks in runs[1:]) for name in runs[0]}


def saliency_ms(seconds: int, scope: str, bench: Bench) -> float:
    """Median ms of the saliency of `seconds` of sound at the 7B model's audio sizes."""
    frames = seconds * FRAMES_PER_SECOND
    generator = torch.Generator(bench.device).manual_seed(bench.seed)
    shape = (AUDIO_HEADS, frames, AUDIO_HEAD_DIM)
    queries, keys = (torch.randn(shape, generator=generator, device=bench.device).to(bench.dtype) for _ in range(2))
    if scope == "window":
        return bench.median_ms(lambda: attention_received_windowed(queries, keys, WINDOW_FRAMES))
    return bench.median_ms(lambda: attention_received(queries, keys))


@contextmanager
def peak_bytes(device: torch.device) -> Iterator[list[int]]:
    """Collect the peak of memory above what was in use at the start; the list stays empty where it cannot be read."""
    found: list[int] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield found
        found.append(torch.cuda.max_memory_allocated(device) - before)
        return
    before = _resident_bytes("VmRSS") if _reset_peak() else None
    yield found
    if before is not None:
        found.append(max(0, _resident_bytes("VmHWM") - before))


def _reset_peak() -> bool:
    with suppress(OSError, AttributeError):  # glibc: give back what is free, else the next peak would hide in it
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # Linux: 5 resets the peak of resident memory
        file.write("5")
        return True
    return False


def _resident_bytes(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def synchronisations(bench: Bench, work: Callable[[], Any]) -> int | None:
    """How often `work` waits for the GPU, as torch's own debug mode counts; None elsewhere, where nothing waits."""
    if bench.device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)


def measure(
    bench: Bench,
    seconds: list[int],
    methods: list[str],
    retention: float,
    rows_per_step: int = ROWS,
    quadratic_s: int = MEASURED_UP_TO_S,
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Rows of one table, every clip length by every method, with the speeds of the machine in the same run.

    Returns:
        {"speeds": {...}, "rows": [{"seconds", "tokens", "method", "parameters", "compress_ms", "stages_ms", "saliency_ms",
        "saliency_extrapolated", "floor_ms", "product_ms", "products", "peak_bytes", "synchronisations"}]};
        products = compress_ms over product_ms, the reference product timed in turn with it. A step has rows_per_step x 16 tokens.
    """
    speed, yardstick = speeds(bench), product(bench)
    rows = []
    for length in seconds:
        stream = stream_of(length, bench, rows=rows_per_step)
        for name in methods:
            if name == "omnizip-official" and length > quadratic_s:
                continue
            method = COMPRESSORS[name].at_retention(retention, stream)
            with peak_bytes(bench.device) as peak:
                method.compress(stream)
            compress_ms, product_ms = bench.medians_ms(partial(method.compress, stream), yardstick)
            saliency, extrapolated = _saliency(length, method, bench, quadratic_s)
            row = {
                "seconds": length,
                "tokens": stream.n_audio + stream.n_video,
                "method": name,
                "parameters": method.parameters,
                "compress_ms": compress_ms,
                "stages_ms": stages_of(method, stream, bench),
                "saliency_ms": saliency,
                "saliency_extrapolated": extrapolated,
                "floor_ms": floor_ms(stream, method, speed),
                "product_ms": product_ms,
                "products": compress_ms / product_ms,
                "peak_bytes": peak[0] if peak else None,
                "synchronisations": synchronisations(bench, partial(method.compress, stream)),
            }
            rows.append(row)
            on_row(row)
    return {"speeds": speed, "rows": rows}


def _saliency(length: int, method: Compressor, bench: Bench, up_to: int) -> tuple[float | None, bool]:
    if "saliency_windowed" in method.needs:
        return saliency_ms(length, "window", bench), False
    if "saliency" not in method.needs:
        return None, False
    measured = min(length, up_to)
    return saliency_ms(measured, "clip", bench) * (length / measured) ** 2, length > measured


def markdown(result: dict[str, Any]) -> str:
    """The table as GitHub shows it."""
    lines = [
        "| clip | tokens | method | compress ms | audio / budget / video / merging ms | saliency ms | floor ms | products | peak MB |",
        "| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        stages = " / ".join(f"{row['stages_ms'][s]:.1f}" for s in ("audio", "budget", "video", "merging")) if row["stages_ms"] else "–"
        saliency = (
            "–" if row["saliency_ms"] is None else f"{row['saliency_ms']:.1f}" + (" (extrapolated)" if row["saliency_extrapolated"] else "")
        )
        floor = "–" if row["floor_ms"] is None else f"{row['floor_ms']:.1f}"
        peak = "–" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}"
        lines.append(
            f"| {row['seconds']} s | {row['tokens']:,} | {row['method']} | {row['compress_ms']:.1f} | {stages} | {saliency} "
            f"| {floor} | {row['products']:.2f} | {peak} |"
        )
    return "\n".join(lines)
