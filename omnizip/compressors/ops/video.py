"""What several methods compute over the video tokens, streamed in blocks so that memory does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...stream import Compression, Modality, Reason, TokenStream
from ...windows import block_bytes
from .similarity import echo


def step_rows(stream: TokenStream) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of steps: which (slice) and their embeddings (s, n, D) float32."""
    n, total = stream.tokens_per_step, stream.grid[0]
    size = max(1, block_bytes(stream.embeds.device) // max(1, n * stream.embeds.shape[1] * 4))
    for start in range(0, total, size):
        block = slice(start, min(total, start + size))
        index = stream.video_index[block.start * n : block.stop * n]
        yield block, stream.embeds[index].float().view(-1, n, stream.embeds.shape[1])


def echo_of_previous(stream: TokenStream) -> Tensor:
    """(steps, n) cosine of every video token to the same place of the step before; -inf in the first step."""
    cosine = torch.full((stream.grid[0], stream.tokens_per_step), -torch.inf, device=stream.embeds.device)
    last = None
    for block, x in step_rows(stream):
        before = x[:-1] if last is None else torch.cat([last, x[:-1]])
        cosine[block][x.shape[0] - before.shape[0] :] = echo(x[x.shape[0] - before.shape[0] :], before)
        last = x[-1:].clone()
    return cosine


def keep_video(stream: TokenStream, kept: Tensor, reason: Reason, notes: tuple[str, ...] = ()) -> Compression:
    """A decision that keeps all sound and the video that `kept` (steps, n) marks, for `reason`."""
    why = torch.zeros_like(stream.modality)
    why[stream.modality == Modality.AUDIO] = Reason.METHOD_SCORE
    why[stream.video_index] = torch.where(kept.flatten(), reason, Reason.DROPPED).to(why.dtype)
    return Compression.of(stream, why, notes=tuple(note for note in notes if note))


def video_saliency(stream: TokenStream) -> tuple[Tensor, tuple[str, ...]]:
    """(steps, n) attention each video token receives in its encoder, and what has to be said of it.

    A stream made without a model has none; then it is the norm of the embeddings.
    """
    observed, notes = stream.observed("saliency_video"), ()
    if observed is None:
        observed = stream.embeds[stream.video_index].float().norm(dim=-1)
        notes = ("No attention was given, so video is ranked by the norm of its embeddings.",) if stream.n_video else ()
    return observed.view(stream.grid[0], -1) if stream.n_video else observed.view(0, 0), notes
