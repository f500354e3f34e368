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
from typing import TYPE_CHECKING, Any, ClassVar

from ..budget import MAX_RATE
from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import Compressor, check_retention, option
from .ops.blocks import block_bytes, edges, padded, present
from .ops.selection import cumulative_rounding, highest
from .ops.similarity import cosines, echo

if TYPE_CHECKING:
    from .omnisift_selector import AudioSelector  # a module of torch's


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
        self._audio(stream, self._video(stream, reason), reason)
        notes = () if self._selector(stream) is not None or stream.n_audio == 0 else (STAND_IN,)
        return Compression.of(stream, reason, notes=notes)

    def _selector(self, stream: TokenStream) -> AudioSelector | None:
        """The one given, else the one that came with the model's checkpoint."""
        return self.selector if self.selector is not None else stream.audio_selector

    def _counts(self, sizes: Tensor, rate: float) -> Tensor:
        if self.rounding == "exact":
            return cumulative_rounding(sizes.double() * (1 - rate))
        return sizes - (sizes.double() * rate).to(torch.int64)

    def _video(self, stream: TokenStream, reason: Tensor) -> Tensor:
        """Write the video's part of `reason`; return (W,) int64 on the host, how many tokens of each window are kept."""
        structure, n = stream.structure, stream.tokens_per_step
        kept = self._counts(torch.full_like(structure.step_window, n), self.rho_video)
        for block in structure.step_blocks(n * stream.embeds.shape[1] * 4, block_bytes(stream.embeds.device)):
            index = stream.video_index[block.start * n : block.stop * n].view(-1, n)
            x = stream.embeds[index].float()
            later = placed(structure.step_rank[block] % 2 == 1, x.device)
            likeness = echo(x, x.mean(dim=1, keepdim=True).expand_as(x))
            likeness[1:] = torch.where(later[1:, None], echo(x[1:], x[:-1]), likeness[1:])
            keep = highest(-likeness, kept[block])
            kinds = torch.where(later, Reason.CHANGE, Reason.METHOD_SCORE)[:, None]
            reason[index] = torch.where(keep, kinds, Reason.DROPPED).to(reason.dtype)
        return edges(kept)[edges(structure.steps_per_window)].diff()

    def _audio(self, stream: TokenStream, video_counts: Tensor, reason: Tensor) -> None:
        """Write the audio's part of `reason`, by the video that is kept.

        Args:
            video_counts: (W,) on the host.
        """
        counts = stream.structure.audio_counts
        reason[stream.audio_index] = Reason.METHOD_SCORE
        chosen = ((counts > 1) & (video_counts > 0)).nonzero().flatten()
        if chosen.numel() == 0:
            return
        video = stream.video_index[reason[stream.video_index] < Reason.FOLDED]  # waits for the device
        device = video.device
        (audio_places, absent), (video_places, no_video) = padded(counts, chosen), padded(video_counts, chosen)
        index, hidden = stream.audio_index[placed(audio_places, device)], placed(no_video, device)
        audio_rows, video_rows = stream.embeds[index].float(), stream.embeds[video[placed(video_places, device)]].float()
        selector = self._selector(stream)
        if selector is None:
            score = cosines(audio_rows, video_rows).masked_fill(hidden[:, None], -torch.inf).amax(dim=-1)
        else:
            with torch.no_grad():
                score = selector.to(device)(audio_rows, video_rows, hidden)
        keep = highest(score.masked_fill(placed(absent, device), -torch.inf), self._counts(counts[chosen], self.rho_audio))
        real = present(absent, device)
        reason[index.flatten()[real]] = torch.where(keep, Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype).flatten()[real]


STAND_IN = "No trained selector is loaded, so audio is ranked by its cosine to the kept video tokens instead."
