"""OmniZip as its published code decides (March 2026 revision), for comparison decision by decision.

Source: Tao et al., "OmniZip", CVPR 2026, and its reference implementation, re-implemented from a description. What it does
otherwise than the paper: audio is ranked, sampled and merged over the whole clip; anchors come on top of the kept share;
windows are runs of equal modality in the prompt; two windows or fewer get no budget correction, more get one that is
approximate; the even steps' density peaks use cosine distance; nothing is merged in video.

The published port to Qwen3-Omni ranks sound by attention within the encoder's own blocks and prunes more by default, 0.4 and 0.7;
`OmniZip.official_qwen3` is that preset.

Departures: a clip without sound gets the video rate everywhere (the reference crashes); everything is batched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import rates_for
from ..deferred import Tensor, torch
from ..errors import MethodError
from ..stream import Compression, Modality, Reason, TokenStream, placed
from ..windows import Structure
from .base import Compressor, option
from .ops.blocks import block_bytes
from .ops.merging import absorb
from .ops.selection import foremost, highest, marked_per_group
from .ops.similarity import norms
from .ops.steps import Steps

NEIGHBOURS = 5


@dataclass(frozen=True)
class OmniZipOfficial(Compressor):
    """The reference code's decisions, drift of its budget on short clips included."""

    name: ClassVar[str] = "omnizip-official"
    label: ClassVar[str] = "OmniZip (published code)"
    summary: ClassVar[str] = "OmniZip as its published code decides; on short clips it keeps more than it was asked to."
    source: ClassVar[str] = "arXiv 2511.14582 and its reference code, March 2026"
    fidelity: ClassVar[str] = "faithful to the published code"
    meets_retention: ClassVar[bool] = False  # it reproduces a budget that is missed

    rho_audio: float = option(
        0.3, "Audio pruned", "Share of audio tokens not kept as salient.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_video: float = option(0.6, "Video pruned", "Share of video tokens dropped, aimed at.", low=0.0, high=0.95, step=0.01, is_rate=True)
    anchor_ratio: float = option(0.05, "Anchors", "Share of audio tokens kept in addition, as anchors.", low=0.0, high=0.3, step=0.01)
    merge_size: int = option(3, "Merged per anchor", "Audio tokens folded into each anchor (the paper's G).", low=0, high=18, step=1)

    saliency_scope: str = option(
        "clip",
        "Saliency over",
        "Where attention competes: the clip, or the encoder's blocks as in the published port to Qwen3-Omni.",
        choices=("clip", "window"),
    )

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]  (which of the two an option says)
        """The saliency this instance ranks by."""
        return frozenset({"saliency" if self.saliency_scope == "clip" else "saliency_windowed"})

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniZipOfficial:
        """The rates whose nominal retention is `retention`; what is really kept drifts from it, as in the reference."""
        given = cls(**fields)
        ratio = given.anchor_ratio if given.merge_size else 0.0
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ratio)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    def compress(self, stream: TokenStream) -> Compression:
        """Choose and merge as the reference does. Windows in the result are the reference's runs, not two-second blocks."""
        reason = torch.zeros_like(stream.modality)
        anchor, member = self._choose_audio(stream, reason)
        runs = _Runs.of(stream)
        retention = runs.shares((stream.modality == Modality.AUDIO) & (reason < Reason.FOLDED))[runs.audio_run]
        rates = allocated_rates(retention.double(), runs.sizes.double()[runs.video_run], self.rho_video)
        rows = stream.embeds[member].float()
        unit = rows.div_(norms(rows))  # indexing made a copy, so the stream is not written to
        nearest = self._video(stream, reason, runs, rates, unit)
        source = torch.full_like(stream.window, -1)
        folded_embeds = self._merge(stream, reason, source, anchor, member, unit, nearest)
        return Compression.of(
            stream,
            reason,
            source=source,
            folded=anchor[: folded_embeds.shape[0]],
            folded_embeds=folded_embeds,
            audio_retention=retention,
            video_pruning_rate=rates.float(),
        )

    def _choose_audio(self, stream: TokenStream, reason: Tensor) -> tuple[Tensor, Tensor]:
        """Mark salient audio and anchors in `reason`; return the places of anchors (P,) and of what may fold into them (M,)."""
        index = stream.audio_index
        count = index.numel()
        salient = round((1 - self.rho_audio) * count)
        chosen = torch.zeros(count, dtype=torch.bool, device=index.device)
        if count:
            scores = stream.saliency if self.saliency_scope == "clip" else stream.saliency_windowed
            if scores is None:
                raise MethodError("This stream carries no audio saliency; give audio_saliency.")
            chosen[scores[index].topk(salient).indices] = True
        reason[index] = torch.where(chosen, Reason.SALIENT, Reason.DROPPED).to(reason.dtype)
        rest = index[chosen.long().argsort(stable=True)[: count - salient]]
        anchors = min(rest.numel(), round(self.anchor_ratio * count)) if self.merge_size else 0
        if anchors == 0:
            return rest[:0], rest[:0]
        is_anchor = torch.zeros(rest.numel(), dtype=torch.bool)
        is_anchor[torch.arange(anchors) * (rest.numel() // anchors)] = True
        anchor, member = (rest[placed(mask.nonzero().flatten(), rest.device)] for mask in (is_anchor, ~is_anchor))
        reason[anchor] = Reason.ANCHOR
        return anchor, member

    def _video(self, stream: TokenStream, reason: Tensor, runs: _Runs, rates: Tensor, unit: Tensor) -> Tensor:
        """Mark the video in `reason`; return (M,) the highest cosine of each row of `unit` (M, D) to any video token.

        It is -inf without video.
        """
        embeds, n = stream.embeds, stream.tokens_per_step
        nearest = torch.full((unit.shape[0],), -torch.inf, device=unit.device)

        def look_at(x: Tensor, norm: Tensor) -> Tensor:
            if not unit.shape[0]:
                return nearest
            cosine = unit @ x.flatten(0, 1).T
            return torch.maximum(nearest, cosine.div_(norm.flatten()).amax(dim=1))

        structure, places = runs.steps(n)
        counts = (n * (1 - rates[structure.step_window])).to(torch.int64)
        later = structure.step_rank % 2 == 1
        keep = torch.empty(places.shape, dtype=torch.bool, device=unit.device)
        for block in structure.step_blocks(n * unit.shape[1] * 4, block_bytes(unit.device)):
            steps = Steps.of(embeds, places[block], later[block])
            keep[block] = highest(steps.scores(NEIGHBOURS), counts[block])
            for x, norm, _ in steps.parts:
                nearest = look_at(x, norm)
        reason[stream.video_index] = Reason.METHOD_SCORE  # what lies beyond a run's last whole step is kept
        kinds = placed(torch.where(later, Reason.CHANGE, Reason.DENSITY_PEAK), keep.device)[:, None]
        reason[placed(places, reason.device)] = torch.where(keep, kinds, Reason.DROPPED).to(reason.dtype)
        if places.numel() < stream.n_video:
            beyond = stream.host_modality == Modality.VIDEO
            beyond[places] = False
            beyond = embeds[placed(beyond.nonzero().flatten(), embeds.device)].float()[None]
            nearest = look_at(beyond, norms(beyond))
        return nearest

    def _merge(
        self, stream: TokenStream, reason: Tensor, source: Tensor, anchor: Tensor, member: Tensor, unit: Tensor, nearest: Tensor
    ) -> Tensor:
        """Fold into each anchor those of its members that are nearest to the video; without video, to the anchor.

        Writes `reason` and `source`; returns the anchors' new embeddings (P, D), none where nothing may fold.
        """
        if member.numel() == 0:
            return stream.embeds[:0].float()
        anchor_rows = stream.embeds[anchor].float()
        alike = unit @ (anchor_rows / norms(anchor_rows)).T  # (M, P)
        closeness, anchor_of = alike.max(dim=1)
        weight = nearest if stream.n_video else closeness
        absorbed = foremost(anchor_of, weight, self.merge_size)
        reason[member] = torch.where(absorbed, Reason.FOLDED, Reason.DROPPED).to(reason.dtype)
        source[member] = anchor[anchor_of]
        taken = absorbed.nonzero().flatten()
        return absorb(anchor_rows, stream.embeds, member[taken], anchor_of[taken], weight[taken])


@dataclass(frozen=True)
class _Runs:
    """The prompt as runs of equal modality, on the host; run i of video is paired with run i of audio."""

    modality: Tensor  # (R,)
    starts: Tensor  # (R,)
    sizes: Tensor  # (R,)

    @classmethod
    def of(cls, stream: TokenStream) -> _Runs:
        """The runs of a stream."""
        modality, sizes = torch.unique_consecutive(stream.host_modality, return_counts=True)
        return cls(modality, sizes.cumsum(0) - sizes, sizes)

    @property
    def audio_run(self) -> Tensor:
        """(P,) int64 which runs are audio."""
        return (self.modality == Modality.AUDIO).nonzero().flatten()

    @property
    def video_run(self) -> Tensor:
        """(Q,) int64 which runs are video."""
        return (self.modality == Modality.VIDEO).nonzero().flatten()

    def shares(self, kept: Tensor) -> Tensor:
        """(R,) float32 share of each run's tokens that `kept` (L,) marks; waits for the device once."""
        return marked_per_group(kept, self.sizes) / self.sizes

    def steps(self, per_step: int) -> tuple[Structure, Tensor]:
        """The whole steps of the video runs as windows of their own, and (S, n) where their tokens stand; on the host."""
        sizes, starts = self.sizes[self.video_run], self.starts[self.video_run]
        run = torch.repeat_interleave(torch.arange(sizes.numel()), sizes // max(1, per_step))
        structure = Structure(sizes.numel(), run[:0], run, per_step)
        first = starts[run] + structure.step_rank * per_step
        return structure, first[:, None] + torch.arange(per_step)


def allocated_rates(retention: Tensor, sizes: Tensor, rho_video: float, low: float = 0.35, high: float = 0.75) -> Tensor:
    """(R,) float64 rates of the video runs as the reference code allocates them; close to the target, not exact. Host.

    Args:
        retention: (P,) kept share of each audio run; sizes: (R,) tokens of each video run. The first min(P, R) are pairs.
    """
    rates = torch.full_like(sizes, rho_video)
    pairs = min(retention.numel(), sizes.numel())
    guided = (high - (high - low) * retention[:pairs]).clamp(low, high)
    if pairs > 2:
        n = sizes[:pairs]
        wanted = rho_video * sizes.sum() - rho_video * sizes[pairs:].sum()
        fixed = torch.zeros(pairs, dtype=torch.bool)
        fixed[guided.argmin()] = True
        fixed[guided.argmax()] = True
        rest = (n * guided)[~fixed].sum()
        if abs(float((n * guided).sum() - wanted)) > 1e-6 and rest > 0:
            factor = (wanted - (n * guided)[fixed].sum()) / rest
            guided = torch.where(fixed, guided, (guided * factor).clamp(low, high))
            missing = wanted - (n * guided).sum()
            guided = torch.where(fixed, guided, (guided + missing / n[~fixed].sum()).clamp(low, high))
    rates[:pairs] = guided
    return rates
