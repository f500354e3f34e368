"""A clip as one multimodal item of vLLM: its picture and the sound that belongs to it.

vLLM takes both as items of their own, hashes, caches and encodes them apart. A method chooses among both at once, and clips of equal
picture and different sound are different clips, so the sound is put into the video item before anything is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from vllm.model_executor.models.qwen2_5_omni_thinker import Qwen2_5OmniThinkerMultiModalDataParser
from vllm.multimodal.parse import ModalityDataItems, MultiModalDataItems, VideoProcessorItems

CLIP, SOUND = "video", "audio"  # vLLM's names of the modalities


@dataclass(frozen=True, eq=False)
class SoundedClip:
    """Frames as vLLM's parser has them, what it knows of them, and the sound."""

    frames: Any
    metadata: Mapping[str, Any] | None
    waveform: np.ndarray | None  # (S,) at the extractor's rate; None without sound


class ClipItems(VideoProcessorItems):
    """Videos of one request, each with its sound."""

    def __init__(self, clips: Sequence[SoundedClip]) -> None:
        super().__init__([clip.frames for clip in clips], metadata=[clip.metadata for clip in clips])
        self.clips = list(clips)

    def __getitem__(self, index: int) -> SoundedClip | None:
        clip = self.clips[index]
        return None if clip.frames is None else clip

    def get_item_for_hash(self, index: int) -> Any:
        """Picture and sound together, and how long a frame is seen."""
        clip = self.clips[index]
        picture = super().get_item_for_hash(index)
        return picture, second_per_frame(clip.metadata) or 0.0, "no sound" if clip.waveform is None else clip.waveform

    @property
    def sounds(self) -> list[np.ndarray]:
        """Those clips' that have any, in order."""
        return [clip.waveform for clip in self.clips if clip.waveform is not None]


class ClipParser(Qwen2_5OmniThinkerMultiModalDataParser):
    """Takes clips that were put together before, when those that are not cached are parsed again."""

    def _parse_video_data(self, data: Any) -> ModalityDataItems[Any, Any] | None:
        if isinstance(data, list) and data and isinstance(data[0], SoundedClip):
            return ClipItems(data)
        return super()._parse_video_data(data)


def put_together(items: MultiModalDataItems, sounded: bool) -> MultiModalDataItems:
    """The items of a request, its videos with the sound that belongs to them.

    Args:
        sounded: the request asks for the sound of its videos, so its audio items are theirs, in order.

    Raises:
        ValueError: there are more or fewer sounds than videos.
    """
    videos = items.get(CLIP)
    if videos is None or isinstance(videos, ClipItems):
        return items
    if not isinstance(videos, VideoProcessorItems):
        raise ValueError("Embeddings of a video that were made elsewhere cannot be pruned here; send the video itself.")
    rest = {modality: own for modality, own in items.items() if modality != CLIP and not (sounded and modality == SOUND)}
    sounds: list[Any] = [None] * len(videos)
    if sounded and SOUND in items:
        sounds = list(items[SOUND].data) if hasattr(items[SOUND], "data") else []
        if len(sounds) != len(videos):
            raise ValueError(
                f"{len(videos)} videos came with {len(sounds)} sounds under use_audio_in_video, where each video has its own; "
                "leave other sound out, or ask without use_audio_in_video."
            )
    metadata = videos.metadata if isinstance(videos.metadata, list) else [videos.metadata] * len(videos)
    clips = [
        SoundedClip(frames, known, None if sound is None or not len(sound) else np.asarray(sound, dtype=np.float32))
        for frames, known, sound in zip(videos.data, metadata, sounds, strict=True)
    ]
    return MultiModalDataItems({CLIP: ClipItems(clips), **rest})


def second_per_frame(metadata: Mapping[str, Any] | None) -> float | None:
    """Seconds of video a frame that was taken stands for, as Qwen's own utilities count them; None where it cannot be told."""
    taken = (metadata or {}).get("frames_indices")
    if not metadata or not metadata.get("fps") or not metadata.get("total_num_frames") or taken is None or not len(taken):
        return None
    return float(metadata["total_num_frames"]) / float(metadata["fps"]) / len(taken)
