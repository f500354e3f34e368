"""How the tokens of a clip lie in the prompt, and where in time and picture, known from sizes alone.

The order of picture and sound is `omnizip.model.qwen2_5_omni`'s. Positions follow transformers' `get_rope_index`, counted from the clip's
first token: a video token has its step's time (25 a second), row and column, an audio token its number on all axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...model.qwen2_5_omni import AUDIO_STRIDE, media_chunks
from ...stream import Modality, TokenStream
from ...windows import window_of


@dataclass(frozen=True)
class ClipLayout:
    """The sizes of one clip. M is the number of its tokens, markers not counted."""

    grid: tuple[int, int, int]  # steps, rows, columns of video tokens
    n_audio: int  # audio tokens; 0 without sound
    second_per_step: float
    positions_per_second: int = 25
    seconds_per_window: int = 2

    @classmethod
    def of(cls, thinker: Any, patches: Any, mel_frames: int, second_per_step: float) -> ClipLayout:
        """From what vLLM knows of an item.

        Args:
            thinker: the thinker's config.
            patches: steps, rows and columns of patches, before they are merged.
            mel_frames: log-mel frames of the sound, 0 without sound.
        """
        steps, rows, columns = (int(size) for size in patches)
        merge = thinker.vision_config.spatial_merge_size
        return cls(
            (steps, rows // merge, columns // merge),
            -(-mel_frames // (AUDIO_STRIDE // 2)) // 2,
            float(second_per_step),
            thinker.position_id_per_seconds,
            int(thinker.seconds_per_chunk),
        )

    @cached_property
    def modality(self) -> Tensor:
        """(M,) uint8 Modality of each token."""
        video, audio = media_chunks(self.grid, self.n_audio, self.second_per_step, self.positions_per_second, self.seconds_per_window)
        counts = torch.tensor([video, audio]).T.flatten()
        kinds = torch.tensor([Modality.VIDEO, Modality.AUDIO], dtype=torch.uint8).repeat(len(video))
        return kinds.repeat_interleave(counts)

    @cached_property
    def positions(self) -> Tensor:
        """(3, M) int64 time, height, width of each token, from the clip's first position."""
        steps, rows, columns = self.grid
        time = (torch.arange(steps) * torch.tensor(self.second_per_step).float() * self.positions_per_second).long()
        places = torch.stack(torch.meshgrid(time, torch.arange(rows), torch.arange(columns), indexing="ij")).flatten(1)
        positions = torch.empty(3, self.modality.numel(), dtype=torch.int64)
        positions[:, self.modality == Modality.VIDEO] = places
        positions[:, self.modality == Modality.AUDIO] = torch.arange(self.n_audio)
        return positions

    @property
    def latest(self) -> int:
        """The highest position of the clip."""
        return int(self.positions.max())

    @property
    def marker(self) -> int:
        """Position of the markers behind the clip: behind its last chunk, which is not always its latest. Words go on from there."""
        runs = self.modality.diff().nonzero().flatten()
        last = int(runs[-1]) + 1 if runs.numel() else 0
        return int(self.positions[:, last:].max()) + 1

    def stream(self, embeds: Tensor, saliency: Tensor, saliency_windowed: Tensor, **known: Any) -> TokenStream:
        """The clip as a stream of its own, on the device of `embeds`.

        Args:
            embeds: (M, D); saliency, saliency_windowed: (A,) of the sound.
            known: other fields of the stream.
        """
        device, heard = embeds.device, self.modality == Modality.AUDIO
        scores = torch.full((2, heard.numel()), torch.nan, device=device)
        scores[:, heard.to(device)] = torch.stack([saliency, saliency_windowed]).to(scores)
        return TokenStream(
            embeds=embeds,
            positions=self.positions.to(device),
            modality=self.modality.to(device),
            window=window_of(self.positions[0], torch.ones_like(heard)).to(device),
            grid=self.grid,
            saliency=scores[0],
            saliency_windowed=scores[1],
            **known,
        )
