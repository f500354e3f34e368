"""FastAV: in the middle of the model only the beginning of the clip is kept, then every layer drops what is looked at least.

Source: "FastAV", arXiv 2601.13143, of which no code is public, re-implemented from a description: attention followed through
the layers (rollout) says that late tokens of picture and sound carry little from the middle layer on, so the early ones stay
as anchors; every further layer drops 20 % of what is left, by the attention of the last row.

The share kept in the middle is solved so that the average over layers is the retention asked for; published: a half. If all
of it may stay, the later layers drop less. The layers before the middle read everything, so with the published depth less
than a half cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..deferred import Tensor, torch
from .base import option
from .layer_pruner import Cut, Glance, LayerPruner, Rows, average, chosen, solved


@dataclass(frozen=True)
class FastAV(LayerPruner):
    """One cut by place, then one by attention before every layer."""

    name: ClassVar[str] = "fastav"
    label: ClassVar[str] = "FastAV"
    summary: ClassVar[str] = (
        "From the middle of the model on reads only the early part of the clip, and less of it every layer; asked on, it reads anew."
    )
    source: ClassVar[str] = "arXiv 2601.13143"
    fidelity: ClassVar[str] = "adapted: from the paper's description; shares follow from the retention"
    later: ClassVar[str] = (
        "Chosen for this question, inside the model: its answer sees all of the clip in the first half of the layers and only early "
        "parts behind, and a further question reads the clip anew."
    )

    middle: float = option(0.5, "Depth of the first cut", "Share of the layers that read everything.", low=0.05, high=0.95, step=0.05)
    drop: float = option(
        0.2, "Dropped per later layer", "Share of what is left, dropped before every further layer.", low=0, high=0.9, step=0.05
    )

    def cuts(self, layers: int, read: float) -> tuple[Cut, ...]:
        """Before every layer from the middle on."""
        first = max(1, min(layers - 1, round(self.middle * layers)))

        def stages(kept: float, stay: float) -> tuple[Cut, ...]:
            rules = ["place"] + ["attention"] * (layers - first - 1)
            return tuple(Cut(first + i, read * kept * stay**i, by) for i, by in enumerate(rules))

        stay = 1 - self.drop
        kept = solved(lambda kept: average(read, stages(kept, stay), layers), self.retention)
        if kept == 1:
            stay += (1 - stay) * solved(lambda more: average(read, stages(1, stay + (1 - stay) * more), layers), self.retention)
        return stages(kept, stay)

    def select(self, cut: Cut, rows: Rows, glance: Glance, count: int) -> Tensor:
        """The earliest of the clip at the first cut, the most attended to at the others."""
        if cut.by == "place":
            return chosen(rows, -torch.arange(rows.media.numel(), device=rows.media.device), count)
        return super().select(cut, rows, glance, count)
