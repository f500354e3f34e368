"""FastV: after an early layer, only the tokens that the end of the prompt attends to are read on.

Source: "An Image is Worth 1/2 Tokens After Layer 2", ECCV 2024, arXiv 2403.06764, re-implemented from a description.

A token's score is the attention it receives from the last row of the prompt in the layer before the cut, averaged over heads;
one ranking over picture and sound. With K layers before the cut of T in all, the share kept behind it is (rT - K) / (T - K), so
that the average over layers is r. Known: it prefers what stands near the end of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import option
from .layer_pruner import Cut, LayerPruner, depth


@dataclass(frozen=True)
class FastV(LayerPruner):
    """One cut, by the attention of the last row."""

    name: ClassVar[str] = "fastv"
    label: ClassVar[str] = "FastV"
    summary: ClassVar[str] = "Reads everything for two layers, then only what the question looks at; a further question is read anew."
    source: ClassVar[str] = "arXiv 2403.06764 (ECCV 2024)"
    fidelity: ClassVar[str] = "faithful; one row of attention instead of the whole matrix"
    later: ClassVar[str] = (
        "Chosen for this question, inside the model: its answer sees all of the clip in the first layers and the kept tokens behind, "
        "and a further question reads the clip anew."
    )

    layer: int = option(2, "Layers before the cut", "Of 28; in a shallower model the same share of its depth.", low=1, high=27, step=1)

    def cuts(self, layers: int, read: float) -> tuple[Cut, ...]:
        """One cut; nothing is left behind it where the layers before it use up the budget."""
        first = depth(self.layer, layers)
        if first >= layers:
            return ()
        share = (self.retention * layers - read * first) / (layers - first)
        return (Cut(first, min(read, max(0.0, share))),)
