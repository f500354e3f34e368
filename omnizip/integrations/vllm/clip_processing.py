"""What happens to a clip before it reaches the model: its pixels, its log-mel frames, and how many tokens it will be.

Pixels and log-mel frames are those of vLLM's own processor. Settings of the server and of the request travel as one JSON text, in the
key of vLLM's caches and, as bytes, to the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature
from vllm.model_executor.models.qwen2_5_omni_thinker import (
    Qwen2_5OmniThinkerMultiModalProcessor,
    Qwen2_5OmniThinkerProcessingInfo,
)
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import MultiModalDataItems, VideoProcessorItems
from vllm.multimodal.processing.processor import (
    BaseMultiModalProcessor,
    HFMultiModalInputs,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
)

from ...errors import MethodError
from ...media.clip import SILENCE
from .clip_items import CLIP, ClipItems, ClipParser, put_together, second_per_frame
from .clip_layout import ClipLayout
from .pruning import Pruning, server_pruning

REQUEST = "omnizip"  # in mm_processor_kwargs
IN_VIDEO = "use_audio_in_video"
# Fields of a video item beside vLLM's own.
MEL, MEL_FRAMES, SILENT, SETTINGS = "clip_mel", "clip_mel_frames", "clip_silent", "clip_settings"


class ClipProcessingInfo(Qwen2_5OmniThinkerProcessingInfo):
    """vLLM's, with clips that have sound."""

    def get_hf_processor(self, **kwargs: object) -> Any:
        kwargs.pop(REQUEST, None)
        return super().get_hf_processor(**kwargs)

    def get_data_parser(self) -> ClipParser:
        known = super().get_data_parser()
        return ClipParser(
            spatial_merge_size=self.get_hf_config().vision_config.spatial_merge_size,
            target_sr=self.get_feature_extractor().sampling_rate,
            target_channels=self.get_target_channels(),
            expected_hidden_size=known.expected_hidden_size,
            allow_missing_mm_embeddings=self.allow_missing_mm_embeddings,
            audio_resample_method="pyav",  # as the product resamples; vLLM's default wants torchaudio
        )

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int] | None = None) -> Mapping[str, int]:
        """A video may bring its sound along."""
        most = dict(super().get_mm_max_tokens_per_item(seq_len, mm_counts))
        if CLIP in most:
            most[CLIP] += super().get_mm_max_tokens_per_item(seq_len, {"audio": 1})["audio"]
        return most


class ClipProcessor(Qwen2_5OmniThinkerMultiModalProcessor):
    """Makes one item of a clip, and says how many tokens will be left of it."""

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        kwargs = dict(inputs.hf_processor_mm_kwargs)
        try:
            settings = server_pruning().asked(kwargs.get(REQUEST)).to_json()
        except MethodError as error:
            raise ValueError(str(error)) from error  # what vLLM answers with "bad request"
        sounded = bool(self.info.ctx.get_merged_mm_kwargs(kwargs).get(IN_VIDEO))
        kwargs |= {REQUEST: settings, IN_VIDEO: False}  # the sound is in the clip from here on; as part of the key of vLLM's caches
        items = put_together(inputs.mm_data_items, sounded)
        self._check_length(items)
        return super().apply(replace(inputs, mm_data_items=items, hf_processor_mm_kwargs=kwargs), timing_ctx)

    def _check_length(self, items: MultiModalDataItems) -> None:
        extractor = self.info.get_feature_extractor()
        clips = items.get(CLIP)
        longest = max((len(sound) for sound in clips.sounds), default=0) if isinstance(clips, ClipItems) else 0
        if longest > extractor.n_samples:
            raise ValueError(
                f"The sound of this clip lasts {longest / extractor.sampling_rate:.0f} s and vLLM reads {extractor.chunk_length} s of it; "
                "cut the clip."
            )

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        return super()._call_hf_processor(hf_data, {name: value for name, value in hf_kwargs.items() if name != REQUEST})

    def _get_hf_mm_inputs(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> HFMultiModalInputs:
        """Give vLLM's processor the sounds of clips behind those that stand alone; what it makes of them is told apart again."""
        clips = mm_items.get(CLIP)
        if not isinstance(clips, ClipItems):
            return super()._get_hf_mm_inputs(mm_items, hf_kwargs)
        alone = list(mm_items["audio"].data) if "audio" in mm_items else []
        plain = {CLIP: VideoProcessorItems(clips.data, metadata=clips.metadata)}
        if alone or clips.sounds:
            plain |= self.info.data_parser.parse_mm_data({"audio": [*alone, *clips.sounds]})
        made = super()._get_hf_mm_inputs(MultiModalDataItems({**mm_items, **plain}), hf_kwargs)
        extra = {
            MEL_FRAMES: torch.tensor([0 if clip.waveform is None else 1 for clip in clips.clips]),  # whether, until lengths are known
            SILENT: torch.tensor([clip.waveform is not None and float(np.abs(clip.waveform).max()) < SILENCE for clip in clips.clips]),
            "clip_seconds": torch.tensor([second_per_frame(clip.metadata) or 0.0 for clip in clips.clips], dtype=torch.float64),
        }
        return made._replace(passthrough_data={**made.passthrough_data, **extra})

    def _postprocess_hf_mm_data(
        self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object], processed_data: BatchFeature
    ) -> BatchFeature:
        data = super()._postprocess_hf_mm_data(hf_data, hf_kwargs, processed_data)
        if "video_grid_thw" not in data:
            return data
        clips = len(data["video_grid_thw"])
        sounded = data.pop(MEL_FRAMES, torch.zeros(clips, dtype=torch.int64))
        own = int(sounded.sum())
        bins = self.info.get_feature_extractor().feature_size
        mel, frames = data.pop("input_audio_features", None), data.pop("audio_feature_lengths", None)
        mask = data.pop("feature_attention_mask", None)
        frames = torch.zeros(0, dtype=torch.int64) if frames is None else frames.flatten()
        mel = torch.zeros(bins, 0) if mel is None else mel
        alone = len(frames) - own
        first = int(frames[:alone].sum())
        if alone:
            data["input_audio_features"], data["audio_feature_lengths"] = mel[:, :first], frames[:alone]
            if mask is not None:
                data["feature_attention_mask"] = mask[:alone]
        lengths = torch.zeros(clips, dtype=torch.int64)
        lengths[sounded.bool()] = frames[alone:].to(torch.int64)
        data[MEL], data[MEL_FRAMES] = mel[:, first:].contiguous(), lengths
        data[SILENT] = data.get(SILENT, torch.zeros(clips, dtype=torch.bool))
        text = str(hf_kwargs.get(REQUEST) or server_pruning().to_json())
        data[SETTINGS] = torch.tensor(list(text.encode()), dtype=torch.uint8)
        self._time_steps(data, hf_kwargs)
        return data

    def _time_steps(self, data: BatchFeature, hf_kwargs: Mapping[str, object]) -> None:
        """Seconds of a step by how many frames were taken of the video, unless the request says how many a second."""
        taken = data.pop("clip_seconds", None)
        if taken is None or "fps" in self.info.ctx.get_merged_mm_kwargs(hf_kwargs):
            return
        told = torch.as_tensor(data["second_per_grid_ts"], dtype=torch.float64).flatten()
        per_step = self.info.get_hf_config().vision_config.temporal_patch_size * taken
        data["second_per_grid_ts"] = torch.where(taken > 0, per_step, told).to(torch.float32)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        fields = dict(super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs))
        lengths = hf_inputs.get(MEL_FRAMES, torch.zeros(0, dtype=torch.int64))
        return fields | {
            MEL: MultiModalFieldConfig.flat_from_sizes(CLIP, lengths, dim=1),
            MEL_FRAMES: MultiModalFieldConfig.batched(CLIP, keep_on_cpu=True),
            SILENT: MultiModalFieldConfig.batched(CLIP, keep_on_cpu=True),
            SETTINGS: MultiModalFieldConfig.shared(CLIP, len(lengths), keep_on_cpu=True),
        }

    def _get_prompt_updates(
        self, mm_items: MultiModalDataItems, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: MultiModalKwargsItems
    ) -> Sequence[PromptUpdate]:
        stock = super()._get_prompt_updates(mm_items, hf_processor_mm_kwargs, out_mm_kwargs)
        thinker = self.info.get_hf_config()

        def left(index: int) -> Any:
            item = out_mm_kwargs[CLIP][index].get_data()
            layout, pruning = layout_of(thinker, item), settings_of(item)
            tokens = [thinker.video_token_id] * pruning.kept(layout)
            if layout.n_audio:
                tokens = [thinker.audio_start_token_id, *tokens, thinker.audio_end_token_id]
            return PromptUpdateDetails.select_token_id(tokens, embed_token_id=thinker.video_token_id)

        own = PromptReplacement(modality=CLIP, target=[thinker.video_token_id], replacement=left)
        return [*(update for update in stock if update.modality != CLIP), own]

    def _maybe_apply_prompt_updates(self, mm_items: Any, mm_res: Any) -> Any:
        """Without what vLLM does for sound that stands beside its video."""
        return BaseMultiModalProcessor._maybe_apply_prompt_updates(self, mm_items, mm_res)


def layout_of(thinker: Any, item: Mapping[str, Any]) -> ClipLayout:
    """The sizes of a video item by its fields."""
    return ClipLayout.of(thinker, item["video_grid_thw"].flatten().tolist(), int(item[MEL_FRAMES]), float(item["second_per_grid_ts"]))


def settings_of(item: Mapping[str, Any]) -> Pruning:
    """What a video item's fields ask for."""
    return Pruning.from_json(bytes(item[SETTINGS].flatten().tolist()).decode())
