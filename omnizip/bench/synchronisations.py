"""How often each method makes the host wait for the GPU: while it compresses, gathers, reads and answers.

On a CUDA machine torch's own debug mode counts; elsewhere a GPU is emulated, which counts by the same rules (emulated_gpu.py).
Every wait is a pause in which a GPU runs dry, so what matters is that their number does not grow with the clip or the answer.
The model has random weights: what is waited for does not depend on them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..compressors import COMPRESSORS
from ..compressors.layer_pruner import LayerPruner, Rows
from ..model.generate import LanguageModel
from ..model.joint_attention import joint_attention
from ..model.loading import Parts
from ..stream import Modality, TokenStream
from ..types import Sampling
from .compress import Bench, stream_of, synchronisations
from .emulated_gpu import emulated
from .prefill import build

SHAPE = "nano"
QUESTION = 8  # rows of text
Count = Callable[[Callable[[], Any]], int]
BY_TORCH, BY_EMULATION = "torch.cuda.set_sync_debug_mode", "an emulated GPU"
DRAWN = {"temperature": 0.8, "top_p": 0.9}


@contextmanager
def _model(bench: Bench, seconds: int) -> Iterator[tuple[Parts, TokenStream, Count]]:
    """A model and a clip on a GPU, real or emulated, and what counts the waits of some work."""
    parts = build(SHAPE, bench, "sdpa")
    stream = _with_text(stream_of(seconds, bench, parts.language.config.hidden_size))
    if bench.device.type == "cuda":
        yield parts, stream, lambda work: synchronisations(bench, work) or 0
        return
    with emulated() as gpus:
        moved = Parts.of(gpus.put(parts.thinker))
        fields = {f.name: gpus.put(v) for f in dataclasses.fields(stream) if isinstance(v := getattr(stream, f.name), Tensor)}

        def count(work: Callable[[], Any]) -> int:
            before = len(gpus.waits)
            work()
            return len(gpus.waits) - before

        yield moved, dataclasses.replace(stream, **fields), count


def _with_text(clip: TokenStream) -> TokenStream:
    """The clip with a question behind it, whose last row methods inside the model look from."""
    n, device = clip.n_tokens, clip.embeds.device
    behind = torch.arange(n, n + QUESTION, device=device)
    unknown = torch.full((QUESTION,), torch.nan, device=device)
    saliency = torch.cat([clip.saliency, unknown]) if clip.saliency is not None else None
    return TokenStream(
        embeds=torch.cat([clip.embeds, clip.embeds[:QUESTION].flip(0)]),
        positions=torch.cat([clip.positions, behind.expand(3, -1)], dim=1),
        modality=torch.cat([clip.modality, torch.full_like(behind, Modality.TEXT).to(clip.modality)]),
        window=torch.cat([clip.window, torch.full_like(behind, -1)]),
        grid=clip.grid,
        saliency=saliency,
        saliency_windowed=saliency,
    )


def measure(bench: Bench, seconds: int, methods: list[str], retention: float, new_tokens: int) -> dict[str, Any]:
    """One row per method.

    Returns:
        {"counted_by", "shape", "seconds", "rows": [{"method", "compress", "prompt", "prefill", "cuts", "token", "token_drawn"}]};
        waits of each, "cuts" the layers that prune, and of a token the waits of all of an answer's over their number.
    """
    rows = []
    with _model(bench, seconds) as (parts, stream, count):
        decoder = LanguageModel(parts, torch.empty(0, dtype=torch.int64), frozenset())
        decoder.prefill(stream.prompt(COMPRESSORS["full"]().compress(stream)))  # first use
        for name in methods:
            rows.append(_row(name, retention, decoder, dataclasses.replace(stream), count, new_tokens))
    counted_by = BY_TORCH if bench.device.type == "cuda" else BY_EMULATION
    return {"counted_by": counted_by, "shape": SHAPE, "seconds": seconds, "rows": rows}


def _row(name: str, retention: float, decoder: LanguageModel, stream: TokenStream, count: Count, new_tokens: int) -> dict[str, Any]:
    """The waits of one method on a stream that no method has looked at yet."""
    observers = {"saliency_joint": lambda: joint_attention(decoder.parts, stream)}
    stream = dataclasses.replace(stream, observers=observers)
    kind, sized = COMPRESSORS[name], dataclasses.replace(stream)  # rates follow from counts, which are asked of another copy
    method = kind.at_retention(retention, sized) if name != "full" else kind()
    media, layers = sized.n_audio + sized.n_video, len(decoder.parts.language.layers)
    made: dict[str, Any] = {}

    def keep(what: str, value: Any) -> None:
        made[what] = value

    compress = count(lambda: keep("compression", method.compress(stream)))
    prompt = count(lambda: keep("prompt", stream.prompt(made["compression"])))
    cuts = 0
    pruner: tuple[Any, ...] = ()
    if isinstance(method, LayerPruner):
        rows = Rows.of(stream, made["prompt"].index)
        cuts = len({cut.layer for cut in method.cuts(layers, rows.media.numel() / media)})
        pruner = (method, Rows.of(stream, made["prompt"].index), media)
    prefill = count(lambda: keep("prefilled", decoder.prefill(made["prompt"], *pruner)))

    def waits_a_token(**sampling: Any) -> float:
        prefilled = made["prefilled"] if not sampling else decoder.prefill(made["prompt"], *pruner)
        wanted = Sampling(max_new_tokens=new_tokens, **sampling)
        return count(lambda: keep("ids", list(decoder.decode(prefilled, wanted)))) / max(1, len(made["ids"]))

    found = {"method": name, "compress": compress, "prompt": prompt, "prefill": prefill, "cuts": cuts}
    return {**found, "token": waits_a_token(), "token_drawn": waits_a_token(**DRAWN)}


def markdown(result: dict[str, Any]) -> str:
    """The table as GitHub shows it."""
    head = ("method", "compress", "gather the prompt", "read it", "layers that prune", "a token", "a token, drawn")
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for row in result["rows"]:
        counts = " | ".join(str(row[name]) for name in ("compress", "prompt", "prefill", "cuts"))
        lines.append(f"| {row['method']} | {counts} | {row['token']:.2g} | {row['token_drawn']:.2g} |")
    return "\n".join(lines)
