"""Encodes a clip with both encoders of a thinker, and scores how much attention its audio and video tokens receive there.

The encoders are called as they are. Both work within bounds of their own (a step of video, some seconds of sound), so a clip
is encoded in batches that bound memory and give what all at once would. A hook, gone afterwards, reads what the last audio
layer attends with; queries and keys are projected from that once more, so no attention backend has to hand out its weights.

What the picture receives is observed only when a method asks, on a second pass over the frames. What is billed is the scoring,
as for sound; the second pass is the price of not knowing beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ..media import Clip
from ..media.frame_buffer import FrameBuffer
from .block_attention import batched_blocks
from .captured_input import captured_input
from .loading import Parts
from .processor import Processor
from .saliency import attention_received, attention_received_windowed, per_token

PATCHES_PER_BATCH = 8192  # 16 steps of 128 tokens
SPARSEST = 1 / 8  # share of the groups below which a batch of a subset holds fewer patches, since its frames need room, too
MEL_PER_BATCH = 6000  # frames, a minute of sound


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """The features and saliency of a clip: all that does not depend on the question. On the CPU; A audio, V video tokens."""

    clip: Clip
    audio: Tensor | None  # (A, D); None without sound
    video: Tensor  # (V, D); of the tokens that `seen` marks, (K, D), where not all were encoded
    grid: tuple[int, int, int]  # steps, rows, columns of video tokens
    second_per_step: float  # as sampled
    saliency: Tensor  # (A,) float32, softmax over the whole clip
    saliency_windowed: Tensor  # (A,) float32, softmax within the encoder's blocks
    saliency_ms: float  # what each of the two took, not part of encode_ms
    saliency_windowed_ms: float
    encode_ms: float  # both encoders, with the preparation of their input
    saliency_kind: str = "attention"  # or "uniform": a silent track has nothing to attend to
    audio_ms: float = 0.0  # the part of encode_ms that the sound took
    log_mel: Tensor | None = None  # (A, bins) float32 log-mel frames, averaged over each audio token's
    seen: Tensor | None = None  # (steps, rows * columns) bool, which video tokens were encoded; None: all
    deepstack: Tensor | None = None  # (layers, V, D) what the vision encoder has for deeper layers, of the same tokens as `video`

    def whole_deepstack(self, device: torch.device) -> Tensor | None:
        """(layers, V, D) deepstack rows of all video tokens on `device`, zeros where nothing was encoded; None in models without them."""
        rows = self.deepstack
        if rows is None or self.seen is None:
            return rows if rows is None else rows.to(device)
        whole = rows.new_zeros(rows.shape[0], self.seen.numel(), rows.shape[2])
        whole[:, self.seen.flatten()] = rows
        return whole.to(device)


@dataclass(frozen=True, eq=False)
class Ahead:
    """The first steps of a clip, encoded while later ones were still being decoded."""

    made: tuple[Tensor, ...]  # (V', D * (1 + layers)) each, whole batches
    spent_ms: float  # encoding, waiting for frames apart
    steps: int = 0


@dataclass(frozen=True, eq=False)
class Encoder:
    """Both encoders of a thinker."""

    parts: Parts
    processor: Processor
    tokens_per_step: int  # at most
    _video_saliency: WeakKeyDictionary[EncodedClip, tuple[Tensor, float]] = field(default_factory=WeakKeyDictionary, repr=False)

    @torch.inference_mode()
    def encode(self, clip: Clip, on_progress: Callable[[float], None] | None = None, ahead: Ahead | None = None) -> EncodedClip:
        """Run both encoders over a clip, in batches, and score its sound. `on_progress` is called with the fraction done.

        Args:
            ahead: what `encode_ahead` made of the clip's first steps; they are not encoded again.
        """
        report = on_progress or (lambda fraction: None)
        ahead = ahead or Ahead((), 0.0)
        started = self._now()
        grid = self._grid(clip.frames)
        made = torch.cat([*ahead.made, *self._encode_video(clip.frames, grid, lambda part: report(0.8 * part), ahead.steps)])
        video_ms = 1000 * (self._now() - started) + ahead.spent_ms
        heard = self.listen(clip, lambda part: report(0.8 + 0.2 * part))
        report(1.0)
        video, deepstack = self._apart(made)
        return replace(heard, video=video, deepstack=deepstack, seen=None, encode_ms=video_ms + heard.audio_ms)

    @torch.inference_mode()
    def listen(self, clip: Clip, on_progress: Callable[[float], None] | None = None) -> EncodedClip:
        """Encode the sound of a clip and score it; nothing of its picture is encoded yet. `encode_ms` is that of the sound."""
        started = self._now()
        steps, rows, columns = self._grid(clip.frames)
        mel = self._log_mel(clip)
        with captured_input(self.parts.last_audio_attention) as hidden:
            audio = None if mel is None else self._encode_audio(mel, on_progress or (lambda part: None))
        audio_ms = 1000 * (self._now() - started)
        saliency, saliency_ms = self._saliency(hidden, clip.silent, windowed=False)
        windowed, windowed_ms = self._saliency(hidden, clip.silent, windowed=True)
        video, deepstack = self._apart(torch.empty(0, self._width * (1 + self._deeper), dtype=self.parts.vision.dtype))
        return EncodedClip(
            clip=clip,
            audio=audio,
            video=video,
            deepstack=deepstack,
            grid=(steps, rows, columns),
            second_per_step=self.processor.temporal_patch / clip.fps,
            saliency=saliency,
            saliency_windowed=windowed,
            saliency_ms=saliency_ms,
            saliency_windowed_ms=windowed_ms,
            encode_ms=audio_ms,
            saliency_kind="uniform" if clip.silent and audio is not None else "attention",
            audio_ms=audio_ms,
            log_mel=None if mel is None or audio is None else self.processor.family.mean_of_tokens(mel, audio.shape[0]),
            seen=torch.zeros(steps, rows * columns, dtype=torch.bool),
        )

    @torch.inference_mode()
    def encode_seen(self, heard: EncodedClip, seen: Tensor) -> EncodedClip:
        """Encode the video tokens of a clip that `seen` (steps, rows * columns) bool marks, and no others; the sound is as it was.

        Batches of whole steps bound memory; they count the patches that are kept. `encode_ms` is that of the sound and of this.
        """
        started = self._now()
        made = self._encode_seen(heard.clip.frames, heard.grid, seen)
        video, deepstack = self._apart(torch.cat(made)) if made else (heard.video[:0], heard.deepstack)
        return replace(heard, video=video, deepstack=deepstack, seen=seen, encode_ms=heard.audio_ms + 1000 * (self._now() - started))

    @torch.inference_mode()
    def encode_ahead(self, arriving: FrameBuffer, turn: Callable[[], AbstractContextManager]) -> Ahead:
        """Encode whole batches of steps as their frames arrive; ends when there are no more.

        Args:
            turn: entered for each batch, so that others may use the device while this waits for frames.
        """
        made: list[Tensor] = []
        spent = 0.0
        frames = arriving.frames
        if frames is not None:
            grid, per_step = self._grid(frames), self.processor.temporal_patch
            batch = self._steps_per_batch(grid)
            for last in range(batch, grid[0] + 1, batch):
                if not arriving.wait_for(last * per_step):
                    break
                with turn():
                    started = self._now()
                    made += self._encode_video(frames[: last * per_step], (last, *grid[1:]), lambda part: None, last - batch)
                    spent += self._now() - started
        return Ahead(tuple(made), 1000 * spent, len(made) * batch if made else 0)

    @torch.inference_mode()
    def features(self, clip: Clip) -> tuple[Tensor, Tensor | None]:
        """Features of a clip without saliency: video (V, D), audio (A, D) or None."""
        video, _ = self._apart(torch.cat(self._encode_video(clip.frames, self._grid(clip.frames), lambda part: None)))
        mel = self._log_mel(clip)
        return video, None if mel is None else self._encode_audio(mel, lambda part: None)

    @property
    def _width(self) -> int:
        return self.parts.vision.config.out_hidden_size

    @property
    def _deeper(self) -> int:
        """Layers of the language model that rows of the picture are added to."""
        return self.processor.family.deepstack_layers(self.parts.vision.config)

    def _apart(self, made: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (V, D) and deepstack rows (layers, V, D) of what the encoder made, (V, D * (1 + layers))."""
        if not self._deeper:
            return made, None
        return made[:, : self._width].contiguous(), made[:, self._width :].unflatten(1, (self._deeper, -1)).transpose(0, 1).contiguous()

    def _grid(self, frames: np.ndarray) -> tuple[int, int, int]:
        return self.processor.grid(*frames.shape[:3], max_tokens=self.tokens_per_step)

    def _steps_per_batch(self, grid: tuple[int, int, int]) -> int:
        return max(1, PATCHES_PER_BATCH // (grid[1] * grid[2] * self.processor.merge**2))

    def _encode_video(
        self, frames: np.ndarray, grid: tuple[int, int, int], report: Callable[[float], None], start: int = 0
    ) -> list[Tensor]:
        """(V', D * (1 + layers)) each, of the steps from `start` on: features, and deepstack rows beside them.

        The vision encoder attends within a step, so batches give what all at once would.
        """
        steps, rows, columns = grid
        merge, frames_per_step, per_batch = self.processor.merge, self.processor.temporal_patch, self._steps_per_batch(grid)
        device, made = _device(self.parts.vision), []
        for first in range(start, steps, per_batch):
            last = min(first + per_batch, steps)
            pixels = self.processor.patches(frames[first * frames_per_step : last * frames_per_step], rows, columns)
            shape = torch.tensor([[last - first, rows * merge, columns * merge]])
            with batched_blocks(self.parts.vision):
                output = self.parts.thinker.get_video_features(_to_device(pixels, device), shape.to(device))
            made.append(_to_host(_beside(torch.cat(tuple(output.pooler_output)), self.processor.family.deepstack(output))))
            report(last / steps)
        self.parts.synchronize()  # copies to the host end here
        return made

    def _encode_seen(self, frames: np.ndarray, grid: tuple[int, int, int], seen: Tensor) -> list[Tensor]:
        """(K', D * (1 + layers)) each, of the tokens that `seen` marks, in batches of steps."""
        _, rows, columns = grid
        device, made = _device(self.parts.vision), []
        for first, last in self._batches_of_seen(grid, seen):
            keep = seen[first:last]
            if not bool(keep.any()):
                continue
            frames_per_step = self.processor.temporal_patch
            pixels = self.processor.patches(frames[first * frames_per_step : last * frames_per_step], rows, columns, keep)
            with batched_blocks(self.parts.vision):
                found = self.processor.family.encode_subset(self.parts.vision, _to_device(pixels, device), columns, keep)
                made.append(_to_host(_beside(*found)))
        self.parts.synchronize()
        return made

    def _batches_of_seen(self, grid: tuple[int, int, int], seen: Tensor) -> Iterator[tuple[int, int]]:
        """First and last step (exclusive) of each batch: as many steps as keep PATCHES_PER_BATCH patches, one at least."""
        most = round(self._steps_per_batch(grid) / SPARSEST)
        patches = (seen.sum(dim=1) * self.processor.merge**2).tolist()
        first, held = 0, 0
        for step, count in enumerate(patches):
            if step > first and (held + count > PATCHES_PER_BATCH or step - first == most):
                yield first, step
                first, held = step, 0
            held += count
        if patches:
            yield first, len(patches)

    def _log_mel(self, clip: Clip) -> Tensor | None:
        """(bins, M) log-mel frames; None without sound, or with too little of it to make a token."""
        mel = self.processor.log_mel(clip.waveform) if clip.waveform is not None else None
        return mel if mel is not None and self.processor.audio_tokens(mel.shape[1]) else None

    def _encode_audio(self, mel: Tensor, report: Callable[[float], None]) -> Tensor:
        """(A, D). The audio encoder works in blocks, so whole blocks in batches give what all at once would."""
        device, made = _device(self.parts.audio), []
        block = self.processor.block_frames
        batches = list(mel.split(max(1, MEL_PER_BATCH // block) * block, dim=1))
        if len(batches) > 1 and not self.processor.audio_tokens(batches[-1].shape[1]):
            batches.pop()  # a few milliseconds that make no token
        for i, batch in enumerate(batches, start=1):
            mask = torch.ones(1, batch.shape[1], dtype=torch.int64, device=device)
            with batched_blocks(self.parts.audio):
                output = self.parts.thinker.get_audio_features(_to_device(batch[None].contiguous(), device), feature_attention_mask=mask)
            made.append(_to_host(output.last_hidden_state))
            report(i / len(batches))
        self.parts.synchronize()
        return torch.cat(made)

    def _saliency(self, hidden: list[Tensor], silent: bool, *, windowed: bool) -> tuple[Tensor, float]:
        """(A,) float32 on the CPU, and the milliseconds it took, projections included."""
        started, merged = self._now(), self.processor.family.frames_per_token
        if not hidden:
            return torch.zeros(0), 0.0
        if silent:
            frames = sum(part.shape[0] for part in hidden)
            return torch.full((frames // merged,), 1 / frames), 0.0
        attention = self.parts.last_audio_attention
        heads = self.parts.audio.config.encoder_attention_heads
        states = torch.cat(hidden)  # (T, d)
        queries, keys = (project(states).unflatten(1, (heads, -1)).transpose(0, 1) for project in (attention.q_proj, attention.k_proj))
        if windowed:
            received = attention_received_windowed(queries, keys, merged * self.processor.audio_tokens(self.processor.block_frames))
        else:
            received = attention_received(queries, keys)
        score = per_token(received, merged).cpu()
        return score, 1000 * (self._now() - started)

    @torch.inference_mode()
    def video_saliency(self, encoded: EncodedClip) -> tuple[Tensor, float]:
        """(V,) float32 attention each video token receives in the encoder's last full layer, and the milliseconds scoring took.

        The layer attends within a step; a token is the mean over heads and over its 2x2 patches. Encodes the picture again when
        a clip is asked for first, and remembers.
        """
        if encoded not in self._video_saliency:
            steps, rows, columns = encoded.grid
            received: list[Tensor] = []
            spent_ms = 0.0

            def score(states: Tensor, named: dict[str, Any]) -> None:
                nonlocal spent_ms
                started = self._now()
                received.append(self._video_attention_received(states, named["position_embeddings"], rows * columns).cpu())
                spent_ms += 1000 * (self._now() - started)

            with captured_input(self.parts.watched_vision_attention, score):
                self._encode_video(encoded.clip.frames, encoded.grid, lambda part: None)
            order = self.processor.family.token_order(self.parts.vision, rows, columns)
            saliency = torch.empty(steps, rows * columns)
            saliency[:, order] = torch.cat(received).view(steps, -1)
            self._video_saliency[encoded] = saliency.flatten() / steps, spent_ms
        return self._video_saliency[encoded]

    def _video_attention_received(self, states: Tensor, rotation: tuple[Tensor, Tensor], tokens_per_step: int) -> Tensor:
        """(V',) share of its step's attention each token of a batch of steps receives, in the order the encoder works in.

        Args:
            states: (T, d) what the layer is given; rotation: cosines and sines (T, dh) of its rotary positions.
        """
        attention, merged = self.parts.watched_vision_attention, self.processor.merge**2
        cosine, sine = (part.float() for part in rotation)

        def rotated(made: Tensor) -> Tensor:
            x = made.transpose(0, 1).float()  # (H, T, dh)
            left, right = x.chunk(2, dim=-1)
            return x * cosine + torch.cat([-right, left], dim=-1) * sine

        queries, keys = self.processor.family.vision_queries_keys(attention, states)
        received = attention_received_windowed(rotated(queries), rotated(keys), tokens_per_step * merged)
        return per_token(received, merged) * (received.numel() / (tokens_per_step * merged))

    def _now(self) -> float:
        self.parts.synchronize()
        return time.perf_counter()


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to the device. A GPU copies from pinned memory while the host prepares the next batch."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _to_host(tensor: Tensor) -> Tensor:
    """Copy to the host. What comes from a GPU is complete once the device has been synchronised."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _beside(features: Tensor, deepstack: Tensor | None) -> Tensor:
    """(V, D * (1 + layers)) features and, of those models that have them, deepstack rows in one row each."""
    return features if deepstack is None else torch.cat([features, *deepstack], dim=1)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
