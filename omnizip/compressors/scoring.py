"""Methods that are one score per token, and methods that keep all sound and a share of the video."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from ..deferred import Tensor, torch
from ..stream import Compression, Modality, Reason, TokenStream, placed
from .base import Compressor, check_retention, option
from .ops.selection import foremost


@dataclass(frozen=True)
class ScoringCompressor(Compressor):
    """Keeps the audio and video tokens of highest score, all of the clip in one ranking.

    A subclass writes `score`; what is kept, `at_retention` and the notes follow.
    """

    retention: float = option(0.45, "Kept", "Share of audio and video tokens kept.", low=0.0, high=1.0, step=0.01, is_rate=True)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Self:
        """Exactly `retention` of the clip."""
        return replace(cls(**fields), retention=check_retention(retention))

    @abstractmethod
    def score(self, stream: TokenStream) -> Tensor:
        """(M,) float of the audio and video tokens at `stream.media_index`: the higher, the sooner kept; the earlier of equals."""

    def compress(self, stream: TokenStream) -> Compression:
        """Keep round(retention * M) tokens."""
        media = stream.media_index
        kept = foremost(*self.groups(stream, round(self.retention * media.numel())))
        reason = torch.zeros_like(stream.modality)
        reason[media] = torch.where(placed(kept, media.device), Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype)
        return Compression.of(stream, reason, notes=self.notes(stream))

    def groups(self, stream: TokenStream, total: int) -> tuple[Tensor, Tensor, int | Tensor]:
        """(M,) int64 group and (M,) score of each token, and how many of a group to keep: one number, or (M,) of each one's own."""
        return torch.zeros_like(stream.media_index), self.score(stream), total

    def notes(self, stream: TokenStream) -> tuple[str, ...]:
        """What people have to know about the decision, one sentence each."""
        return ()


@dataclass(frozen=True)
class VideoCompressor(Compressor):
    """Keeps all sound, and the share of the video that its field `video_share` names."""

    keeps_first_step: ClassVar[bool] = False  # whether the clip's first step is kept whole, whatever the share
    least_share: ClassVar[float] = 0.0  # the smallest share the field takes
    exact: ClassVar[Mapping[str, Any]] = {}  # fields with which the share is met to the token

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Self:
        """The share of the video that meets the retention with all sound kept, to the token."""
        n_audio, n_video = stream.n_audio, stream.n_video
        wanted = round(check_retention(retention) * (n_audio + n_video)) - n_audio
        video = min(n_video, max(stream.tokens_per_step if cls.keeps_first_step else 0, wanted, 0))
        shortfall = ""
        if video != wanted:
            kept = "sound nor a clip's first step" if cls.keeps_first_step and stream.tokens_per_step else "sound"
            reached = (n_audio + video) / max(1, n_audio + n_video)
            shortfall = f"This method never drops {kept}, so it keeps {reached:.1%} where {retention:.1%} was asked."
        share = max(cls.least_share, video / n_video if n_video else 1.0)
        return cls(**{**fields, **cls.exact, "video_share": share, "shortfall": shortfall})

    def notes(self, stream: TokenStream) -> tuple[str, ...]:
        """What people have to know about the decision, one sentence each."""
        return (self.shortfall,) if self.shortfall else ()

    def keep_video(self, stream: TokenStream, kept: Tensor, reason: Reason) -> Compression:
        """Decide for all sound and the video that `kept` (steps, n) bool marks, kept for `reason`."""
        why = keep_audio(stream)
        why[stream.video_index] = torch.where(kept.flatten(), reason, Reason.DROPPED).to(why.dtype)
        return Compression.of(stream, why, notes=self.notes(stream))


@dataclass(frozen=True)
class WatchedVideoCompressor(VideoCompressor):
    """A VideoCompressor that ranks by the attention video receives in its encoder."""

    needs: ClassVar[frozenset[str]] = frozenset({"saliency_video"})

    def score(self, stream: TokenStream) -> Tensor:
        """(steps, n) attention each video token receives, or what stands in for it."""
        return video_saliency(stream)

    def notes(self, stream: TokenStream) -> tuple[str, ...]:
        """What people have to know: that the target was missed, that no attention was given."""
        return (*super().notes(stream), *video_saliency_notes(stream))


def keep_audio(stream: TokenStream) -> Tensor:
    """(L,) uint8 reasons that keep all text and sound; video is still to be decided."""
    return torch.where(stream.modality == Modality.AUDIO, Reason.METHOD_SCORE, Reason.TEXT).to(stream.modality.dtype)


def video_saliency(stream: TokenStream) -> Tensor:
    """(steps, n) attention each video token receives in its encoder; the norm of its embedding where a stream knows none."""
    if not stream.n_video:
        return torch.zeros(0, 0, device=stream.embeds.device)
    observed = stream.observed("saliency_video")
    if observed is None:
        observed = stream.embeds[stream.video_index].float().norm(dim=-1)
    return observed.view(stream.grid[0], -1)


def video_saliency_notes(stream: TokenStream) -> tuple[str, ...]:
    """What has to be said of the ranking by `video_saliency`."""
    if not stream.n_video or stream.observed("saliency_video") is not None:
        return ()
    return ("No attention was given, so video is ranked by the norm of its embeddings.",)
