"""Qwen2.5-Omni: 25 tokens of sound and 25 positions a second, blocks of two seconds in encoders and prompt alike.

Inside a clip picture and sound alternate in chunks of two seconds; without sound there is one run of video tokens. The stock
processor cuts at most one chunk per two seconds of picture time from the next, so a step longer than that may be split between
two chunks; this is kept as it is, since the model's positions are computed by the same rule. Its vision encoder attends within
windows of a step in most layers (encode_subset.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..types import EncoderShape
from .encode_subset import encode_subset, window_order, window_side
from .family import ClipIds, Family, Grid

AUDIO_STRIDE = 4  # mel frames per audio token: a convolution and a pooling, each of stride two
SECONDS_PER_CHUNK = 2
SYSTEM = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and visual inputs, "
    "as well as generating text and speech."
)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures the vision encoder was trained on, red, green, blue
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def media_chunks(
    grid: Grid, n_audio: int, second_per_step: float, positions_per_second: float, seconds_per_window: int = SECONDS_PER_CHUNK
) -> tuple[list[int], list[int]]:
    """How many video and how many audio tokens each chunk of a clip holds, in turn; equally many chunks, the last ones maybe empty.

    Args:
        grid: steps, rows and columns of video tokens.
        n_audio: audio tokens, 0 without sound; then all video is one chunk.
        second_per_step: seconds of clip between steps as sampled.
    """
    steps, rows, columns = grid
    if not n_audio:
        return [steps * rows * columns], [0]
    time = step_times(steps, second_per_step, positions_per_second)
    window = round(positions_per_second * seconds_per_window)
    video = _chunks(time.repeat_interleave(rows * columns).tolist(), window)
    audio = _chunks(range(n_audio), window)
    chunks = max(len(video), len(audio))
    return video + [0] * (chunks - len(video)), audio + [0] * (chunks - len(audio))


def step_times(steps: int, second_per_step: float, positions_per_second: float) -> Tensor:
    """(steps,) int64 mRoPE time of each step since the first.

    In float32 like the model's own positions: where the processor's float64 falls on the other side of a chunk's edge, ids and
    positions would disagree.
    """
    return (torch.arange(steps) * torch.tensor(second_per_step).float() * positions_per_second).long()


def _chunks(times: Sequence[int], window: int) -> list[int]:
    """How many tokens each chunk holds. A token that is late for the chunk opens the next one, which ends a window later."""
    counts = [0]
    for time in times:
        if time >= len(counts) * window:
            counts.append(0)
        counts[-1] += 1
    return counts


def mean_of_tokens(mel: Tensor, tokens: int) -> Tensor:
    """(A, bins) log-mel frames (bins, M) averaged over the four of each token; a last one that lacks frames repeats its last."""
    missing = max(0, AUDIO_STRIDE * tokens - mel.shape[1])
    frames = torch.cat([mel, mel[:, -1:].expand(-1, missing)], dim=1)[:, : AUDIO_STRIDE * tokens]
    return frames.unflatten(1, (tokens, AUDIO_STRIDE)).mean(dim=2).T.contiguous()


class _Qwen25Omni(Family):
    name = "Qwen2.5-Omni"
    example = "Qwen/Qwen2.5-Omni-3B"
    model_types = ("qwen2_5_omni", "qwen2_5_omni_thinker")
    system = SYSTEM
    vision_start, vision_end, audio_end = "<|vision_bos|>", "<|vision_eos|>", "<|audio_eos|>"
    colours = CLIP_MEAN, CLIP_STD
    audio_tokens_per_s = 25
    frames_per_token = 2
    sound_is_mirrored = False  # it pads to 300 s

    @property
    def thinker(self) -> Any:
        from transformers import Qwen2_5OmniThinkerForConditionalGeneration

        return Qwen2_5OmniThinkerForConditionalGeneration

    def audio_tokens(self, mel_frames: int) -> int:
        after_convolution = (mel_frames + 1) // 2
        return after_convolution // 2

    def mel_frames(self, tokens: int) -> int:
        return AUDIO_STRIDE * tokens

    def mean_of_tokens(self, mel: Tensor, tokens: int) -> Tensor:
        return mean_of_tokens(mel, tokens)

    def block_mel_frames(self, audio: Any) -> int:
        return 2 * audio.n_window

    def step_times(self, steps: int, second_per_step: float, positions_per_second: float) -> Tensor:
        return step_times(steps, second_per_step, positions_per_second)

    def media_ids(self, ids: ClipIds, grid: Grid, n_audio: int, second_per_step: float) -> Tensor:
        video, audio = media_chunks(grid, n_audio, second_per_step, ids.positions_per_second)
        if not n_audio:
            return torch.tensor([ids.vision_start_id, *[ids.video_id] * sum(video), ids.vision_end_id])
        clip = [ids.vision_start_id, ids.audio_start_id]
        for seen, heard in zip(video, audio, strict=True):
            clip += [ids.video_id] * seen + [ids.audio_id] * heard
        return torch.tensor([*clip, ids.audio_end_id, ids.vision_end_id])

    def as_positions(self, positions: Tensor) -> Tensor:
        return positions.to(torch.int64)

    def watched_layer(self, vision: nn.Module) -> nn.Module:
        encoder: Any = vision
        return encoder.blocks[max(encoder.config.fullatt_block_indexes)].attn

    def vision_queries_keys(self, attention: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
        layer: Any = attention
        queries, keys = (project(states).unflatten(1, (layer.num_heads, -1)) for project in (layer.q, layer.k))
        return queries, keys

    def token_order(self, vision: nn.Module, rows: int, columns: int) -> Tensor:
        return window_order(rows, columns, window_side(vision.config))

    def deepstack(self, output: Any) -> Tensor | None:
        return None

    def deepstack_layers(self, vision: Any) -> int:
        return 0

    def encode_subset(self, vision: nn.Module, pixels: Tensor, columns: int, keep: Tensor) -> tuple[Tensor, Tensor | None]:
        return encode_subset(vision, pixels, columns, keep), None

    def encoder_shape(self, vision: Any, audio: Any) -> EncoderShape:
        return EncoderShape(
            vision_layers=vision.depth,
            vision_full_layers=len(vision.fullatt_block_indexes),
            vision_width=vision.hidden_size,
            vision_ffn=vision.intermediate_size,
            patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
            merged=vision.spatial_merge_size**2,
            window_side=window_side(vision),
            audio_layers=audio.encoder_layers,
            audio_width=audio.d_model,
            audio_ffn=audio.encoder_ffn_dim,
            mel_bins=audio.num_mel_bins,
            block_tokens=2 * audio.n_window // AUDIO_STRIDE,
            output=vision.out_hidden_size,
        )


QWEN2_5_OMNI = _Qwen25Omni()
