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

from ..budget import guided_rates, rates_for
from ..deferred import Tensor, torch
from ..errors import MethodError
from ..stream import Compression, TokenStream
from .audio_selectors import AUDIO_SELECTORS
from .base import Compressor, option
from .omnizip_audio import AudioChoice, most_salient
from .omnizip_official import OmniZipOfficial
from .omnizip_selectors import VIDEO_SELECTORS
from .omnizip_video import VideoChoice
from .ops.selection import cumulative_rounding


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
    audio_selector: str = option(
        "saliency",
        "Audio chosen by",
        "Attention received, evenly over time, loudness, what is new in the last second, or at random.",
        choices=tuple(AUDIO_SELECTORS),
    )
    video_selector: str = option(
        "istc",
        "Video chosen by",
        "Density peaks and change, at random, or as DyCoke or VisionZip do, which know no rates per window.",
        choices=tuple(VIDEO_SELECTORS),
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

    @staticmethod
    def official_qwen3(rho_audio: float = 0.4, rho_video: float = 0.7) -> OmniZipOfficial:
        """The choices of the published port to Qwen3-Omni: sound ranked within the encoder's own blocks, and its default rates."""
        return OmniZipOfficial(rho_audio=rho_audio, rho_video=rho_video, saliency_scope="window")

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniZip:
        """The rates that keep exactly `retention` of this clip's own mix of tokens, as far as [0, 0.95] allows."""
        given = cls(**fields)
        ratio = given.anchor_ratio if given.anchors else 0.0
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ratio)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]  (the only method that needs less with some options)
        """The saliency this instance ranks by; none where audio is chosen by something else."""
        video = frozenset({"saliency_video"} if self.video_selector == "visionzip" else ())
        if self.audio_selector != "saliency":
            return video
        return video | {"saliency" if self.saliency_scope == "clip" else "saliency_windowed"}

    def compress(self, stream: TokenStream, on_stage: Callable[[str], None] = lambda stage: None) -> Compression:
        """Choose salient audio, anchors and video; see the module's description.

        Synchronises with the device three times: for the layout of the stream (once a stream), the salient counts of the
        windows, and how many tokens anchors absorb; once more where video is folded.

        Args:
            on_stage: told "audio", "budget", "video" and "merging" as each is done, so that a benchmark can time them.
        """
        # Section 3.1: the audio that receives most attention is salient; of the rest a few tokens a window become anchors.
        scores = AUDIO_SELECTORS[self.audio_selector](stream, self.seed, self.saliency_scope)
        salient = most_salient(scores, round((1 - self.rho_audio) * stream.n_audio))
        audio = AudioChoice.of(stream, salient, round(self.anchor_ratio * stream.n_audio) if self.anchors else 0)
        on_stage("audio")

        # Section 3.2: the more of a window's audio is salient, the less of its video is pruned.
        selector = VIDEO_SELECTORS[self.video_selector](self, stream)
        rates = self._rates(stream, audio.retention) if selector.rates is None else selector.rates
        counts = cumulative_rounding(stream.tokens_per_step * (1 - rates[stream.structure.step_window]))
        on_stage("budget")

        # Section 3.3: in the first step of a window density peaks are kept, in the second what changed at its place.
        video = VideoChoice.of(stream)
        for block, steps in video.blocks():
            audio.look_at(steps, stream.structure.step_window[block], self.similarity_scope == "clip")
            video.keep[block] = selector.keep(steps, block, counts[block])
            if self.temporal == "fold":
                video.fold(steps, block)
        on_stage("video")

        # Section 3.1, merging: an anchor absorbs those of its neighbours that are closest to the window's picture.
        reason, source = torch.zeros_like(stream.modality), torch.full_like(stream.window, -1)
        anchors, anchor_embeds = audio.fold(self.merge_size, reason, source)
        folded, folded_embeds = video.write(selector.reasons, reason, source)
        on_stage("merging")
        return Compression.of(
            stream,
            reason,
            source=source,
            folded=torch.cat([anchors, folded]),
            folded_embeds=torch.cat([anchor_embeds, folded_embeds.to(anchor_embeds.dtype)]),
            audio_retention=audio.retention.float(),
            video_pruning_rate=torch.where(stream.structure.video_counts > 0, rates, torch.nan).float(),
            notes=(*_notes(stream, self.dynamic and selector.rates is None), *selector.notes),
        )

    def _rates(self, stream: TokenStream, audio_retention: Tensor) -> Tensor:
        """(W,) float64 video pruning rate of each window, on the host: rho_max - (rho_max - rho_min) S_a, on the budget."""
        if not self.dynamic:
            return torch.full((stream.n_windows,), self.rho_video, dtype=torch.float64)
        return guided_rates(stream.structure, audio_retention, self.rho_video, self.rho_min, self.rho_max)


def _notes(stream: TokenStream, dynamic: bool) -> tuple[str, ...]:
    """What people have to know where sound cannot guide, or is ranked by something other than attention."""
    if not dynamic or stream.n_video == 0:
        return ()
    if stream.n_audio == 0:
        return ("The clip has no sound to guide by, so every window's picture is compressed alike.",)
    if stream.saliency_kind == "uniform":
        return ("The sound track is silent, so every window's picture is compressed alike.",)
    if stream.saliency_kind == "embedding norm":
        return ("No attention was given, so audio is ranked by the norm of its embeddings.",)
    return ()
