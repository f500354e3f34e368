"""Time to the first token with everything in it: encoders, choosing, prefill; at the real models' shapes, weights drawn at random.

Every arm is billed what it needs: a method that chooses before encoding its glance at the pixels and its own, smaller encoding;
every other method the whole one, which is run once a round and billed to each of them. Beside the measured times stands what the
count of operations allows. Models, clip and decoding are those of prefill.py; the prompt is the clip alone.

Arms run in turn and in both directions. A short clip warms everything up; on a GPU a whole round does, since every length has
kernels of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..compressors import COMPRESSORS
from ..compressors.base import Compressor, Sight
from ..media import Clip
from ..model.encoders import EncodedClip, Encoder
from ..model.generate import LanguageModel
from ..model.loading import Parts
from ..model.qwen import encoder_shape_of, shape_of
from ..report.flops import encoder_flops, prefill_flops
from ..stream import TokenStream
from ..types import Sampling
from .compress import COLUMNS, ROWS, Bench
from .prefill import build, empty_stream, layout_of, noise, side_of, stream_from

FULL = "full"
WARM_S = 2  # a clip that warms up
PARTS_MS = ("encode_ms", "look_ms", "compress_ms", "prefill_ms", "first_token_ms")  # what a time to the first token consists of

Arm = tuple[str, float | None]  # method, share kept; FULL keeps all


@dataclass(frozen=True, eq=False)
class FirstTokenTimer:
    """One model; runs arms on clips, from frames and sound to the first token."""

    bench: Bench
    parts: Parts
    encoder: Encoder

    def round(self, clip: Clip, seconds: int, arms: list[Arm]) -> dict[Arm, dict[str, Any]]:
        """Times in ms, tokens read and share of the picture encoded, of one run of every arm."""
        whole = self.encoder.encode(clip)
        return {arm: self._run(whole, seconds, *arm) for arm in arms}

    @torch.inference_mode()
    def _run(self, whole: EncodedClip, seconds: int, method: str, retention: float | None) -> dict[str, Any]:
        encoded, look_ms = whole, 0.0
        kind = COMPRESSORS[method]
        if kind.chooses_before_encoding:
            look_ms, seen = self._timed(lambda: self._look(kind, whole, seconds, retention))
            encoded = self.encoder.encode_seen(whole, seen)
        stream = stream_from(encoded, self.encoder.processor, self.bench)
        compressor = _compressor(kind, retention, stream)
        compress_ms, prompt = self._timed(lambda: stream.prompt(compressor.compress(stream)))
        decoder = LanguageModel(self.parts, torch.empty(0, dtype=torch.int64), frozenset())
        prefill_ms, prefilled = self._timed(lambda: decoder.prefill(prompt))
        first_token_ms, _ = self._timed(lambda: next(decoder.decode(prefilled, Sampling(max_new_tokens=1))))
        scored = {"saliency": encoded.saliency_ms, "saliency_windowed": encoded.saliency_windowed_ms}
        return {
            "tokens": prompt.embeds.shape[0],
            "encoded": 1.0 if encoded.seen is None else float(encoded.seen.float().mean()),
            "encode_ms": encoded.encode_ms,
            "audio_encode_ms": encoded.audio_ms,
            "look_ms": look_ms,
            "compress_ms": compress_ms + sum(ms for name, ms in scored.items() if name in compressor.needs),
            "prefill_ms": prefill_ms,
            "first_token_ms": first_token_ms,
            "flops_encode": encoder_flops(encoder_shape_of(self.parts), encoded.grid, encoded.seen, stream.n_audio),
        }

    def _look(self, kind: type[Compressor], heard: EncodedClip, seconds: int, retention: float | None) -> Tensor:
        """(steps, n) bool what the method wants encoded; pixel statistics are made here, too."""
        layout = empty_stream(heard, self.encoder.processor, replace(self.bench, device=torch.device("cpu")), 0)
        mel = heard.log_mel
        layout = replace(layout, observers={"log_mel": lambda: (mel, 0.0)})
        pixels = self.encoder.processor.pooled(heard.clip.frames, *heard.grid[1:])
        return _compressor(kind, retention, layout).look(Sight(layout, pixels, heard.audio))

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        self.bench.synchronize()
        start = time.perf_counter()
        result = work()
        self.bench.synchronize()
        return (time.perf_counter() - start) * 1000, result


def _compressor(kind: type[Compressor], retention: float | None, stream: TokenStream) -> Compressor:
    return kind() if retention is None else kind.at_retention(retention, stream)


def measure(bench: Bench, shape: str, seconds: int, methods: list[str], shares: list[float], attention: str) -> dict[str, Any]:
    """One table: the full model and every method at every share, on one clip.

    Returns:
        {"shape", "seconds", "attention", "parameters", "rows": [...]}; rows hold the medians of PARTS_MS, their sum
        "ttft_encoded_ms", the sum without encoders "ttft_ms", "tokens", "encoded" (share of the picture), counted "flops_encode" and
        "flops_prefill", and how many times less than the full model each takes: "speedup" and "speedup_counted" with encoders,
        "speedup_without" and "speedup_counted_without" without, "encode_ratio" of the vision encoder alone.
    """
    parts = build(shape, bench, attention)
    layout = layout_of(parts.thinker.config)
    timer, side = FirstTokenTimer(bench, parts, Encoder(parts, layout, ROWS * COLUMNS)), side_of(layout)
    arms: list[Arm] = [(FULL, None), *((method, share) for share in shares for method in methods if method != FULL)]
    clip = noise(seconds, bench.seed, side)
    timer.round(noise(WARM_S, bench.seed, side), WARM_S, arms)
    if bench.device.type == "cuda":
        timer.round(clip, seconds, arms)
    rounds = [timer.round(clip, seconds, arms if turn % 2 else arms[::-1]) for turn in range(bench.repeats)]
    medians = {arm: {name: median(found[arm][name] for found in rounds) for name in rounds[0][arm]} for arm in arms}
    return {
        "shape": shape,
        "seconds": seconds,
        "attention": attention,
        "parameters": parts.thinker.num_parameters(),
        "rows": [_row(parts, arm, medians[arm], medians[arms[0]]) for arm in arms],
    }


def _row(parts: Parts, arm: Arm, own: dict[str, Any], full: dict[str, Any]) -> dict[str, Any]:
    shape = shape_of(parts)
    with_all = [sum(times[name] for name in PARTS_MS) for times in (full, own)]
    without = [total - times["encode_ms"] for total, times in zip(with_all, (full, own), strict=True)]
    reading = [prefill_flops(shape, int(times["tokens"])) for times in (full, own)]
    counted = [read + times["flops_encode"] for read, times in zip(reading, (full, own), strict=True)]
    looking = [times["encode_ms"] - times["audio_encode_ms"] for times in (full, own)]
    return {
        "method": arm[0],
        "retention": arm[1],
        **own,
        "ttft_ms": without[1],
        "ttft_encoded_ms": with_all[1],
        "flops_prefill": reading[1],
        "speedup": with_all[0] / with_all[1],
        "speedup_counted": counted[0] / counted[1],
        "speedup_without": without[0] / without[1],
        "speedup_counted_without": reading[0] / reading[1],
        "encode_ratio": looking[1] / looking[0],
    }


def title(result: dict[str, Any]) -> str:
    """What a table is about, in a line."""
    return (
        f"{result['shape']}, {result['seconds']} s: {result['parameters'] / 1e6:,.0f} million random parameters; "
        f"{result['attention']} attention."
    )


def markdown(result: dict[str, Any]) -> str:
    """The table as GitHub shows it."""
    lines = [
        "| arm | tokens | picture encoded | its time | encoders ms | looking ms | compress ms | prefill ms | first token after ms "
        "| speed-up | counted | without encoders | counted |",
        "| --- | " + "---: | " * 11 + "---: |",
    ]
    for row in result["rows"]:
        name = row["method"] if row["retention"] is None else f"{row['method']} at {row['retention']:.0%}"
        times = " | ".join(f"{row[key]:,.1f}" for key in ("encode_ms", "look_ms", "compress_ms", "prefill_ms", "ttft_encoded_ms"))
        speeds = " | ".join(f"{row[key]:.2f}x" for key in ("speedup", "speedup_counted", "speedup_without", "speedup_counted_without"))
        lines.append(f"| {name} | {row['tokens']:,.0f} | {row['encoded']:.1%} | {row['encode_ratio']:.1%} | {times} | {speeds} |")
    return "\n".join(lines)
