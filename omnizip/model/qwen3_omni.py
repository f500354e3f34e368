"""Qwen3-Omni: a mixture of experts, 13 tokens of sound a second, positions that are fractions, pictures that enter three layers deep.

- Inside a clip tokens stand in order of time, one by one; of a picture and a sound at the same time the picture is first. The stock
  processor compares times in float64, the model in float32; here what is equal but for rounding counts as the same time.
- A second has as many positions as the checkpoint says: 13 in the published ones, one for each token of sound.
- The audio encoder makes 13 tokens of a second, twelve of eight mel frames and one of four, and attends within blocks of eight
  seconds; batches are whole blocks.
- The vision encoder attends over a whole step in every layer. What some of its layers see is merged, too, and added to the rows of the
  picture after the first layers of the language model ("deepstack").
- The experts of a layer are one tensor, which is no Linear layer and is not compressed to 4 bits.

Chats begin without a system line, as the published evaluation has them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids

from ..types import EncoderShape
from .encode_subset import block_edges
from .family import ClipIds, Family, Grid

SECOND_MEL, SECOND_TOKENS = 100, 13  # mel frames and audio tokens of a second
STRIDE = 8  # mel frames per audio token, but for the last of a second
SAME_TIME = 1e-3  # positions closer than this are one


class _Qwen3Omni(Family):
    name = "Qwen3-Omni"
    example = "Qwen/Qwen3-Omni-30B-A3B-Instruct"
    model_types = ("qwen3_omni_moe", "qwen3_omni_moe_thinker")
    system = ""
    vision_start, vision_end, audio_end = "<|vision_start|>", "<|vision_end|>", "<|audio_end|>"
    colours = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    audio_tokens_per_s = SECOND_TOKENS
    frames_per_token = 1
    sound_is_mirrored = True
    sayable = frozenset({"<think>", "</think>"})
    no_four_bit = "its experts, most of its weights, are no layers that bitsandbytes compresses"

    @property
    def thinker(self) -> Any:
        from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

        return Qwen3OmniMoeThinkerForConditionalGeneration

    def audio_tokens(self, mel_frames: int) -> int:
        whole, rest = divmod(mel_frames, SECOND_MEL)
        return SECOND_TOKENS * whole + -(-rest // STRIDE)

    def mel_frames(self, tokens: int) -> int:
        whole, rest = divmod(tokens, SECOND_TOKENS)
        return SECOND_MEL * whole + STRIDE * rest

    def mean_of_tokens(self, mel: Tensor, tokens: int) -> Tensor:
        token = torch.arange(tokens)
        second = token // SECOND_TOKENS
        first = SECOND_MEL * second + STRIDE * (token % SECOND_TOKENS)
        last = (SECOND_MEL * (second + 1)).clamp(max=mel.shape[1]) - 1
        frames = (first[:, None] + torch.arange(STRIDE)).minimum(last[:, None])
        return mel[:, frames].mean(dim=2).T.contiguous()

    def block_mel_frames(self, audio: Any) -> int:
        return audio.n_window_infer

    def step_times(self, steps: int, second_per_step: float, positions_per_second: float) -> Tensor:
        return torch.arange(steps) * torch.tensor(second_per_step).float() * positions_per_second

    def media_ids(self, ids: ClipIds, grid: Grid, n_audio: int, second_per_step: float) -> Tensor:
        steps, rows, columns = grid
        seen = torch.full((steps * rows * columns,), ids.video_id)
        edges = [torch.tensor([marker]) for marker in (ids.vision_start_id, ids.vision_end_id)]
        if not n_audio:
            return torch.cat([edges[0], seen, edges[1]])
        time = self.step_times(steps, second_per_step, ids.positions_per_second).repeat_interleave(rows * columns)
        order = torch.cat([time - SAME_TIME, torch.arange(n_audio)]).argsort(stable=True)
        clip = torch.cat([seen, torch.full((n_audio,), ids.audio_id)])[order]
        sound = [torch.tensor([marker]) for marker in (ids.audio_start_id, ids.audio_end_id)]
        return torch.cat([edges[0], sound[0], clip, sound[1], edges[1]])

    def as_positions(self, positions: Tensor) -> Tensor:
        return positions.float()

    def watched_layer(self, vision: nn.Module) -> nn.Module:
        encoder: Any = vision
        return encoder.blocks[-1].attn

    def vision_queries_keys(self, attention: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
        layer: Any = attention
        queries, keys, _ = layer.qkv(states).unflatten(1, (3, layer.num_heads, -1)).unbind(1)
        return queries, keys

    def token_order(self, vision: nn.Module, rows: int, columns: int) -> Tensor:
        return torch.arange(rows * columns)

    def deepstack(self, output: Any) -> Tensor | None:
        layers = output.deepstack_features
        return torch.stack([layer if isinstance(layer, Tensor) else torch.cat(tuple(layer)) for layer in layers]) if layers else None

    def deepstack_layers(self, vision: Any) -> int:
        return len(vision.deepstack_visual_indexes)

    def encode_subset(self, vision: nn.Module, pixels: Tensor, columns: int, keep: Tensor) -> tuple[Tensor, Tensor | None]:
        encoder: Any = vision
        config, merge = encoder.config, encoder.config.spatial_merge_size
        unit, device, rows = merge * merge, pixels.device, keep.shape[1] // columns
        step, place = keep.nonzero().unbind(1)
        layers = self.deepstack_layers(config)
        if not place.numel():
            empty = pixels.new_empty(0, config.out_hidden_size, dtype=encoder.dtype)
            return empty, empty.expand(layers, -1, -1) if layers else None
        grid = torch.tensor([[1, rows * merge, columns * merge]], device=device)
        corners, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=encoder.num_grid_per_side,
            mode=encoder.interpolation_mode,
            align_corners=encoder.interpolation_align_corners,
            spatial_merge_size=merge,
        )
        learned = (encoder.pos_embed(corners) * weights[:, :, None]).sum(1)  # of each patch of one step, a group's together
        gathered = place.to(device)

        def of_groups(rows_of_step: Tensor) -> Tensor:
            return rows_of_step.unflatten(0, (-1, unit))[gathered].flatten(0, 1)

        hidden = encoder.patch_embed(pixels)
        hidden = hidden + of_groups(learned).to(hidden.dtype)
        cosine, sine = encoder.rotary_pos_emb(hidden, get_vision_position_ids(grid, merge))
        rotation = of_groups(cosine), of_groups(sine)
        edges = block_edges(step, unit)
        longest, edges = int(edges.diff().max()), edges.to(device)
        deep = {}
        for number, block in enumerate(encoder.blocks):
            hidden = block(hidden, cu_seqlens=edges, max_seqlen=longest, position_embeddings=rotation)
            if number in config.deepstack_visual_indexes:
                layer = list(config.deepstack_visual_indexes).index(number)
                deep[layer] = encoder.deepstack_merger_list[layer](hidden)
        return encoder.merger(hidden), torch.stack([deep[layer] for layer in sorted(deep)]) if deep else None

    def encoder_shape(self, vision: Any, audio: Any) -> EncoderShape:
        channels, bins, rows = audio.downsample_hidden_size, audio.num_mel_bins, SECOND_MEL
        stem, before = 0, 1
        for _ in range(3):  # convolutions of 3 x 3 and stride two, over bins and time of a second
            bins, rows = -(-bins // 2), -(-rows // 2)
            stem += 2 * 9 * bins * rows * before * channels
            before = channels
        stem += SECOND_TOKENS * 2 * audio.d_model * (channels * bins + audio.d_model)
        return EncoderShape(
            vision_layers=vision.depth,
            vision_full_layers=vision.depth,
            vision_width=vision.hidden_size,
            vision_ffn=vision.intermediate_size,
            patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
            merged=vision.spatial_merge_size**2,
            window_side=1,
            audio_layers=audio.encoder_layers,
            audio_width=audio.d_model,
            audio_ffn=audio.encoder_ffn_dim,
            mel_bins=audio.num_mel_bins,
            block_tokens=self.audio_tokens(audio.n_window_infer),
            output=vision.out_hidden_size,
            vision_gated=False,
            mergers=1 + self.deepstack_layers(vision),
            audio_rows_per_token=self.frames_per_token,
            audio_stem_per_s=stem,
            audio_tokens_per_s=self.audio_tokens_per_s,
        )


QWEN3_OMNI = _Qwen3Omni()
