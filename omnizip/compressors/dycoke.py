"""DyCoke (V&A): temporal token merging of DyCoke's first stage, applied to picture and sound alike.

Source: "DyCoke", CVPR 2025, arXiv 2411.15024, section 3.2; its audio-visual variant is a baseline of OmniZip and OmniSIFT that was never
released, so its sound follows the same rule on pseudo-frames of one second. Despite its name the method drops.

Frames in groups of four: the first is kept whole; of the second and fourth stay the tokens least like the same place one
frame earlier, of the third those least like the first. The published code leaves the last group's third frame whole, loses an odd last
frame, fails below five frames and reorders tokens; here it does not. Its ratio K of the reduced frames is 4/3 of the rho here:
K = 0.7 is rho = 0.525. Whole first frames leave a quarter; below that they are thinned evenly, and the notes say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import rates_for
from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import Compressor, check_retention, option
from .ops.blocks import block_bytes
from .ops.selection import cumulative_rounding, highest, spread
from .ops.similarity import echo

GROUP = 4
AUDIO_FRAME = 25  # tokens of one second
THINNED = "So little was asked that the frames this method keeps whole had to be thinned evenly."


@dataclass(frozen=True)
class DyCoke(Compressor):
    """Change within groups of four frames, for picture and sound."""

    name: ClassVar[str] = "dycoke"
    label: ClassVar[str] = "DyCoke (V&A)"
    summary: ClassVar[str] = "Keeps each fourth second whole and of the others what changed, in picture and sound."
    source: ClassVar[str] = "arXiv 2411.15024 (CVPR 2025); audio as named in arXiv 2511.14582"
    fidelity: ClassVar[str] = "adapted: faults of the code mended, audio rule inferred"

    rho_audio: float = option(0.3, "Audio pruned", "Share of audio tokens dropped.", low=0.0, high=0.95, step=0.01, is_rate=True)
    rho_video: float = option(0.6, "Video pruned", "Share of video tokens dropped.", low=0.0, high=0.95, step=0.01, is_rate=True)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> DyCoke:
        """The audio share of the OmniZip presets, and the video share that meets the retention."""
        rho_audio, rho_video = rates_for(check_retention(retention), stream.n_audio, stream.n_video, 0.0)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    def compress(self, stream: TokenStream) -> Compression:
        """The same rule on steps of video and on seconds of audio."""
        reason = torch.zeros_like(stream.modality)
        thinned = False
        for index, size, rho in (
            (stream.video_index, stream.tokens_per_step, self.rho_video),
            (stream.audio_index, AUDIO_FRAME, self.rho_audio),
        ):
            if index.numel():
                chosen, thin = changed_in_groups(stream, index, size, rho)
                reason[index] = torch.where(chosen.flatten()[: index.numel()], Reason.CHANGE, Reason.DROPPED).to(reason.dtype)
                thinned = thinned or thin
        return Compression.of(stream, reason, notes=(THINNED,) if thinned else ())


def changed_in_groups(stream: TokenStream, index: Tensor, size: int, rho: float) -> tuple[Tensor, bool]:
    """(frames, size) bool what the rule keeps of the tokens at `index` (T,), and whether whole frames had to be thinned.

    Args:
        index: at least one token, in frames of `size`, the last one maybe shorter; rho: share of them to drop.
    """
    total = index.numel()
    frames = -(-total // size)
    sizes = torch.full((frames,), size)
    sizes[-1] = total - (frames - 1) * size
    whole = torch.arange(frames) % GROUP == 0
    target, reduced = round((1 - rho) * total), int(sizes[~whole].sum())
    of_whole = min(target, total - reduced)
    counts = torch.zeros(frames, dtype=torch.int64)
    counts[whole] = cumulative_rounding(sizes[whole] * (of_whole / (total - reduced)))
    counts[~whole] = cumulative_rounding(sizes[~whole] * ((target - of_whole) / max(1, reduced)))
    score = _unlikeness(stream, index, size, frames)
    even = spread(torch.arange(size), counts[:, None], sizes[:, None])
    chosen = torch.where(placed(whole[:, None], index.device), placed(even, index.device), highest(score, counts))
    return chosen, target < total - reduced


def _unlikeness(stream: TokenStream, index: Tensor, size: int, frames: int) -> Tensor:
    """(frames, size) minus the cosine to the same place of the frame it is compared with; -inf where a short last frame has no token."""
    whole = torch.cat([index, index[-1:].expand(frames * size - index.numel())]).view(frames, size)
    score = torch.zeros(frames, size, device=index.device)
    place = torch.arange(frames)
    compared = placed(torch.where(place % GROUP == 2, place - 2, place - 1).clamp(min=0), index.device)
    per_block = max(1, block_bytes(index.device) // (8 * size * stream.embeds.shape[1]))
    for start in range(0, frames, per_block):
        block = slice(start, start + per_block)
        score[block] = -echo(stream.embeds[whole[block]].float(), stream.embeds[whole[compared[block]]].float())
    score.view(-1)[index.numel() :] = -torch.inf
    return score
