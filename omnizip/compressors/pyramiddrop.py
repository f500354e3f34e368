"""PyramidDrop: at a quarter, a half and three quarters of the model's depth, the same share of what is left is dropped.

Source: "PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction", arXiv 2410.17247,
re-implemented from a description; published with half kept at each of the layers 8, 16 and 24 of 32.

A token's score is the attention it receives from the last row of the prompt in the layer before the cut. The share kept at
each cut is solved so that the average over layers is the retention asked for; the first quarter reads everything, so less
than a quarter cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .layer_pruner import Cut, LayerPruner, average, solved


@dataclass(frozen=True)
class PyramidDrop(LayerPruner):
    """Three cuts by the attention of the last row."""

    name: ClassVar[str] = "pyramiddrop"
    label: ClassVar[str] = "PyramidDrop"
    summary: ClassVar[str] = (
        "Drops part of what is left at every quarter of the model, by what the question looks at; asked on, it reads anew."
    )
    source: ClassVar[str] = "arXiv 2410.17247 (CVPR 2025)"
    fidelity: ClassVar[str] = "adapted: made for images; sound is ranked with the picture, and shares follow from the retention"
    later: ClassVar[str] = (
        "Chosen for this question, inside the model: its answer sees all of the clip in the first quarter of the layers and less "
        "in each further one, and a further question reads the clip anew."
    )

    def cuts(self, layers: int, read: float) -> tuple[Cut, ...]:
        """As many of the three quarters as the model has."""
        places = sorted({round(layers * quarter / 4) for quarter in (1, 2, 3)} - {0, layers})

        def stages(kept: float) -> tuple[Cut, ...]:
            return tuple(Cut(place, read * kept ** (i + 1)) for i, place in enumerate(places))

        return stages(solved(lambda kept: average(read, stages(kept), layers), self.retention))
