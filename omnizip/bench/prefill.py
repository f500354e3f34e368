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
from transformers import DynamicCache, Qwen2_5OmniThinkerConfig, WhisperFeatureExtractor
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker

from ..compressors import COMPRESSORS
from ..media import Clip
from ..model.caching import cache_of, with_cache
from ..model.encoders import EncodedClip, Encoder
from ..model.generate import LanguageModel, Prefilled
from ..model.loading import Parts, embedded
from ..model.processor import Processor
from ..model.qwen import shape_of
from ..report.flops import kv_cache_bytes, paper_flops, prefill_flops
from ..stream import Prompt, TokenStream
from ..types import Sampling
from .compress import COLUMNS, ROWS, Bench, peak_bytes, stream_of

VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}  # of the released checkpoints, as are the next
TEXT = {
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4},
    "tiny": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
}
VOCABULARY = {"3b": 151936, "7b": 152064, "tiny": 1000}
ROPE_SECTIONS = {"tiny": [2, 3, 3]}  # of a head's width; the real ones are 16, 24, 24
TINY_AUDIO = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 96}
TINY_VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 4, "fullatt_block_indexes": [1]}
SHAPES = ("3b", "7b", "nano", "tiny")
STOCK, FULL = "stock forward", "full"


def config_of(shape: str) -> Qwen2_5OmniThinkerConfig:
    """The sizes of a released thinker, of the embedded model ("nano") or of one for tests ("tiny")."""
    if shape == "nano":
        return Qwen2_5OmniThinkerConfig.from_pretrained(embedded())
    tiny, width = shape == "tiny", TEXT[shape]["hidden_size"]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": ROPE_SECTIONS.get(shape, [16, 24, 24])}
    return Qwen2_5OmniThinkerConfig(
        text_config={**TEXT[shape], "vocab_size": VOCABULARY[shape], "rope_parameters": rope, "tie_word_embeddings": False},
        audio_config={**(TINY_AUDIO if tiny else {}), "output_dim": width},
        vision_config={**(TINY_VISION if tiny else VISION), "out_hidden_size": width},
        tie_word_embeddings=False,
        **({"audio_token_index": 1, "image_token_index": 2, "video_token_index": 3} if tiny else {}),
    )


def build(shape: str, bench: Bench, attention: str) -> Parts:
    """A thinker of random weights on the device; no copy in another place or precision is made."""
    torch.manual_seed(bench.seed)
    with torch.device(bench.device):
        thinker = Thinker._from_config(config_of(shape), dtype=bench.dtype, attn_implementation=attention)
    return Parts.of(thinker.eval().requires_grad_(False))


def layout_of(config: Qwen2_5OmniThinkerConfig) -> Processor:
    """What the encoders need to know; there is no tokenizer, since no text is read."""
    extractor = WhisperFeatureExtractor(feature_size=128, sampling_rate=16000, hop_length=160, chunk_length=300, n_fft=400)
    return Processor.sized(config, extractor)


def noise(seconds: int, seed: int) -> Clip:
    """A clip of noise, two frames a second, whose pictures make 144 tokens a step."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(0, 256, (2 * seconds, 28 * ROWS, 28 * COLUMNS, 3), dtype=np.uint8)
    waveform = generator.standard_normal(16000 * seconds).astype(np.float32) / 10
    times = np.arange(len(frames)) / 2
    return Clip(Path("noise"), "0" * 16, frames, times, 2.0, waveform, float(seconds), 28 * COLUMNS, 28 * ROWS, False, False, ())


def stream_from(encoded: EncodedClip, seconds: int, bench: Bench) -> TokenStream:
    """The encoders' output in the model's order of tokens, on the device."""
    stream = stream_of(seconds, bench, encoded.video.shape[1])
    seen = stream.video_index
    if encoded.seen is not None:
        stream.embeds[seen] = 0
        seen = seen[encoded.seen.flatten().to(seen.device)]
    stream.embeds[seen] = encoded.video.to(stream.embeds)
    stream.embeds[stream.audio_index] = encoded.audio.to(stream.embeds)
    saliency, windowed = (torch.full((stream.n_tokens,), torch.nan, device=bench.device) for _ in range(2))
    saliency[stream.audio_index] = encoded.saliency.to(bench.device)
    windowed[stream.audio_index] = encoded.saliency_windowed.to(bench.device)
    return replace(stream, saliency=saliency, saliency_windowed=windowed, saliency_kind="attention", seen=encoded.seen)


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
            return Prompt(self.stream.embeds, self.stream.positions, index, self.stream.n_tokens)
        return self.stream.prompt(COMPRESSORS[method].at_retention(retention, self.stream).compress(self.stream))

    def _saliency_ms(self, method: str, retention: float | None) -> float:
        needs = COMPRESSORS[method].at_retention(retention, self.stream).needs if retention is not None else ()
        return ("saliency" in needs) * self.saliency_ms + ("saliency_windowed" in needs) * self.saliency_windowed_ms

    @torch.inference_mode()
    def _stock(self, prompt: Prompt) -> Prefilled:
        """The thinker's own forward, with scores of every position."""
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
    encoder = Encoder(parts, layout_of(parts.thinker.config), ROWS * COLUMNS)
    encoder.encode(noise(2, bench.seed))  # first use
    with peak_bytes(bench.device) as encode_peak:
        encoded = encoder.encode(noise(seconds, bench.seed))
    stream = stream_from(encoded, seconds, bench)
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
