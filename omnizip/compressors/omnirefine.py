"""OmniRefine: cut the clip into blocks where sound and picture belong together, then merge what repeats inside each.

Source: "OmniRefine", arXiv 2605.12056, re-implemented from a description; no code is published. Blocks: see
`omnirefine_blocks.correspondence`. In a block, patches merge into regions (quadtree, cosine 0.82 to the region's mean), regions of
consecutive steps merge at cosine 0.58, and the share of video that is left lies in [0.18, 0.55]. The more video is left, the
more audio stays: merged share = clip(rho_audio - 0.4 (left - (1 - rho_video)), 0.1, 0.9). The audio that receives most
attention stays, 5 % more become anchors, and the rest goes into the best anchor of its interval, a' = (a + sum w x) / (1 + sum w);
intervals end where neighbouring tokens have a cosine below 0.4.

Unspecified in the paper, and what is done here: the layer whose states are compared (input embeddings); the variance of a
block (of its likeness); clips that blocks of 3-5 steps and 90-140 audio tokens cannot divide (pairs of windows); how the share
of video is forced into its bounds and onto a budget (tokens rank by likeness over threshold, a block's least redundant
stay); weights w (cosine to the anchor, not below 0); what an interval without anchor becomes (dropped).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import rates_for, solve_rates
from ..deferred import Tensor, torch
from ..stream import Compression, Reason, TokenStream, placed
from .base import Compressor, option
from .omnirefine_blocks import correspondence, quadtree
from .ops.blocks import block_bytes, edges, padded, present, step_rows
from .ops.merging import add_weighted, average
from .ops.selection import cumulative_rounding, foremost, marked_per_group, place_anchors
from .ops.similarity import cosines, echo

SPATIAL, TEMPORAL = 0.82, 0.58
LEAST_VIDEO, MOST_VIDEO = 0.18, 0.55
COUPLING = 0.4
ANCHORS = 0.05
BREAK = 0.4
HOPS = 5  # doublings: follows 32 merges in a row


@dataclass(frozen=True)
class OmniRefine(Compressor):
    """Merging within blocks of corresponding sound and picture."""

    name: ClassVar[str] = "omnirefine"
    label: ClassVar[str] = "OmniRefine"
    summary: ClassVar[str] = "Cuts the clip where sound and picture change together and merges what repeats inside each part."
    source: ClassVar[str] = "arXiv 2605.12056"
    fidelity: ClassVar[str] = "adapted: from the paper alone; layer, variance, weights, bounds and short clips are unspecified there"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency"})

    rho_audio: float = option(0.3, "Audio merged", "Share of audio not kept by attention.", low=0.0, high=0.95, step=0.01, is_rate=True)
    rho_video: float = option(0.6, "Video merged", "Share of video merged, aimed at.", low=0.0, high=0.95, step=0.01, is_rate=True)
    counts: str = option(
        "published", "Counts", "What the thresholds leave, or shares that meet the rates exactly.", choices=("published", "exact")
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniRefine:
        """The rates of the OmniZip presets, met exactly."""
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ANCHORS)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video, "counts": "exact"})

    def compress(self, stream: TokenStream) -> Compression:
        """Blocks, then video, then audio by what is left of the video."""
        blocks = correspondence(stream)
        step_block, audio_block = blocks or (stream.structure.step_window // 2, stream.structure.audio_window // 2)
        n_blocks = 1 + int(max([-1, *step_block[-1:].tolist(), *audio_block[-1:].tolist()]))
        reason, source = torch.zeros_like(stream.modality), torch.full_like(stream.window, -1)
        left, *video = self._video(stream, step_block, n_blocks, reason, source)
        audio = self._audio(stream, audio_block, left, reason, source)
        folded, embeds = (torch.cat(pair) for pair in zip(video, audio, strict=True))
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds)

    def _video(self, stream: TokenStream, block: Tensor, n_blocks: int, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) float64 share of each block's video that is left; places and embeddings that merging rewrote."""
        n, index = max(1, stream.tokens_per_step), stream.video_index
        if not index.numel():
            return torch.full((n_blocks,), 1 - self.rho_video, dtype=torch.float64), index, stream.carried[:0].float()
        redundancy, goes_to = likeness_over_threshold(stream, block)
        of_token = block.repeat_interleave(n)
        sizes = torch.bincount(block, minlength=n_blocks) * n
        unlike = marked_per_group(redundancy < 1, sizes).double()
        left = (unlike / sizes.clamp(min=1)).clamp(LEAST_VIDEO, MOST_VIDEO)
        if self.counts == "exact":
            left = 1 - solve_rates(1 - left, sizes, self.rho_video, 0.0, 1.0)
        return left, *merge_video(stream, of_token, cumulative_rounding(sizes * left), redundancy, goes_to, reason, source)

    def _audio(self, stream: TokenStream, block: Tensor, left: Tensor, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Dominant audio, anchors, and what they take in; returns places and embeddings that merging rewrote."""
        index, device = stream.audio_index, stream.audio_index.device
        if not index.numel():
            return index, stream.carried[:0].float()
        sizes = torch.bincount(block, minlength=left.numel())
        rate = (self.rho_audio - COUPLING * (left - (1 - self.rho_video))).clamp(0.1, 0.9)
        if self.counts == "exact":
            rate = solve_rates(rate, sizes, self.rho_audio, 0.0, 1.0)
        counts = cumulative_rounding(sizes * (1 - rate))
        score = stream.saliency[index] if stream.saliency is not None else stream.embeds[index].float().norm(dim=-1)
        dominant = foremost(placed(block, device), score, placed(counts[block], device))
        rest_counts = sizes - counts
        n_rest = int(rest_counts.sum())
        rest = dominant.long().argsort(stable=True)[:n_rest]
        anchors = torch.zeros(n_rest, dtype=torch.bool)
        anchors[place_anchors(rest_counts, min(n_rest, round(ANCHORS * index.numel())))] = True
        reason[index] = torch.where(dominant, Reason.SALIENT, Reason.DROPPED).to(reason.dtype)
        target, member = (rest[placed(mask.nonzero().flatten(), device)] for mask in (anchors, ~anchors))
        reason[index[target]] = Reason.ANCHOR
        held = torch.bincount(torch.arange(sizes.numel()).repeat_interleave(rest_counts)[anchors], minlength=sizes.numel())
        slot, weight = _best_anchor(stream, target, held, member, rest_counts - held)
        joined = (slot >= 0).nonzero().flatten()  # waits for the device
        member, slot, weight = member[joined], slot[joined], weight[joined]
        reason[index[member]] = Reason.FOLDED
        source[index[member]] = index[target[slot]]
        return index[target], add_weighted(stream.carried[index[target]], stream.carried, index[member], slot, weight)


def likeness_over_threshold(
    stream: TokenStream, block: Tensor, spatial: Tensor | None = None, temporal: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(V,) likeness over threshold, 1 and more merges, and (V,) int64 the video token each would go into.

    The first step of a block has nothing before it: there what does not merge in space ranks first, the most unlike foremost.

    Args:
        block: (steps,) on the host; spatial, temporal: (steps, 1) thresholds of their own, where the published ones are not meant.
    """
    if spatial is None or temporal is None:
        own = stream.embeds.new_ones(block.numel(), 1, dtype=torch.float32)
        spatial, temporal = SPATIAL * own, TEMPORAL * own
    _, rows, columns = stream.grid
    opens = placed(torch.cat([block.new_ones(1, dtype=torch.bool), block.diff() > 0]), stream.embeds.device)
    made, homes, last = [], [], None
    for at, x in step_rows(stream):
        likeness, home, node = quadtree(x, rows, columns, spatial[at])
        place = torch.arange(x.shape[1], device=x.device)
        step = torch.arange(at.start, at.stop, device=x.device)[:, None] * x.shape[1]
        last_node, last_home = last or (node[:1], home[:1])
        before, before_home = torch.cat([last_node, node[:-1]]), torch.cat([last_home, home[:-1]])
        first = opens[at, None]
        in_time = torch.where(first, likeness.clamp(min=-1) / spatial[at] - 10, echo(node, before) / temporal[at])
        in_space = home != place
        made.append(torch.where(in_space, likeness / spatial[at], in_time))
        homes.append(torch.where(in_space, home + step, torch.where(first, place + step, before_home + step - x.shape[1])))
        last = node[-1:].clone(), home[-1:].clone()
    return torch.cat(made).flatten(), torch.cat(homes).flatten()


def merge_video(
    stream: TokenStream, of_token: Tensor, counts: Tensor, redundancy: Tensor, goes_to: Tensor, reason: Tensor, source: Tensor
) -> tuple[Tensor, Tensor]:
    """Keep the least redundant of each block and merge what is redundant into what stays; return what that rewrote.

    Args:
        of_token: (V,) block of each video token and counts: (B,) how many of each stay, both on the host; redundancy, goes_to: (V,) as
            of `likeness_over_threshold`. Writes `reason` (L,) and `source` (L,).
    """
    index = stream.video_index
    kept = foremost(placed(of_token, index.device), -redundancy, placed(counts[of_token], index.device))
    goes_to = torch.where(kept | (redundancy < 1), torch.arange(index.numel(), device=index.device), goes_to)
    for _ in range(HOPS):
        goes_to = goes_to[goes_to]
    merged = ~kept & kept[goes_to]
    spatial = torch.where(merged, Reason.FOLDED, Reason.DROPPED)
    reason[index] = torch.where(kept, Reason.METHOD_SCORE, spatial).to(reason.dtype)
    source[index] = index[goes_to]
    merged, goes_to = (x.cpu() for x in (merged, goes_to))
    places = stream.step_places.flatten()
    return average(stream.carried, places[merged], places[goes_to[merged]])


def _best_anchor(stream: TokenStream, target: Tensor, held: Tensor, member: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) which anchor of its block and interval each member is most like, -1 where there is none, and (M,) the cosine, not below 0.

    Args:
        target: (P,) and member: (M,) among the audio tokens; held, others: (B,) how many of each a block has. Host: held, others.
    """
    index, device = stream.audio_index, target.device
    apart = torch.zeros(index.numel(), dtype=torch.bool, device=device)
    size = max(1, block_bytes(device) // (8 * stream.embeds.shape[1]))
    for start in range(1, index.numel(), size):
        x = stream.embeds[index[start - 1 : start + size]].float()
        apart[start : start + size] = echo(x[None, 1:], x[None, :-1])[0] < BREAK
    interval = apart.cumsum(0)
    slot, weight = torch.full_like(member, -1), torch.zeros(member.numel(), device=device)
    if not target.numel() or not member.numel():
        return slot, weight
    start = edges(others)
    per_block = 4 * stream.embeds.shape[1] * int((held + others).max())
    for part in torch.arange(held.numel()).split(max(1, block_bytes(device) // per_block)):
        (theirs, no_anchor), (ours, absent) = padded(held, part), padded(others, part)
        if not theirs.shape[1] or not ours.shape[1]:
            continue
        real = present(absent, device)
        theirs, no_anchor, ours = (placed(x, device) for x in (theirs, no_anchor, ours))
        cosine = cosines(*(stream.embeds[index[x]].float() for x in (member[ours], target[theirs])))
        elsewhere = interval[member[ours]][:, :, None] != interval[target[theirs]][:, None]
        best, which = cosine.masked_fill(elsewhere | no_anchor[:, None], -torch.inf).max(dim=-1)
        found = torch.where(best > -torch.inf, theirs.gather(1, which), -1)
        rows = slice(int(start[part[0]]), int(start[part[-1] + 1]))
        slot[rows], weight[rows] = found.flatten()[real], best.clamp(min=0).flatten()[real]
    return slot, weight
