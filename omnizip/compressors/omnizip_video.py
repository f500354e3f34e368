"""The video that OmniZip keeps, worked out in blocks of whole windows on any device.

Source: OmniZip, section 3.3, whose text merges what a second step repeats into the first, while its figure drops it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..deferred import Tensor, torch
from ..stream import Reason, TokenStream, placed
from .ops.blocks import block_bytes, picked
from .ops.merging import average
from .ops.steps import Steps


@dataclass
class VideoChoice:
    """Which video is kept, and what folds into what. One clip's working state."""

    stream: TokenStream
    keep: Tensor  # (steps, n) bool
    survivor: Tensor | None = None  # (steps, n) int64 place in the prompt of the token each folds into, -1 where it does not

    @classmethod
    def of(cls, stream: TokenStream) -> VideoChoice:
        """Nothing chosen yet."""
        return cls(stream, torch.empty(stream.grid[0], stream.tokens_per_step, dtype=torch.bool, device=stream.embeds.device))

    def blocks(self) -> Iterator[tuple[slice, Steps]]:
        """Blocks of steps that hold whole windows, and their embeddings as first and second steps."""
        stream, structure = self.stream, self.stream.structure
        for block in structure.step_blocks(stream.tokens_per_step * stream.embeds.shape[1] * 4, block_bytes(stream.embeds.device)):
            yield block, Steps.of(stream.embeds, stream.step_places[block], structure.step_rank[block] % 2 == 1)

    def fold(self, steps: Steps, block: slice) -> None:
        """Fold what second steps drop into their first steps: the same place if that was kept, else the most alike kept there."""
        keep, n = self.keep[block], self.stream.tokens_per_step
        index = self.stream.video_index[block.start * n : block.stop * n].view(-1, n)
        first, norm, index_first, keep_first = (
            picked(values, steps.followed)
            for values in (steps.first, steps.first_norm, picked(index, steps.at_first), picked(keep, steps.at_first))
        )
        keep_second = picked(keep, steps.at_second)
        alike = (steps.second / steps.second_norm) @ (first / norm).transpose(1, 2)
        alike = alike.masked_fill(~keep_first[:, None, :], -torch.inf)
        same = torch.arange(n, device=index.device).expand_as(keep_second)
        place = torch.where(keep_first, same, alike.argmax(dim=-1))
        folds = ~keep_second & keep_first.any(dim=-1, keepdim=True)
        if self.survivor is None:
            self.survivor = torch.full_like(self.stream.video_index, -1).view(self.keep.shape)
        at = steps.at_second if isinstance(steps.at_second, slice) else placed(steps.at_second, index.device)
        self.survivor[block][at] = torch.where(folds, index_first.gather(1, place), -1)

    def write(self, reasons: tuple[Reason, Reason], reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Write this choice into `reason` (L,) and `source` (L,); return places and embeddings that folding rewrote.

        Args:
            reasons: why tokens of a window's first and of its second steps are kept.
        """
        stream, index = self.stream, self.stream.video_index
        kinds = torch.where(stream.structure.step_rank % 2 == 1, reasons[1], reasons[0])
        why = torch.where(self.keep, placed(kinds, index.device)[:, None], Reason.DROPPED)
        if self.survivor is None:
            reason[index] = why.to(reason.dtype).flatten()
            return index[:0], stream.carried[:0].float()
        survivor = self.survivor.flatten()
        reason[index] = torch.where(survivor >= 0, Reason.FOLDED, why.flatten()).to(reason.dtype)
        source[index] = survivor
        on_host = survivor.cpu()
        folds = on_host >= 0
        return average(stream.carried, stream.step_places.flatten()[folds], on_host[folds])
