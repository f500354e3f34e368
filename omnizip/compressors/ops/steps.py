"""The video of a window as first and second steps: density peaks in the first, change in the second.

Source: OmniZip, section 3.3. Both readings of the method, the paper's and the published code's, rank video by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...deferred import Tensor, torch
from ...stream import placed
from .blocks import evenly_spaced, picked, rows_at
from .similarity import density_peaks, echo, norms


@dataclass(frozen=True, eq=False)
class Steps:
    """The video of whole windows, first steps apart from the second ones that directly follow some of them."""

    first: Tensor  # (p, n, D) float32
    second: Tensor  # (q, n, D) float32
    first_norm: Tensor  # (p, n, 1)
    second_norm: Tensor  # (q, n, 1)
    at_first: slice | Tensor  # which of the p + q steps the first are; these three on the host
    at_second: slice | Tensor
    followed: slice | Tensor  # (q,) of the first, those that the second follow

    @classmethod
    def of(cls, embeds: Tensor, places: Tensor, later: Tensor) -> Steps:
        """From a stream (L, D), where each step's tokens stand in it (s, n) and which steps are second (s,); both on the host."""
        follows = torch.cat([later[1:], later.new_zeros(1)])
        first, second = rows_at(embeds, places[~later]), rows_at(embeds, places[later])
        at_first, at_second, followed = (evenly_spaced(mask) for mask in (~later, later, follows[~later]))
        return cls(first, second, norms(first), norms(second), at_first, at_second, followed)

    @property
    def parts(self) -> tuple[tuple[Tensor, Tensor, slice | Tensor], ...]:
        """(rows, norms, which steps) of the first and of the second steps, whichever there are."""
        both = ((self.first, self.first_norm, self.at_first), (self.second, self.second_norm, self.at_second))
        return tuple(part for part in both if part[0].shape[0])

    def scores(self, neighbours: int) -> Tensor:
        """(s, n) what to keep first: density peaks in a window's first steps, what changed in its second ones."""
        device = self.first.device
        scores = torch.empty(self.first.shape[0] + self.second.shape[0], self.first.shape[1], device=device)
        changed = -echo(self.second, picked(self.first, self.followed), self.second_norm, picked(self.first_norm, self.followed))
        for rows, values in ((self.at_first, density_peaks(self.first, neighbours, self.first_norm)), (self.at_second, changed)):
            scores[rows if isinstance(rows, slice) else placed(rows, device)] = values
        return scores
