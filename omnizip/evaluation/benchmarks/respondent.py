"""One method's answer to one question about an encoded clip, with what it read and what each part took.

The steps are the engine's (`engine.comparison`) without what a page needs besides: nothing is warmed up per question, nothing is
kept for a further one, and nothing is drawn. A clip is encoded once for all methods; one that chooses before encoding has an
encoding of its own for the clip, and is billed that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from ...engine.comparison import ms_since, saliency_cost_ms
from ...engine.events import Arm
from ...model.encoders import EncodedClip
from ...model.qwen import QwenOmni
from ...report.decision import CompressionRecord
from ...stream import TokenStream
from ...types import Sampling, Turn


@dataclass(frozen=True, eq=False)
class Reply:
    """What came of one question."""

    text: str
    ids: tuple[int, ...]
    cut_off: bool  # it ended at the limit of tokens
    decision: CompressionRecord
    times_ms: dict[str, float | None]
    log_likelihood: float | None  # mean per token of the ids that were given to be scored


@dataclass(eq=False)
class Respondent:
    """A loaded model with one clip before it."""

    model: QwenOmni
    whole: EncodedClip
    sampling: Sampling
    system: str
    _own: dict[str, tuple[EncodedClip, float]] = field(default_factory=dict)  # encodings of methods that chose, by arm
    _stream: tuple[tuple[int, str], TokenStream] | None = None  # the last one made, which the next method mostly reads too

    def reply(self, key: str, arm: Arm, question: str, scored: Sequence[int] = ()) -> Reply:
        """Answer `question` as `arm` does. Raises what the method or the model raises.

        Args:
            key: names the arm among those asked about this clip.
            scored: ids whose likelihood as the answer is wanted.
        """
        model = self.model
        encoded, look_ms = self._encoding(key, arm)
        stream = self._prompt(encoded, question)
        compressor = arm.compressor(stream, self.sampling.seed)
        for need in compressor.needs & stream.observers.keys():
            stream.observed(need)  # its cost is counted below, as the saliency it is
        model.synchronize()
        start = perf_counter()
        compression = compressor.compress(stream)
        prompt = stream.prompt(compression)
        model.synchronize()
        choose_ms = ms_since(start)
        start = perf_counter()
        prefilled = model.prefill(prompt, compressor, stream)
        prefill_ms = ms_since(start)
        start = perf_counter()
        tokens = model.decode(prefilled, self.sampling)
        ids, first_ms = [], None
        for token in tokens:
            ids.append(token)
            first_ms = ms_since(start) if first_ms is None else first_ms
        first_ms = ms_since(start) if first_ms is None else first_ms
        decode_ms = ms_since(start) - first_ms
        agreement = model.score(prefilled, scored) if len(scored) else None
        layers = ()
        if prefilled.kept is not None:
            compression, layers = prefilled.kept.applied_to(compression, prompt.index), prefilled.kept.layers
        compress_ms = look_ms + saliency_cost_ms(encoded, compressor, stream) + choose_ms
        times: dict[str, float | None] = {
            "encode": encoded.encode_ms,
            "compress": compress_ms,
            "prefill": prefill_ms,
            "first_token": first_ms,
            "to_first_token": encoded.encode_ms + compress_ms + prefill_ms + first_ms,
            "decode": decode_ms,
        }
        decision = CompressionRecord.of(compression, self.whole.clip.duration_s, compressor.needs, layers, arm.retention)
        text, cut_off = model.text(ids), len(ids) >= self.sampling.max_new_tokens
        return Reply(text, tuple(ids), cut_off, decision, times, None if agreement is None else agreement.mean_log_likelihood)

    def _encoding(self, key: str, arm: Arm) -> tuple[EncodedClip, float]:
        if not arm.method_class().chooses_before_encoding:
            return self.whole, 0.0
        if key not in self._own:
            seen, look_ms = self.model.look(self.whole, arm.compressor(self.model.sight(self.whole).layout, self.sampling.seed))
            self._own[key] = self.model.encoder.encode_seen(self.whole, seen), look_ms
        return self._own[key]

    def _prompt(self, encoded: EncodedClip, question: str) -> TokenStream:
        made = id(encoded), question
        if self._stream is None or self._stream[0] != made:
            self._stream = None  # freed before another is made
            self._stream = made, self.model.stream(encoded, [Turn(question)], system=self.system)
        return self._stream[1]


def plain(reply: Reply) -> dict[str, Any]:
    """A reply as JSON holds it."""
    return {
        "text": reply.text,
        **({"cut_off": True} if reply.cut_off else {}),
        "tokens": reply.decision.tokens,
        "retained": reply.decision.retained,
        "ms": {name: None if ms is None else round(ms, 2) for name, ms in reply.times_ms.items()},
        **({"notes": list(reply.decision.notes)} if reply.decision.notes else {}),
        **({} if reply.log_likelihood is None else {"log_likelihood": reply.log_likelihood}),
    }
