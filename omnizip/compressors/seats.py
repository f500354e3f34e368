"""SEATS: unlike tokens before the model, windows the question looks at inside it, and neither picture nor sound in its last layers.

Source: "SEATS", arXiv 2605.20035, re-implemented from a description. Three stages:

1. Before the model, per window and modality: tokens are taken one after the other, each the one that is least like all taken so
   far, (1 - cosine) times the attention it received in its encoder; 1.4 times as many as are wanted on average.
2. Before layers 16, 18 and 20 of 28: the last row's products with the tokens make a softmax over windows (temperature 0.1), one
   for the picture and one for the sound, whose mean shares the budget among windows; within one the tokens most attended to
   stay. Shares fall as e0 exp(-c (1, e, e^2)), c solved so that the average over layers is the retention asked for.
3. Before layer 22 everything of the clip is dropped.

Whatever is dropped is dropped from the keys and values of earlier layers as well, as in the published code: nothing of the clip
is left to look at once the prompt is read. Departures: pictures weigh alike in stage 1, since observing attention in the vision
encoder would cost a second pass over the frames, and the first token is the one least like its window's mean; in stage 2 picture
and sound of a window are ranked together; a model too shallow for a layer between stages 2 and 3 goes without the third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..deferred import Tensor, torch
from ..errors import MethodError
from ..stream import Compression, Modality, Reason, TokenStream, placed
from .base import option
from .layer_pruner import Cut, Glance, LayerPruner, Rows, average, depth, solved
from .ops.blocks import padded, present
from .ops.merging import sum_by_group
from .ops.selection import cumulative_rounding, foremost

SURPLUS = 1.4  # of the tokens wanted, read by the first layers
STAGES = (16, 18, 20)  # of 28 layers
LAST = 22
TEMPERATURE = 0.1
SOUND = ((0.0, 0.0), (0.1, 0.35), (0.15, 0.45), (0.25, 0.55), (0.35, 0.65), (1.0, 1.0))  # published shares of sound at a retention


@dataclass(frozen=True)
class Seats(LayerPruner):
    """Diversity before the model, budgets per window inside it."""

    name: ClassVar[str] = "seats"
    label: ClassVar[str] = "SEATS"
    summary: ClassVar[str] = (
        "Keeps unlike tokens, then the seconds the question looks at; once it has been read, the answer cannot look at the clip again."
    )
    source: ClassVar[str] = "arXiv 2605.20035"
    fidelity: ClassVar[str] = "adapted: pictures weigh alike before the model; shares follow from the retention"
    later: ClassVar[str] = (
        "Chosen for this question: once it has been read nothing of the clip is left to look at while answering, so long answers rest "
        "on what was noticed at first, and a further question reads the clip anew."
    )
    needs: ClassVar[frozenset[str]] = frozenset({"saliency_windowed"})
    forgets: ClassVar[bool] = True

    final: bool = option(True, "Drop all at the end", "The last fifth of the layers reads text only.")

    @property
    def _first(self) -> float:
        return min(1.0, SURPLUS * self.retention)

    def cuts(self, layers: int, read: float) -> tuple[Cut, ...]:
        """Stage 2 and 3, as far as the model is deep enough to tell them apart."""
        places = sorted({depth(stage, layers) for stage in STAGES})
        end = depth(LAST, layers)
        ending = (Cut(end, 0.0, "all"),) if self.final and end > places[-1] else ()

        def stages(stay: float) -> tuple[Cut, ...]:
            fall = math.inf if stay == 0 else -math.log(stay)
            return (*(Cut(place, read * math.exp(-fall * math.e**i), "windows") for i, place in enumerate(places)), *ending)

        return stages(solved(lambda stay: average(read, stages(stay), layers), self.retention))

    def select(self, cut: Cut, rows: Rows, glance: Glance, count: int) -> Tensor:
        """Windows share the count by how much the question's end looks at them."""
        media = rows.media
        window, modality = rows.window[media], rows.modality[media]
        mine = torch.stack([modality == Modality.AUDIO, modality == Modality.VIDEO], dim=1)  # (M, 2)
        looked = glance.logits.mean(dim=0)[media].double()[:, None] * mine
        sums, sizes = (sum_by_group(x, window, rows.n_windows).T for x in (looked, mine.double()))
        counts = _shared(count, _demand(sums, sizes), sizes.sum(dim=0))
        keep = rows.modality == Modality.TEXT
        keep[media] = foremost(window, glance.attention[media], counts[window])
        return keep

    def compress(self, stream: TokenStream) -> Compression:
        """Stage 1."""
        if stream.saliency_windowed is None:
            raise MethodError("This stream carries no audio saliency; give audio_saliency.")
        reason = torch.zeros_like(stream.modality)
        total = round(self._first * (stream.n_audio + stream.n_video))
        audio = min(stream.n_audio, total, round(min(1.0, SURPLUS * _sound(self.retention)) * stream.n_audio))
        audio = max(audio, total - stream.n_video)
        weight = stream.saliency_windowed[stream.audio_index].nan_to_num()
        heard = torch.where((weight > 0).any(), weight, 1.0)
        seen = torch.ones(stream.n_video, device=reason.device)
        structure = stream.structure
        for index, sizes, weights, count in (
            (stream.audio_index, structure.audio_counts, heard, audio),
            (stream.video_index, structure.video_counts, seen, total - audio),
        ):
            reason[index] = Reason.DROPPED
            reason[index[_unlike(stream.embeds[index], sizes, weights, count)]] = Reason.METHOD_SCORE
        return Compression.of(stream, reason, notes=self.notes)


def _sound(retention: float) -> float:
    """The share of sound published for a retention, linear between."""
    for (low, a), (high, b) in zip(SOUND, SOUND[1:], strict=False):
        if retention <= high:
            return a + (b - a) * (retention - low) / (high - low)
    return 1.0


def _demand(sums: Tensor, sizes: Tensor) -> Tensor:
    """(W,) how much each window is looked at: softmaxes over windows of the mean product, of sound and of picture, added.

    Args:
        sums: (2, W) products summed over a window's audio and over its video tokens; sizes: (2, W) how many those are.
    """
    means = torch.where(sizes > 0, sums / sizes.clamp(min=1), -torch.inf)
    present = sizes.sum(dim=1, keepdim=True) > 0
    return torch.where(present, (means / TEMPERATURE).softmax(dim=1), 0.0).sum(dim=0)


def _shared(count: int, demand: Tensor, sizes: Tensor) -> Tensor:
    """(W,) int64 that sum to `count`, in proportion to demand, none above its size. Waits for no device.

    The level h with sum min(h demand, size) = count: windows fill up in the order of size / demand, and between two of these
    levels the sum is linear in h.
    """
    demand = demand.clamp(min=1e-12) * (sizes > 0)
    full_at, order = (sizes / demand.clamp(min=1e-12)).sort()
    filled = sizes[order].cumsum(0)  # by the windows that are full, at each of these levels
    open_to = demand[order].flip(0).cumsum(0).flip(0) - demand[order]  # demand of the windows that are not
    enough = (filled + full_at * open_to < count).sum(dim=0, keepdim=True)  # (1,) the first level that is
    place = enough.clamp(max=full_at.numel() - 1)
    before = torch.nn.functional.pad(filled, (1, 0))[place]
    level = (count - before) / (open_to + demand[order])[place].clamp(min=1e-12)
    return cumulative_rounding((demand * level).minimum(sizes))


def _unlike(embeds: Tensor, sizes: Tensor, weight: Tensor, count: int) -> Tensor:
    """(count,) int64 of N tokens, each window its share, taken greedily: far from all taken so far, times weight.

    All windows take their next token at once, so the loop is as long as a window's share; nothing is waited for.

    Args:
        embeds: (N, D), window by window; sizes: (W,) tokens of each, on the host; weight: (N,) above or equal to 0.
    """
    sizes = sizes[sizes > 0]
    counts = cumulative_rounding(sizes.double() * (count / max(1, int(sizes.sum()))))
    most = int(counts.max()) if count else 0
    places, absent = padded(sizes, torch.arange(sizes.numel()))
    rows, absent = placed(places, embeds.device), placed(absent, embeds.device)
    taken = absent.clone()
    picks = torch.zeros(sizes.numel(), most, dtype=torch.int64, device=embeds.device)
    if most:
        unit = torch.nn.functional.normalize(embeds.float(), dim=-1)[rows].masked_fill(absent[..., None], 0)  # (W, P, D)
        weight = weight.float()[rows]
        nearest = 1 - (unit @ torch.nn.functional.normalize(unit.sum(dim=1), dim=-1)[..., None])[..., 0]
        at = torch.arange(sizes.numel(), device=embeds.device)
        for number in range(most):
            pick = (nearest.clamp(min=0) * weight).masked_fill(taken, -torch.inf).argmax(dim=1)
            picks[:, number] = pick
            taken.scatter_(1, pick[:, None], True)  # an index with a number on its right would upload the number each time
            distance = 1 - (unit @ unit[at, pick][..., None])[..., 0]
            nearest = distance if number == 0 else nearest.minimum(distance)
    chosen = present(torch.arange(most) >= counts[:, None], embeds.device)
    return rows.gather(1, picks).flatten()[chosen]
