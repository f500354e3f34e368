"""OmniZip: audio decides where video tokens are kept, under a budget that is exact for every clip.

Source: Tao et al., "OmniZip: Audio-Guided Dynamic Token Compression for Fast Omnimodal Large Language Models", CVPR 2026,
sections 3.1 (audio), 3.2 (dynamic pruning rates), 3.3 (interleaved spatio-temporal compression).

1. Audio: the tokens that receive most attention over the clip are kept as salient. Of the rest a few per window become
   anchors, which absorb those of their neighbours that are closest to the window's picture.
2. Rates: the more of a window's audio is salient, the less of its video is pruned: rho_max - (rho_max - rho_min) * S_a,
   shifted by one constant so that the clip meets rho_video exactly.
3. Video: in the first step of a window density peaks are kept, in the second what changed at its place.

Where the paper leaves gaps (its budget normaliser is undefined, its text and figure disagree on merging in time) the choices
are: anchors counted in neither S_a nor rho_audio, ties spread evenly over time, counts by cumulative rounding over the
steps, windows by time. `OmniZip.official` gives the published code's choices instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..budget import bounds, rates_for, solve_rates
from ..errors import MethodError
from ..stream import Compression, Reason, TokenStream
from ..windows import block_bytes, cumulative_rounding, placed
from .anchoring import AudioChoice, most_salient
from .base import Compressor, option
from .dycoke import THINNED, changed_in_groups
from .omnizip_official import OmniZipOfficial
from .ops.merging import average, foremost
from .ops.similarity import Steps, highest
from .ops.video import video_saliency


@dataclass(frozen=True)
class OmniZip(Compressor):
    """The paper's method with an exact budget; every switch of the paper's ablations is a field."""

    name: ClassVar[str] = "omnizip"
    label: ClassVar[str] = "OmniZip"
    summary: ClassVar[str] = "Keeps more of the picture where much of the sound matters, and folds minor sound into anchors."
    source: ClassVar[str] = "arXiv 2511.14582 (CVPR 2026)"
    fidelity: ClassVar[str] = "faithful to the paper, its gaps filled"

    rho_audio: float = option(
        0.3, "Audio pruned", "Share of audio tokens not kept as salient.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_video: float = option(
        0.6, "Video pruned", "Share of video tokens dropped over the clip.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_min: float = option(
        0.35, "Least pruned", "Video pruning rate of a window whose audio is all salient.", low=0.0, high=1.0, step=0.05
    )
    rho_max: float = option(0.75, "Most pruned", "Video pruning rate of a window without salient audio.", low=0.0, high=1.0, step=0.05)
    anchor_ratio: float = option(0.05, "Anchors", "Share of audio tokens kept in addition, as anchors.", low=0.0, high=0.3, step=0.01)
    merge_size: int = option(3, "Merged per anchor", "Audio tokens folded into each anchor (the paper's G).", low=0, high=18, step=1)
    neighbours: int = option(5, "Neighbours", "Nearest tokens that tell how dense a place is (k).", low=1, high=20, step=1)
    saliency_scope: str = option(
        "clip", "Saliency over", "Where attention competes: the whole clip or two seconds.", choices=("clip", "window")
    )
    similarity_scope: str = option(
        "window", "Compare with", "Which picture decides what anchors absorb: their window's or the clip's.", choices=("window", "clip")
    )
    temporal: str = option("drop", "Unchanged video", "Drop it, or fold it into the step before.", choices=("drop", "fold"))
    dynamic: bool = option(True, "Dynamic pruning", "Off: every window's video is pruned alike.")
    anchors: bool = option(True, "Audio anchors", "Off: audio that is not salient is dropped.")
    audio_selector: str = option("saliency", "Audio chosen by", "Attention received, or at random.", choices=("saliency", "random"))
    video_selector: str = option(
        "istc",
        "Video chosen by",
        "Density peaks and change, at random, or as DyCoke or VisionZip do, which know no rates per window.",
        choices=("istc", "random", "dycoke", "visionzip"),
    )
    seed: int = option(0, "Seed", "Seed of the random selectors.", low=0, high=2**31 - 1, step=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho_min > self.rho_max:
            raise MethodError(f"rho_min is {self.rho_min} and rho_max {self.rho_max}; rho_min must not exceed rho_max.")

    @staticmethod
    def official(rho_audio: float = 0.3, rho_video: float = 0.6, anchor_ratio: float = 0.05, merge_size: int = 3) -> OmniZipOfficial:
        """The published code's decisions, under the name "omnizip-official"."""
        return OmniZipOfficial(rho_audio=rho_audio, rho_video=rho_video, anchor_ratio=anchor_ratio, merge_size=merge_size)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniZip:
        """The rates that keep exactly `retention` of this clip's own mix of tokens, as far as [0, 0.95] allows."""
        given = cls(**fields)
        ratio = given.anchor_ratio if given.anchors else 0.0
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ratio)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    @property
    def needs(self) -> frozenset[str]:
        """The saliency this instance ranks by; none where audio is chosen at random."""
        picture = frozenset({"saliency_video"} if self.video_selector == "visionzip" else ())
        if self.audio_selector == "random":
            return picture
        return picture | {"saliency" if self.saliency_scope == "clip" else "saliency_windowed"}

    def compress(self, stream: TokenStream, on_stage: Callable[[str], None] = lambda stage: None) -> Compression:
        """Choose salient audio, anchors and video; see the module's description.

        An accelerator is waited for four times: for modality and window of the stream, once per stream, the salient counts of
        the windows, and how many tokens anchors absorb. Steps at no even distance in the prompt wait once more per block.

        Args:
            on_stage: told "audio", "budget", "video" and "merging" as each is done, so that a benchmark can time them.
        """
        reason = torch.zeros_like(stream.modality)
        source = torch.full_like(stream.window, -1)
        audio = self._audio(stream)
        on_stage("audio")
        chosen, notes = self._swapped(stream)
        rates = self._rates(stream, audio.retention) if chosen is None else _realised(stream, chosen)
        on_stage("budget")
        folded, folded_embeds = self._video(stream, audio, rates, chosen, reason, source)
        on_stage("video")
        anchors, anchor_embeds = audio.write(self.merge_size, reason, source)
        on_stage("merging")
        return Compression.of(
            stream,
            reason,
            source=source,
            folded=torch.cat([anchors, folded]),
            folded_embeds=torch.cat([anchor_embeds, folded_embeds.to(anchor_embeds.dtype)]),
            audio_retention=audio.retention.float(),
            video_pruning_rate=torch.where(stream.structure.video_counts > 0, rates, torch.nan).float(),
            notes=(*_notes(stream, self.dynamic and chosen is None), *notes),
        )

    def _audio(self, stream: TokenStream) -> AudioChoice:
        count = round((1 - self.rho_audio) * stream.n_audio)
        if self.audio_selector == "random":
            scores = torch.rand(stream.n_audio, generator=torch.Generator().manual_seed(self.seed)).to(stream.embeds.device)
        else:
            scores = stream.saliency if self.saliency_scope == "clip" else stream.saliency_windowed
            if scores is None:
                raise MethodError("This stream carries no audio saliency; give audio_saliency, or choose audio at random.")
            scores = scores[stream.audio_index]
        anchors = round(self.anchor_ratio * stream.n_audio) if self.anchors else 0
        return AudioChoice.of(stream, most_salient(scores, count), anchors)

    def _rates(self, stream: TokenStream, audio_retention: Tensor) -> Tensor:
        """(W,) float64 video pruning rate of each window, on the host."""
        rates = torch.full((stream.n_windows,), self.rho_video, dtype=torch.float64)
        guided = (stream.structure.video_counts > 0) & (stream.structure.audio_counts > 0)
        if self.dynamic and bool(guided.any()):
            base = self.rho_max - (self.rho_max - self.rho_min) * audio_retention[guided]
            low, high = bounds(self.rho_video, self.rho_min, self.rho_max)
            rates[guided] = solve_rates(base, stream.structure.video_counts[guided], self.rho_video, low, high)
        return rates

    def _swapped(self, stream: TokenStream) -> tuple[Tensor | None, tuple[str, ...]]:
        """(steps, n) bool the video that another method's rule keeps, under this method's budget; None for our own rules."""
        if self.video_selector == "dycoke" and stream.n_video:
            chosen, thinned = changed_in_groups(stream, stream.video_index, stream.tokens_per_step, self.rho_video)
            return chosen, (THINNED,) if thinned else ()
        if self.video_selector == "visionzip" and stream.n_video:
            score, notes = video_saliency(stream)
            kept = foremost(torch.zeros_like(stream.video_index), score.flatten(), round((1 - self.rho_video) * stream.n_video))
            return kept.view(score.shape), notes
        return None, ()

    def _video(
        self, stream: TokenStream, audio: AudioChoice, rates: Tensor, chosen: Tensor | None, reason: Tensor, source: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Write the video's part of `reason` and `source`, block by block; return what folding rewrote."""
        structure, n = stream.structure, stream.tokens_per_step
        kept = cumulative_rounding(n * (1 - rates[structure.step_window]))  # (steps,)
        chance = None
        if self.video_selector == "random":
            chance = torch.rand(stream.grid[0], n, generator=torch.Generator().manual_seed(self.seed)).to(stream.embeds.device)
        folds = [(stream.video_index[:0], stream.embeds[:0])]
        keep = torch.empty(stream.grid[0], n, dtype=torch.bool, device=stream.embeds.device)
        for block in structure.step_blocks(n * stream.embeds.shape[1] * 4, block_bytes(stream.embeds.device)):
            later = structure.step_rank[block] % 2 == 1  # the second step of a window is compared with its first
            steps = Steps.of(stream.embeds, stream.step_places[block], later)
            audio.look_at(steps, structure.step_window[block], self.similarity_scope == "clip")
            if chosen is None:
                keep[block] = highest(steps.scores(self.neighbours) if chance is None else chance[block], kept[block])
            else:
                keep[block] = chosen[block]
            if self.temporal == "fold":
                index = stream.video_index[block.start * n : block.stop * n].view(-1, n)
                folds.append(_fold(stream, index, steps, keep[block], reason, source))
        kinds = torch.where(structure.step_rank % 2 == 1, Reason.CHANGE, Reason.DENSITY_PEAK)
        if self.video_selector == "dycoke":
            kinds = torch.full_like(kinds, Reason.CHANGE)
        elif self.video_selector != "istc":
            kinds = torch.full_like(kinds, Reason.METHOD_SCORE)
        why = torch.where(keep, placed(kinds, keep.device)[:, None], Reason.DROPPED).to(reason.dtype).flatten()
        before = reason[stream.video_index]  # 0, or FOLDED
        reason[stream.video_index] = torch.where(before == Reason.FOLDED, before, why)
        return torch.cat([rows for rows, _ in folds]), torch.cat([embeds.float() for _, embeds in folds])


def _realised(stream: TokenStream, chosen: Tensor) -> Tensor:
    """(W,) float64 on the host: the share of each window's video that `chosen` (steps, n) drops."""
    structure = stream.structure
    kept = torch.zeros(structure.n_windows, dtype=torch.float64)
    kept.index_add_(0, structure.step_window, chosen.sum(dim=1).cpu().double())
    return 1 - kept / structure.video_counts.clamp(min=1)


def _fold(stream: TokenStream, index: Tensor, steps: Steps, keep: Tensor, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Fold what second steps drop into their first steps: the same place if that was kept, else the most alike kept there."""
    first, norm = steps.first[steps.followed], steps.first_norm[steps.followed]
    index_first, keep_first = index[steps.at_first][steps.followed], keep[steps.at_first][steps.followed]
    index_second, keep_second = index[steps.at_second], keep[steps.at_second]
    alike = (steps.second / steps.second_norm) @ (first / norm).transpose(1, 2)
    alike = alike.masked_fill(~keep_first[:, None, :], -torch.inf)
    same = torch.arange(index.shape[1], device=index.device).expand_as(index_second)
    place = torch.where(keep_first, same, alike.argmax(dim=-1))
    folds = ~keep_second & keep_first.any(dim=-1, keepdim=True)
    token, survivor = index_second[folds], index_first.gather(1, place)[folds]
    reason[token] = Reason.FOLDED
    source[token] = survivor
    return average(stream.embeds, token, survivor)


def _notes(stream: TokenStream, dynamic: bool) -> tuple[str, ...]:
    if not dynamic or stream.n_video == 0:
        return ()
    if stream.n_audio == 0:
        return ("The clip has no sound to guide by, so every window's picture is compressed alike.",)
    if stream.saliency_kind == "uniform":
        return ("The sound track is silent, so every window's picture is compressed alike.",)
    if stream.saliency_kind == "embedding norm":
        return ("No attention was given, so audio is ranked by the norm of its embeddings.",)
    return ()
