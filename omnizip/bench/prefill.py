"""Full and compressed prefill, first token and decode at the real models' shapes, with weights drawn at random.

Speed and memory do not depend on what weights hold, so nothing is downloaded: the thinker is built from its sizes, directly on
the device and in the precision asked for. What runs is the project's own path: encoders in batches, saliency, compressor, prefill
of the last position, decoding; beside it the stock forward, which scores every position of the prompt, so that what each
measure saves can be seen apart.

Arms run in turn and in both directions, after a round that is not counted. The prompt is the clip alone; a question adds some
dozens of tokens to every arm alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, WhisperFeatureExtractor

from ..compressors import COMPRESSORS
from ..media import Clip
from ..model.caching import cache_of, with_cache
from ..model.deepstack import deepstacked
from ..model.encoders import EncodedClip, Encoder
from ..model.families import family_of
from ..model.generate import LanguageModel, Prefilled
from ..model.loading import Parts
from ..model.processor import Processor
from ..model.qwen import shape_of
from ..report.flops import kv_cache_bytes, paper_flops, prefill_flops
from ..stream import Prompt, TokenStream
from ..types import Sampling
from .compress import COLUMNS, ROWS, Bench, peak_bytes
from .shapes import config_of

STOCK, FULL = "stock forward", "full"


def build(shape: str, bench: Bench, attention: str) -> Parts:
    """A thinker of random weights on the device; no copy in another place or precision is made."""
    torch.manual_seed(bench.seed)
    config = config_of(shape)
    with torch.device(bench.device):
        thinker = family_of(config).thinker._from_config(config, dtype=bench.dtype, attn_implementation=attention)
    return Parts.of(thinker.eval().requires_grad_(False))


def layout_of(config: Any) -> Processor:
    """What the encoders need to know; there is no tokenizer, since no text is read."""
    extractor = WhisperFeatureExtractor(feature_size=128, sampling_rate=16000, hop_length=160, chunk_length=300, n_fft=400)
    return Processor.sized(config, extractor)


def noise(seconds: int, seed: int, side: int = 28) -> Clip:
    """A clip of noise, two frames a second, whose pictures make 144 tokens a step of `side` pixels each, or as many of smaller ones."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (2 * seconds, side * ROWS, side * COLUMNS, 3), dtype=np.uint8)
    waveform = generator.standard_normal(16000 * seconds).astype(np.float32) / 10
    times = np.arange(len(frames)) / 2
    return Clip(Path("noise"), "0" * 16, frames, times, 2.0, waveform, float(seconds), side * COLUMNS, side * ROWS, False, False, ())


def side_of(layout: Processor) -> int:
    """Pixels that a token of a clip of noise is wide and high: a model's own, or more where they are small."""
    return max(28, layout.patch * layout.merge)


def empty_stream(encoded: EncodedClip, layout: Processor, bench: Bench, width: int) -> TokenStream:
    """A clip without text in the model's order of tokens, embeddings (L, width) zeros, its sound's saliency there."""
    heard = 0 if encoded.audio is None else encoded.audio.shape[0]
    media = layout.media_ids(encoded.grid, heard, encoded.second_per_step)
    ids = media[(media == layout.audio_id) | (media == layout.video_id)]  # without markers
    steps, rows, columns = encoded.grid
    return TokenStream.from_ids(
        ids.to(bench.device),
        torch.zeros(ids.numel(), width, dtype=bench.dtype, device=bench.device),
        audio_token_id=layout.audio_id,
        video_token_id=layout.video_id,
        grid_thw=(steps, 2 * rows, 2 * columns),
        audio_saliency=encoded.saliency.to(bench.device),
        positions_per_second=layout.family.audio_tokens_per_s,
    )


def stream_from(encoded: EncodedClip, layout: Processor, bench: Bench) -> TokenStream:
    """The encoders' output in the model's order of tokens, on the device."""
    stream = empty_stream(encoded, layout, bench, encoded.video.shape[1])
    seen = stream.video_index
    if encoded.seen is not None:
        seen = seen[encoded.seen.flatten().to(seen.device)]
    stream.embeds[seen] = encoded.video.to(stream.embeds)
    if encoded.audio is not None:
        stream.embeds[stream.audio_index] = encoded.audio.to(stream.embeds)
    windowed = torch.full((stream.n_tokens,), torch.nan, device=bench.device)
    windowed[stream.audio_index] = encoded.saliency_windowed.to(bench.device)
    deepstack = encoded.whole_deepstack(bench.device)
    return replace(stream, saliency_windowed=windowed, saliency_kind="attention", seen=encoded.seen, deepstack=deepstack)


@dataclass(frozen=True, eq=False)
class ArmTimer:
    """One model and one clip; runs arms and times them."""

    bench: Bench
    parts: Parts
    stream: TokenStream
    saliency_ms: float
    saliency_windowed_ms: float
    new_tokens: int

    def run(self, method: str, retention: float | None) -> dict[str, Any]:
        """Times in ms and bytes above weights and features, of one run of one arm."""
        bench, decoder = self.bench, LanguageModel(self.parts, torch.empty(0, dtype=torch.int64), frozenset())
        with peak_bytes(bench.device) as prefill_peak:
            compress_ms, prompt = self._timed(lambda: self._prompt(method, retention))
            read = self._stock if method == STOCK else decoder.prefill
            prefill_ms, prefilled = self._timed(lambda: read(prompt))
        kept = prompt.embeds.shape[0]
        tokens = decoder.decode(prefilled, Sampling(max_new_tokens=self.new_tokens + 1))
        with peak_bytes(bench.device) as decode_peak:
            first_ms, _ = self._timed(lambda: next(tokens))
            decode_ms, rest = self._timed(lambda: sum(1 for _ in tokens))
        return {
            "tokens": kept,
            "saliency_ms": self._saliency_ms(method, retention),
            "compress_ms": compress_ms,
            "prefill_ms": prefill_ms,
            "first_token_ms": first_ms,
            "decode_ms_per_token": decode_ms / max(1, rest),
            "prefill_peak_bytes": prefill_peak[0] if prefill_peak else None,
            "decode_peak_bytes": decode_peak[0] if decode_peak else None,
        }

    def _timed(self, work: Callable[[], Any]) -> tuple[float, Any]:
        self.bench.synchronize()
        start = time.perf_counter()
        result = work()
        self.bench.synchronize()
        return (time.perf_counter() - start) * 1000, result

    def _prompt(self, method: str, retention: float | None) -> Prompt:
        if retention is None:
            index = torch.arange(self.stream.n_tokens, device=self.bench.device)
            deeper = self.stream.deepstack
            pictures = None if deeper is None else self.stream.video_index
            return Prompt(self.stream.embeds, self.stream.positions, index, self.stream.n_tokens, deeper, pictures)
        return self.stream.prompt(COMPRESSORS[method].at_retention(retention, self.stream).compress(self.stream))

    def _saliency_ms(self, method: str, retention: float | None) -> float:
        needs = COMPRESSORS[method].at_retention(retention, self.stream).needs if retention is not None else ()
        return ("saliency" in needs) * self.saliency_ms + ("saliency_windowed" in needs) * self.saliency_windowed_ms

    @torch.inference_mode()
    def _stock(self, prompt: Prompt) -> Prefilled:
        """The thinker's own forward, with scores of every position."""
        with deepstacked(self.parts.language, prompt.deepstack, prompt.video_rows):
            output = self.parts.thinker(
                inputs_embeds=prompt.embeds[None],
                position_ids=prompt.positions[:, None],
                **with_cache(self.parts.thinker, DynamicCache(config=self.parts.language.config)),
            )
        return Prefilled(cache_of(self.parts.thinker, output), output.logits[0, -1].float(), prompt.next_position)


def measure(
    bench: Bench, shape: str, seconds: int, arms: list[tuple[str, float | None]], new_tokens: int, attention: str
) -> dict[str, Any]:
    """One table: every arm on one clip.

    Returns:
        {"shape", "seconds", "attention", "parameters", "weights_bytes", "encode_ms", "encode_peak_bytes", "rows": [...]}; rows hold
        the medians of `ArmTimer.run` with "speedup" = full prefill / (saliency + compress + prefill), "speedup_counted" what the
        truthful count of operations allows, "speedup_paper" by the paper's equation 9, and bytes of the cache.
    """
    parts = build(shape, bench, attention)
    layout = layout_of(parts.thinker.config)
    encoder, side = Encoder(parts, layout, ROWS * COLUMNS), side_of(layout)
    encoder.encode(noise(2, bench.seed, side))  # first use
    with peak_bytes(bench.device) as encode_peak:
        encoded = encoder.encode(noise(seconds, bench.seed, side))
    stream = stream_from(encoded, layout, bench)
    timer = ArmTimer(bench, parts, stream, encoded.saliency_ms, encoded.saliency_windowed_ms, new_tokens)
    runs: dict[tuple[str, float | None], list[dict[str, Any]]] = {arm: [] for arm in arms}
    for turn in range(bench.repeats + 1):
        for arm in arms if turn % 2 else arms[::-1]:
            result = timer.run(*arm)
            if turn:  # the first round warms up every length
                runs[arm].append(result)
    medians = {arm: {name: _median(run[name] for run in results) for name in results[0]} for arm, results in runs.items()}
    return {
        "shape": shape,
        "seconds": seconds,
        "attention": attention,
        "parameters": parts.thinker.num_parameters(),
        "weights_bytes": sum(weight.nbytes for weight in parts.thinker.parameters()),
        "encode_ms": encoded.encode_ms,
        "encode_peak_bytes": encode_peak[0] if encode_peak else None,
        "rows": [_row(parts, arm, times, medians[(FULL, None)]) for arm, times in medians.items()],
    }


def _median(values: Iterator[Any]) -> Any:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _row(parts: Parts, arm: tuple[str, float | None], times: dict[str, Any], full: dict[str, Any]) -> dict[str, Any]:
    shape, kept = shape_of(parts), int(times["tokens"])
    own = times["saliency_ms"] + times["compress_ms"] + times["prefill_ms"]
    flops, paper = ([count(shape, int(n)) for n in (full["tokens"], kept)] for count in (prefill_flops, paper_flops))
    stock = 2 * shape.width * shape.vocabulary * (kept - 1) if arm[0] == STOCK else 0  # scores of all positions but the last
    return {
        "method": arm[0],
        "retention": arm[1],
        **times,
        "tokens": kept,
        "ttft_ms": own + times["first_token_ms"],
        "flops": flops[1] + stock,
        "flops_paper": paper[1],
        "kv_cache_bytes": kv_cache_bytes(shape, kept),
        "speedup": full["prefill_ms"] / own,
        "speedup_counted": flops[0] / (flops[1] + stock),
        "speedup_paper": paper[0] / paper[1],
        "compression_share": (times["saliency_ms"] + times["compress_ms"]) / own,
    }


def title(result: dict[str, Any]) -> str:
    """What a table is about, in a line."""
    sizes = f"{result['parameters'] / 1e6:,.0f} million random parameters, {result['weights_bytes'] / 1e6:,.0f} MB"
    peak = "" if result["encode_peak_bytes"] is None else f", {result['encode_peak_bytes'] / 1e6:,.0f} MB above the weights"
    return (
        f"{result['shape']}, {result['seconds']} s: {sizes}; encoders {result['encode_ms']:,.0f} ms{peak}; {result['attention']} attention."
    )


def markdown(result: dict[str, Any]) -> str:
    """The table as GitHub shows it."""
    lines = [
        "| arm | tokens | saliency ms | compress ms | prefill ms | first token ms | decode ms/token | speed-up | counted | paper's count "
        "| peak at prefill MB | at decode MB |",
        "| --- | " + "---: | " * 10 + "---: |",
    ]
    for row in result["rows"]:
        name = row["method"] if row["retention"] is None else f"{row['method']} at {row['retention']:.0%}"
        times = " | ".join(
            f"{row[key]:.1f}" for key in ("saliency_ms", "compress_ms", "prefill_ms", "first_token_ms", "decode_ms_per_token")
        )
        speeds = " | ".join(f"{row[key]:.2f}x" for key in ("speedup", "speedup_counted", "speedup_paper"))
        peaks = " | ".join("–" if row[key] is None else f"{row[key] / 1e6:,.0f}" for key in ("prefill_peak_bytes", "decode_peak_bytes"))
        lines.append(f"| {name} | {row['tokens']:,} | {times} | {speeds} | {peaks} |")
    return "\n".join(lines)
