"""SEATS: unlike tokens before the model, windows the question looks at inside it, and neither picture nor sound in its last layers.

Source: "SEATS", arXiv 2605.20035, re-implemented from a description. Three stages:

1. Before the model, per window and modality: tokens are taken one after the other, each the one that is least like all taken so
   far, (1 - cosine) times the attention it received in its encoder; 1.4 times as many as are wanted on average.
2. Before layers 16, 18 and 20 of 28: the last row's products with the tokens make a softmax over windows (temperature 0.1), one
   for the picture and one for the sound, whose mean shares the budget among windows; within one the tokens most attended to
   stay. Shares fall as e0 exp(-c (1, e, e^2)), c solved so that the average over layers is the retention asked for.
3. Before layer 22 everything of the clip is dropped.

Whatever is dropped is dropped from the keys and values of earlier layers as well, as in the published code: nothing of the clip
is left to look at once the prompt is read. Departures: this project does not observe attention in the picture's encoder, so
pictures weigh alike in stage 1, whose first token is the one least like its window's mean; in stage 2 picture and sound of a
window are ranked together; a model too shallow for a layer between stages 2 and 3 goes without the third.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..stream import Compression, Modality, Reason, TokenStream
from ..windows import cumulative_rounding
from .base import option
from .layer_pruner import Cut, Glance, LayerPruner, Rows, average, depth, solved
from .ops.merging import foremost

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
        window = rows.window[media]
        total = int(window.max()) + 1
        sizes = torch.bincount(window, minlength=total)
        looked = glance.logits.mean(dim=0)[media].double()
        shares = [_looked_at(looked, window, rows.modality[media] == kind, total) for kind in (Modality.AUDIO, Modality.VIDEO)]
        demand = sum(share for share in shares if share is not None)
        counts = _shared(count, demand.cpu(), sizes.cpu()).to(media.device)
        keep = rows.modality == Modality.TEXT
        keep[media[foremost(window, glance.attention[media], counts[window])]] = True
        return keep

    def compress(self, stream: TokenStream) -> Compression:
        """Stage 1."""
        reason = torch.zeros_like(stream.modality)
        total = round(self._first * (stream.n_audio + stream.n_video))
        audio = min(stream.n_audio, total, round(min(1.0, SURPLUS * _sound(self.retention)) * stream.n_audio))
        audio = max(audio, total - stream.n_video)
        weights = stream.saliency_windowed[stream.audio_index].nan_to_num()
        heard = weights if bool((weights > 0).any()) else torch.ones_like(weights)
        for index, weight, count in (
            (stream.audio_index, heard, audio),
            (stream.video_index, torch.ones(stream.n_video, device=reason.device), total - audio),
        ):
            keep = _unlike(stream.embeds[index], stream.window[index], weight, count)
            reason[index] = torch.where(keep, Reason.METHOD_SCORE, Reason.DROPPED).to(reason.dtype)
        return Compression.of(stream, reason, notes=self.notes)


def _sound(retention: float) -> float:
    """The share of sound published for a retention, linear between."""
    for (low, a), (high, b) in zip(SOUND, SOUND[1:], strict=False):
        if retention <= high:
            return a + (b - a) * (retention - low) / (high - low)
    return 1.0


def _looked_at(looked: Tensor, window: Tensor, mine: Tensor, total: int) -> Tensor | None:
    """(W,) softmax over windows of the mean product with one modality's tokens; None without any."""
    counts = torch.bincount(window[mine], minlength=total)
    if not bool(counts.any()):
        return None
    sums = torch.zeros(total, dtype=looked.dtype, device=looked.device).index_add_(0, window[mine], looked[mine])
    means = torch.where(counts > 0, sums / counts.clamp(min=1), -torch.inf)
    return (means / TEMPERATURE).softmax(dim=0)


def _shared(count: int, demand: Tensor, sizes: Tensor) -> Tensor:
    """(W,) int64 that sum to `count`, in proportion to demand, none above its size. Host."""
    sizes = sizes.double()
    demand = demand.clamp(min=1e-12) * (sizes > 0)
    low, high = 0.0, float((sizes / demand.clamp(min=1e-12)).max()) if sizes.numel() else 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if float((demand * middle).minimum(sizes).sum()) < count else (low, middle)
    return cumulative_rounding((demand * high).minimum(sizes))


def _unlike(embeds: Tensor, window: Tensor, weight: Tensor, count: int) -> Tensor:
    """(N,) bool, `count` tokens in all, each window its share, taken greedily: far from all taken so far, times weight.

    Args:
        embeds: (N, D); window: (N,), in order; weight: (N,) above or equal to 0.
    """
    keep = torch.zeros(window.shape[0], dtype=torch.bool, device=window.device)
    if not count:
        return keep
    present, sizes = window.unique_consecutive(return_counts=True)
    counts = cumulative_rounding(sizes.cpu().double() * (count / window.numel())).to(window.device)
    place = torch.arange(int(sizes.max()), device=window.device)
    rows = ((sizes.cumsum(0) - sizes)[:, None] + place).clamp(max=window.numel() - 1)
    absent = place >= sizes[:, None]
    unit = torch.nn.functional.normalize(embeds.float(), dim=-1)[rows].masked_fill(absent[..., None], 0)  # (W, P, D)
    weight = weight.float()[rows]
    taken = absent.clone()
    nearest = 1 - (unit @ torch.nn.functional.normalize(unit.sum(dim=1), dim=-1)[..., None])[..., 0]
    for number in range(int(counts.max())):
        pick = (nearest.clamp(min=0) * weight).masked_fill(taken, -torch.inf).argmax(dim=1)
        more = counts > number
        at = torch.arange(len(present), device=window.device)
        keep[rows[at[more], pick[more]]] = True
        taken[at, pick] = True
        distance = 1 - (unit @ unit[at, pick][..., None])[..., 0]
        nearest = distance if number == 0 else nearest.minimum(distance)
    return keep
