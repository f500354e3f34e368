"""vLLM's Qwen2.5-Omni, which reads of a clip what a method keeps.

Encoders and language model are vLLM's own. Of a clip both encoders run, saliency is computed from what the last audio layer attends
with, the method decides, and the rows that are left go on with the positions they have in the whole prompt. A method that chooses
before encoding chooses by the same pixels; the rest is encoded all the same, since vLLM's encoder takes whole pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from logging import getLogger
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from vllm.config import VllmConfig
from vllm.model_executor.models.qwen2_5_omni_thinker import (
    Qwen2_5OmniThinkerDummyInputsBuilder,
    Qwen2_5OmniThinkerForConditionalGeneration,
)
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.platforms import current_platform

from ...compressors.base import Sight
from ...compressors.omnisift_selector import AudioSelector
from ...errors import ModelError
from ...model.captured_input import captured_input
from ...model.qwen2_5_omni import mean_of_tokens
from ...model.saliency import attention_received, attention_received_windowed, per_token
from ...stream import Modality, TokenStream
from .clip_layout import ClipLayout
from .clip_processing import MEL, MEL_FRAMES, SETTINGS, SILENT, ClipProcessingInfo, ClipProcessor, layout_of
from .pooled_patches import pooled_patches
from .position_channels import placed_positions, with_positions
from .pruning import Pruning, server_pruning

log = getLogger("vllm.omnizip")


@MULTIMODAL_REGISTRY.register_processor(ClipProcessor, info=ClipProcessingInfo, dummy_inputs=Qwen2_5OmniThinkerDummyInputsBuilder)
class PrunedQwen2_5Omni(Qwen2_5OmniThinkerForConditionalGeneration):
    """Qwen2.5-Omni's thinker, with clips pruned."""

    supports_multimodal_pruning: ClassVar[bool] = True  # vLLM's protocol: positions come with the embeddings
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={"thinker.compressor.": None, **Qwen2_5OmniThinkerForConditionalGeneration.hf_to_vllm_mapper.orig_to_new_prefix}
    )

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # vLLM asks its own setting whether positions come with the embeddings; any share above 0 says so, and nothing else reads it here.
        vllm_config.model_config.multimodal_config.video_pruning_rate = 0.5
        if current_platform.is_cpu():
            _tell_cpu_runner()
        self.width = self.config.text_config.hidden_size
        log.warning("OmniZip is active: clips are read %s.", server_pruning().described)

    @cached_property
    def selector(self) -> AudioSelector | None:
        """OmniSIFT's, where the checkpoint is a folder that has one. Kept out of the modules, whose weights vLLM loads."""
        folder = Path(self.vllm_config.model_config.model)
        return AudioSelector.from_checkpoint(folder) if folder.is_dir() else None

    def embed_multimodal(self, **kwargs: object) -> Any:
        """One tensor an item: for a clip the rows that are left, (K, D + 6), positions behind them; for any other what vLLM gives."""
        if "pixel_values_videos" not in kwargs:
            return super().embed_multimodal(**kwargs)
        return tuple(self._clips(**kwargs))

    @torch.inference_mode()
    def _clips(self, **fields: Any) -> Iterator[Tensor]:
        """Each clip of a batch."""
        pixels, sizes = fields["pixel_values_videos"], fields["video_grid_thw"]
        video = self._process_video_input({"type": "pixel_values_videos", "pixel_values_videos": pixels, "video_grid_thw": sizes})
        frames = fields[MEL_FRAMES].flatten().tolist()
        mel = fields[MEL].split(frames, dim=1)
        patches = pixels.split(sizes.prod(-1).tolist())
        pruning = Pruning.from_json(bytes(fields[SETTINGS].flatten().tolist()).decode())
        for i, picture in enumerate(video):
            own = {name: fields[name][i] for name in ("video_grid_thw", MEL_FRAMES, "second_per_grid_ts")}
            layout = layout_of(self.config, own)
            yield self._pruned(layout, pruning, picture, patches[i], mel[i], bool(fields[SILENT][i]))

    def _pruned(self, layout: ClipLayout, pruning: Pruning, picture: Tensor, patches: Tensor, mel: Tensor, silent: bool) -> Tensor:
        """(K, D + 6) what is left of one clip."""
        stream = self._stream(layout, picture, mel, silent)
        method = pruning.compressor(stream)
        if method.chooses_before_encoding:
            vision = self.config.vision_config
            seen = pooled_patches(patches, layout.grid[0], vision.spatial_merge_size, vision.temporal_patch_size).cpu()
            audio = stream.embeds[stream.audio_index].cpu() if layout.n_audio else None
            blind = layout.stream(
                torch.empty(layout.modality.numel(), 0),
                *self._scores_of(stream),
                saliency_kind=stream.saliency_kind,
                observers=stream.observers,
            )
            stream = replace(stream, seen=method.look(Sight(blind, seen, audio)))
        decision = method.compress(stream)
        left = stream.prompt(decision)
        if left.index.numel() != pruning.kept(layout):
            raise ModelError(
                f"{pruning.method} kept {left.index.numel()} tokens of a clip where {pruning.kept(layout)} were counted; report this fault."
            )
        return with_positions(left.embeds, left.positions)

    def _stream(self, layout: ClipLayout, picture: Tensor, mel: Tensor, silent: bool) -> TokenStream:
        """The clip with what both encoders say and what they attend to."""
        embeds = picture.new_zeros(layout.modality.numel(), picture.shape[1])
        kinds = layout.modality.to(embeds.device)
        embeds[kinds == Modality.VIDEO] = picture
        scores, observers = torch.zeros(2, 0), {}
        if layout.n_audio:
            sound, scores = self._heard(mel, silent)
            embeds[kinds == Modality.AUDIO] = sound.to(embeds)
            told = mean_of_tokens(mel.float().cpu(), layout.n_audio)
            observers["log_mel"] = lambda: (told, 0.0)
        kind = "uniform" if silent and layout.n_audio else "attention"
        return layout.stream(embeds, scores[0], scores[1], saliency_kind=kind, observers=observers, audio_selector=self.selector)

    def _heard(self, mel: Tensor, silent: bool) -> tuple[Tensor, Tensor]:
        """(A, D) what the audio encoder says, and (2, A) what each token receives: over the clip, and in two seconds."""
        frames = torch.tensor([mel.shape[1]])
        attention = self.audio_tower.layers[-1].self_attn
        with captured_input(attention) as hidden:
            (sound,) = self._process_audio_input(
                {"type": "audio_features", "input_features": mel, "audio_feature_lengths": frames, "feature_attention_mask": None}
            )
        states = torch.cat(hidden)
        if silent:
            return sound, torch.full((2, sound.shape[0]), 1 / states.shape[0])
        heads = self.config.audio_config.encoder_attention_heads
        queries, keys = (project(states).unflatten(-1, (heads, -1)).transpose(0, 1) for project in (attention.q_proj, attention.k_proj))
        received = attention_received(queries, keys), attention_received_windowed(queries, keys, self.config.audio_config.n_window)
        return sound, torch.stack([per_token(part) for part in received])

    @staticmethod
    def _scores_of(stream: TokenStream) -> tuple[Tensor, Tensor]:
        heard = stream.audio_index
        return stream.saliency[heard].cpu(), stream.saliency_windowed[heard].cpu()

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """(3, L) positions, and that of the first answered token less L; those of the clips' tokens are filled in when they are known.

        As transformers has it, the markers before picture and sound share one position, and so do those behind; the template puts
        one of either beside the clip. Words go on behind the markers, and the answer behind everything, which a clip may be whose
        sound ends before its picture. Until they are known, its tokens have the latest position of their clip.
        """
        parts: list[np.ndarray] = []
        following, done = 0, 0

        def text(count: int) -> None:
            nonlocal following
            parts.append(np.broadcast_to(np.arange(following, following + count), (3, count)))
            following += count

        for feature in sorted(mm_features, key=lambda feature: feature.mm_position.offset):
            offset, length = feature.mm_position.offset, feature.mm_position.length
            text(offset - done)
            done = offset + length
            data = feature.data.get_data()
            if feature.modality == "video":
                layout = layout_of(self.config, data)
                sounded = int(layout.n_audio > 0)
                begin = following  # the marker of sound, if any, stands where that of the picture stands; so they do behind
                behind = 1 + sounded if done < len(input_tokens) else sounded
                parts.append(np.full((3, sounded), begin - 1))
                parts.append(np.full((3, length - 2 * sounded), begin + layout.latest))
                parts.append(np.full((3, behind), begin + layout.marker))
                done += behind - sounded
                following = begin + layout.marker + 1
            elif feature.modality == "image":
                merge = self.config.vision_config.spatial_merge_size
                steps, rows, columns = (int(size) for size in data["image_grid_thw"].flatten())
                grid = np.indices((steps, rows // merge, columns // merge)).reshape(3, -1)
                grid[0] *= self.config.position_id_per_seconds
                parts.append(grid + following)
                following += int(grid.max()) + 1
            else:
                text(length)
        text(len(input_tokens) - done)
        positions = torch.from_numpy(np.concatenate(parts, axis=1).astype(np.int64))
        self._answered[positions] = int(positions.max()) + 1 - len(input_tokens)
        return positions, self._answered[positions]

    @cached_property
    def _answered(self) -> WeakTensorKeyDictionary:
        """What came of the positions of each request, which vLLM's first runner keeps and asks about at every step."""
        return WeakTensorKeyDictionary()

    def recompute_mrope_positions(
        self, input_ids: list[int] | Tensor, multimodal_embeddings: Sequence[Tensor], mrope_positions: Tensor, num_computed_tokens: int
    ) -> tuple[Sequence[Tensor], Tensor, int]:
        """The embeddings without their further columns, the prompt's positions with the clips' filled in, and what comes after them."""
        token = self.config.video_token_id
        filled = placed_positions(input_ids, multimodal_embeddings, self.width, mrope_positions, num_computed_tokens, token)
        answered = self._answered.get(mrope_positions)
        if answered is None:  # the second runner asks with copies, and only while some of a clip is not filled in yet
            answered = int(mrope_positions.max()) + 1 - mrope_positions.shape[1]
        return [part[:, : self.width] for part in multimodal_embeddings], filled, answered


def _tell_cpu_runner() -> None:
    """Have vLLM's runner for the CPU ask for positions; unlike that for GPUs it never looks whether the model gives them."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    def given(runner: Any) -> bool:
        return isinstance(getattr(runner, "model", None), PrunedQwen2_5Omni)

    CPUModelRunner.is_multimodal_pruning_enabled = property(given, lambda runner, value: None)
