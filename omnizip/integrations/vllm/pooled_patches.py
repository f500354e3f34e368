"""Averages the patches of a clip as `Processor.pooled` averages its pictures, where only patches are at hand."""

from __future__ import annotations

from torch import Tensor

CELLS = 4  # per axis of a token's place


def pooled_patches(patches: Tensor, steps: int, merge: int, temporal: int) -> Tensor:
    """(steps, n, temporal, 48) float32 normalised pixels of each token's place, averaged over 4 x 4 cells; see `Processor.pooled`.

    Args:
        patches: (steps * n * merge ** 2, 3 * temporal * patch ** 2), the patches of a token together.
        merge: patches of a token per axis; divides CELLS, and what is left divides the side of a patch.
    """
    side = round((patches.shape[1] / (3 * temporal)) ** 0.5)
    own = CELLS // merge  # cells of a patch, per axis
    cells = patches.float().view(steps, -1, merge, merge, 3, temporal, own, side // own, own, side // own).mean(dim=(7, 9))
    return cells.permute(0, 1, 5, 4, 2, 6, 3, 7).reshape(steps, -1, temporal, 3 * CELLS * CELLS)
