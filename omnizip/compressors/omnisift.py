"""OmniSIFT: video chosen by what is unusual in space and time, then audio chosen by the video that was kept.

Source: "OmniSIFT", ICML 2026, arXiv 2602.04804, sections 3.1 (STVP) and 3.2 (VGAS), re-implemented from a description.

Per chunk of two seconds: of the first step the tokens least like its mean are kept, of the second those least like the same
place in the whole first step; of the audio the highest selector scores. A chunk with one audio token or none, or without
video, keeps its audio. Without trained weights a stand-in ranks audio by its highest cosine to the kept video tokens
(the paper's "direct attention" ablation is the nearest to it and loses 0.8 points). The published language model was
fine-tuned together with the selector; this project uses the selector on the stock model. A selector in the model's
checkpoint (released tensors, or `selector.safetensors` beside it) is used where none is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..budget import MAX_RATE
from ..stream import Compression, Reason, TokenStream
from ..windows import block_bytes, cumulative_rounding
from .audio_selector import AudioSelector
from .base import Compressor, check_retention, option
from .ops.similarity import echo, highest, norms


@dataclass(frozen=True)
class OmniSIFT(Compressor):
    """Spatio-temporal video pruning, then vision-guided audio selection."""

    name: ClassVar[str] = "omnisift"
    label: ClassVar[str] = "OmniSIFT"
    summary: ClassVar[str] = "Keeps unusual and changing patches, then the sound that goes with them."
    source: ClassVar[str] = "arXiv 2602.04804 (ICML 2026)"
    fidelity: ClassVar[str] = "faithful; a stand-in ranks audio where no trained selector is loaded"

    rho_audio: float = option(0.3, "Audio pruned", "Share of audio dropped per chunk.", low=0.0, high=0.95, step=0.01, is_rate=True)
    rho_video: float = option(0.7, "Video pruned", "Share of video dropped per step.", low=0.0, high=0.95, step=0.01, is_rate=True)
    rounding: str = option(
        "published",
        "Counts",
        "Published: every chunk rounds in favour of keeping. Exact: the clip as a whole meets the rates.",
        choices=("published", "exact"),
    )
    selector: AudioSelector | None = None

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniSIFT:
        """Rates along the paper's (table 6: rho_audio 0.4 at 35 %, 0.5 at 25 %), with counts that meet the target exactly."""
        n_audio, n_video = stream.n_audio, stream.n_video
        target = round(check_retention(retention) * (n_audio + n_video))
        rho_audio = min(MAX_RATE, max(0.0, 0.75 - retention))
        audio = round((1 - rho_audio) * n_audio)
        video = min(n_video, max(n_video - int(MAX_RATE * n_video + 1e-9), target - audio))
        if n_audio:
            rho_audio = min(MAX_RATE, max(0.0, 1 - (target - video) / n_audio))
        rho_video = 1 - video / n_video if n_video else 0.0
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video, "rounding": "exact"})

    def compress(self, stream: TokenStream) -> Compression:
        """Video first, audio by the video that is left."""
        reason = torch.zeros_like(stream.modality)
        self._video(stream, reason)
        self._audio(stream, reason)
        notes = () if self._selector(stream) is not None or stream.n_audio == 0 else (STAND_IN,)
        return Compression.of(stream, reason, notes=notes)

    def _selector(self, stream: TokenStream) -> AudioSelector | None:
        """The one given, else the one that came with the model's checkpoint."""
        return self.selector if self.selector is not None else stream.audio_selector

    def _counts(self, sizes: Tensor, rate: float) -> Tensor:
        if self.rounding == "exact":
            return cumulative_rounding(sizes.double() * (1 - rate))
        return sizes - (sizes.double() * rate).to(torch.int64)

    def _video(self, stream: TokenStream, reason: Tensor) -> None:
        structure, n = stream.structure, stream.tokens_per_step
        kept = self._counts(torch.full_like(structure.step_window, n), self.rho_video)
        for block in structure.step_blocks(n * stream.embeds.shape[1] * 4, block_bytes(stream.embeds.device)):
            index = stream.video_index[block.start * n : block.stop * n].view(-1, n)
            x = stream.embeds[index].float()
            later = (structure.step_rank[block] % 2 == 1).to(x.device)
            likeness = echo(x, x.mean(dim=1, keepdim=True).expand_as(x))
            likeness[1:] = torch.where(later[1:, None], echo(x[1:], x[:-1]), likeness[1:])
            keep = highest(-likeness, kept[block])
            kinds = torch.where(later, Reason.CHANGE, Reason.METHOD_SCORE)[:, None]
            reason[index] = torch.where(keep, kinds, Reason.DROPPED).to(reason.dtype)

    def _audio(self, stream: TokenStream, reason: Tensor) -> None:
        structure = stream.structure
        reason[stream.audio_index] = Reason.METHOD_SCORE
        video = stream.video_index[reason[stream.video_index] < Reason.FOLDED]
        video_counts = torch.bincount(stream.window[video], minlength=stream.n_windows).cpu()
        counts = structure.audio_counts
        chosen = ((counts > 1) & (video_counts > 0)).nonzero().flatten()
        if chosen.numel() == 0:
            return
        index, absent = _padded(stream.audio_index, counts, chosen)
        video_index, no_video = _padded(video, video_counts, chosen)
        audio_rows, video_rows = stream.embeds[index].float(), stream.embeds[video_index].float()
        selector = self._selector(stream)
        if selector is None:
            cosine = audio_rows @ video_rows.transpose(1, 2) / (norms(audio_rows) * norms(video_rows).transpose(1, 2))
            score = cosine.masked_fill(no_video[:, None], -torch.inf).amax(dim=-1)
        else:
            with torch.no_grad():
                score = selector.to(audio_rows.device)(audio_rows, video_rows, no_video)
        keep = highest(score.masked_fill(absent, -torch.inf), self._counts(counts[chosen], self.rho_audio))
        reason[index[~absent]] = torch.where(keep, Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype)[~absent]


STAND_IN = "No trained selector is loaded, so audio is ranked by its cosine to the kept video tokens instead."


def _padded(index: Tensor, counts: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P) places in the prompt of the chosen windows' tokens, padded, and (N, P) bool where that is padding.

    Args:
        index: (T,) places of tokens ordered by window; counts: (W,) tokens of each window; chosen: (N,) windows. Host: counts, chosen.
    """
    place = torch.arange(int(counts[chosen].max()))
    rows = (counts.cumsum(0) - counts)[chosen, None] + place
    absent = place >= counts[chosen, None]
    return index[rows.masked_fill(absent, 0).to(index.device)], absent.to(index.device)
