"""Glance: choose what to encode by a glance at the pixels, so that the rest is never looked at; sound is kept evenly over time.

Source: this project. Farthest-point sampling is Gonzalez's (1985); the shares of sound and picture, anchors and what they absorb are
OmniZip's (arXiv 2511.14582, sections 3.1 and 3.2); its audio-guided rates are an option.

1. Picture, before the encoder: of every step the same share of its places, those whose pixels differ most from each other. Pixels
   are averaged over sixteen cells of a place and over the frames of a step, which costs a thousandth of encoding.
2. Sound: tokens at equal distances; of the rest a few per window become anchors, which absorb their neighbours.
3. With `encode_share` more is encoded than is kept, and the same rule chooses among it by what the encoder says.

A place is compared with its own step alone, so nothing is known of what an earlier step has shown already. Where a stream comes
without pixels, places are compared by their embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import guided_rates, rates_for
from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .audio_selectors import AUDIO_SELECTORS
from .base import Compressor, Sight, option
from .omnizip_audio import AudioChoice, most_salient
from .ops.blocks import block_bytes, rows_at, step_rows
from .ops.farthest import farthest_points
from .ops.selection import cumulative_rounding, highest, spread
from .ops.steps import Steps

RHO_MIN, RHO_MAX = 0.35, 0.75  # of OmniZip: video pruning rates of a window whose audio is all, or not at all, among the chosen
NO_PIXELS = "No pixels were given, so the picture is chosen by its embeddings."
NO_GUIDE = "Sound is kept evenly over time, so it says nothing about where the picture matters."


def _farthest(x: Tensor, counts: Tensor, seed: int) -> Tensor:
    return farthest_points(x.mean(dim=2), counts)


def _mean_distance(x: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Those farthest from the step's mean."""
    flat = x.mean(dim=2)
    return highest((flat - flat.mean(dim=1, keepdim=True)).square().sum(dim=-1), counts)


def _variance(x: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Those whose own cells differ most, colour by colour."""
    flat = x.mean(dim=2)
    colours = 3 if flat.shape[-1] == 48 else 1
    return highest(flat.unflatten(-1, (colours, -1)).var(dim=-1, unbiased=False).mean(dim=-1), counts)


def _change(x: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Those least like the same place one step before; in the clip's first step those farthest from its mean."""
    flat = x.mean(dim=2)
    before = torch.cat([flat[:1].mean(dim=1, keepdim=True).expand(-1, flat.shape[1], -1), flat[:-1]])
    return highest((flat - before).square().sum(dim=-1), counts)


def _random(x: Tensor, counts: Tensor, seed: int) -> Tensor:
    """Draws, the same on every device."""
    draws = torch.rand(x.shape[:2], generator=torch.Generator().manual_seed(seed))
    return highest(placed(draws, x.device), counts)


# Each chooses of features (S, n, frames, F) of places the `counts` (S,) of each step, on the host; "steps" only moves the counts.
PICTURE_RULES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "farthest": _farthest,
    "mean-distance": _mean_distance,
    "variance": _variance,
    "change": _change,
    "random": _random,
    "steps": _farthest,
}


@dataclass(frozen=True)
class FirstGlance(Compressor):
    """Chooses the picture before it is encoded; every part can be swapped, so that it can be tested alone."""

    name: ClassVar[str] = "glance"
    label: ClassVar[str] = "Glance"
    summary: ClassVar[str] = "Encodes only the places whose pixels differ most, the same share of every step, and keeps sound evenly."
    source: ClassVar[str] = "this project; arXiv 2511.14582 for shares and anchors"
    fidelity: ClassVar[str] = "exact"
    chooses_before_encoding: ClassVar[bool] = True

    rho_audio: float = option(
        0.3, "Audio pruned", "Share of audio tokens that are neither kept nor anchors.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_video: float = option(0.6, "Video pruned", "Share of video tokens not kept.", low=0.0, high=0.95, step=0.01, is_rate=True)
    audio: str = option(
        "uniform",
        "Audio kept by",
        "Evenly over time, at random, by loudness, by what is new in the last second, or by attention received.",
        choices=("uniform", "random", "energy", "novelty", "saliency"),
    )
    picture: str = option(
        "farthest",
        "Picture kept by",
        "Places that differ most from each other, from their step's mean, within themselves, from the step before; "
        "at random, or whole steps.",
        choices=tuple(PICTURE_RULES),
    )
    guide: str = option(
        "none",
        "Picture guided by",
        "Nothing: the same share of every step; or more of the picture where more of the sound is kept.",
        choices=("none", "audio"),
    )
    encode_share: float = option(
        0.0,
        "Encoded",
        "Share of the picture that is encoded before the last choice; below the share kept: only what is kept.",
        low=0.0,
        high=1.0,
        step=0.05,
    )
    anchor_ratio: float = option(0.05, "Anchors", "Share of audio tokens kept in addition, as anchors.", low=0.0, high=0.3, step=0.01)
    merge_size: int = option(3, "Merged per anchor", "Audio tokens folded into each anchor.", low=0, high=18, step=1)
    seed: int = option(0, "Seed", "Seed of the random choices.", low=0, high=2**31 - 1, step=1)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> FirstGlance:
        """The rates that keep exactly `retention` of this clip's own mix of tokens, as far as [0, 0.95] allows."""
        given = cls(**fields)
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, given.anchor_ratio)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]  (less with some options)
        """The saliency this instance ranks by, if any."""
        return frozenset({"saliency"} if self.audio == "saliency" else ())

    def look(self, sight: Sight) -> Tensor:
        """The places to encode: as many of each step as are kept, or as `encode_share` says where that is more."""
        layout = sight.layout
        counts = self._counts(layout, self._rates(layout, self._choose_audio(layout)))
        share = torch.full((layout.grid[0],), layout.tokens_per_step * self.encode_share, dtype=torch.float64)
        return self._chosen(sight.pixels, torch.maximum(counts, cumulative_rounding(share)))

    def compress(self, stream: TokenStream) -> Compression:
        """Choose sound, anchors and picture; see the module's description. Picture chosen before the encoder stays as it was chosen."""
        audio = self._choose_audio(stream)
        rates = self._rates(stream, audio)
        kept, notes = self._kept(stream, self._counts(stream, rates))
        reason, source = torch.zeros_like(stream.modality), torch.full_like(stream.window, -1)
        self._look_at_kept(stream, audio, kept)
        anchors, anchor_embeds = audio.fold(self.merge_size, reason, source)
        if self.audio != "saliency":
            reason = reason.masked_fill(reason == Reason.SALIENT, int(Reason.METHOD_SCORE))
        why = torch.where(kept, int(Reason.METHOD_SCORE), int(Reason.DROPPED)).to(reason.dtype)
        reason[stream.video_index] = placed(why.flatten(), reason.device)
        guided = self.guide == "audio"
        return Compression.of(
            stream,
            reason,
            source=source,
            folded=anchors,
            folded_embeds=anchor_embeds,
            audio_retention=audio.retention.float() if guided else None,
            video_pruning_rate=torch.where(stream.structure.video_counts > 0, rates, torch.nan).float(),
            notes=(*notes, *((NO_GUIDE,) if guided and self.audio == "uniform" and stream.n_audio else ())),
        )

    def _choose_audio(self, stream: TokenStream) -> AudioChoice:
        """Which audio is kept, and which of the rest are anchors."""
        scores = AUDIO_SELECTORS[self.audio](stream, self.seed, "clip")
        salient = most_salient(scores, round((1 - self.rho_audio) * stream.n_audio))
        return AudioChoice.of(stream, salient, round(self.anchor_ratio * stream.n_audio))

    def _rates(self, stream: TokenStream, audio: AudioChoice) -> Tensor:
        """(W,) float64 share of each window's picture that is not kept, on the host."""
        if self.guide == "audio":
            return guided_rates(stream.structure, audio.retention, self.rho_video, RHO_MIN, RHO_MAX)
        return torch.full((stream.n_windows,), self.rho_video, dtype=torch.float64)

    def _counts(self, stream: TokenStream, rates: Tensor) -> Tensor:
        """(steps,) int64 how many places of each step are kept, on the host."""
        n = stream.tokens_per_step
        counts = cumulative_rounding(n * (1 - rates[stream.structure.step_window]))
        if self.picture != "steps" or not n:
            return counts
        total, steps = int(counts.sum()), counts.numel()
        whole = spread(torch.arange(steps), -(-total // n), max(1, steps))  # steps at equal distances, the last of them perhaps in part
        return torch.where(whole, (total - n * (whole.cumsum(0) - 1)).clamp(max=n), 0)

    def _chosen(self, features: Tensor, counts: Tensor) -> Tensor:
        """(steps, n) bool on the host: `counts` places of each step by the rule, of features (steps, n, frames, F)."""
        return PICTURE_RULES[self.picture](features, counts, self.seed).cpu()

    def _kept(self, stream: TokenStream, counts: Tensor) -> tuple[Tensor, tuple[str, ...]]:
        """(steps, n) bool on the host, and what has to be said of how they were chosen."""
        if not stream.n_video:
            return torch.zeros(stream.grid[0], 0, dtype=torch.bool), ()
        if stream.seen is None:
            rows = rows_at(stream.embeds, stream.step_places)
            return self._chosen(rows[:, :, None], counts), (NO_PIXELS,)
        seen = stream.seen.sum(dim=1)
        if torch.equal(seen, counts):
            return stream.seen, ()
        kept, counts = [], torch.minimum(seen, counts)
        for block, rows in step_rows(stream):
            kept.append(farthest_points(rows, counts[block], stream.seen[block]))
        return torch.cat(kept).cpu(), ()

    @staticmethod
    def _look_at_kept(stream: TokenStream, audio: AudioChoice, kept: Tensor) -> None:
        """Note how close the remaining sound is to the picture that is kept; steps of which nothing is kept are passed over.

        A step with fewer places than another repeats its first.
        """
        structure = stream.structure
        if not stream.n_video or not audio.looks_at_picture:
            return
        bytes_per_step = 4 * stream.embeds.shape[1] * max(1, int(kept.sum(dim=1).max()))
        for block in structure.step_blocks(bytes_per_step, block_bytes(stream.embeds.device)):
            own = kept[block]
            counts, there = own.sum(dim=1), own.any(dim=1)
            if not bool(there.any()):
                continue
            order = own.long().argsort(dim=1, descending=True, stable=True)[:, : int(counts.max())]
            filled = torch.where(torch.arange(order.shape[1]) < counts[:, None], order, order[:, :1])[there]
            places = stream.step_places[block][there].gather(1, filled)
            steps = Steps.of(stream.embeds, places, torch.zeros(places.shape[0], dtype=torch.bool))
            audio.look_at(steps, structure.step_window[block][there], False)
