"""OmniZip's salient audio, and the anchors that stand for the rest, worked out in blocks on any device.

Source: OmniZip, section 3.1. Everything that follows from counts alone is planned on the host; only the number of salient
tokens per window and which tokens anchors absorb are ever transferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ..deferred import Tensor, torch
from ..stream import Reason, TokenStream, placed
from .ops.blocks import block_bytes, padded, picked, present
from .ops.merging import absorb
from .ops.selection import foremost, marked_per_group, place_anchors, spread
from .ops.similarity import cosines, norms
from .ops.steps import Steps

TIE = 1e-5  # relative; attention sums of equal sounds differ by float32 noise of about 1e-6


def most_salient(scores: Tensor, count: int) -> Tensor:
    """(A,) bool: the `count` highest of `scores` (A,), ties at the threshold broken evenly over time.

    On a silent track all scores tie, and then no stretch of the clip is favoured.
    """
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.topk(count).values[-1]
    margin = threshold.abs() * TIE
    above = scores > threshold + margin
    tied = ~above & (scores >= threshold - margin)
    wanted, available = count - above.sum(), tied.sum()
    place = tied.long().cumsum(0) - 1  # among the tied
    return above | (tied & spread(place, wanted, available))


@dataclass
class AudioChoice:
    """Which audio is salient, which anchors, and what each remaining token is close to. One clip's working state."""

    stream: TokenStream
    salient: Tensor  # (A,) bool
    retention: Tensor  # (W,) float64 on the host: S_a, salient over all audio of the window, NaN without audio
    anchor: Tensor  # (P,) int64 places in the prompt
    anchor_window: Tensor  # (P,) int64 on the host, ascending
    member: Tensor  # (M,) int64 places in the prompt of the other non-salient audio
    member_window: Tensor  # (M,) int64 on the host, ascending
    nearest: Tensor  # (M,) highest cosine to the picture seen so far, -inf while none was

    @classmethod
    def of(cls, stream: TokenStream, salient: Tensor, n_anchors: int) -> AudioChoice:
        """Plan anchors for a choice of salient audio (A,); transfers W counts to the host."""
        structure = stream.structure
        counts = structure.audio_counts
        per_window = marked_per_group(salient, counts)
        retention = torch.where(counts > 0, per_window / counts.double(), torch.nan)
        rest_counts = counts - per_window
        n_rest = int(rest_counts.sum())
        rest = stream.audio_index[salient.long().argsort(stable=True)[:n_rest]]
        rest_window = torch.repeat_interleave(torch.arange(structure.n_windows), rest_counts)
        anchor = place_anchors(rest_counts, min(n_anchors, n_rest))
        member = torch.ones(n_rest, dtype=torch.bool)
        member[anchor] = False
        member = member.nonzero().flatten()
        return cls(
            stream,
            salient,
            retention,
            rest[placed(anchor, rest.device)],
            rest_window[anchor],
            rest[placed(member, rest.device)],
            rest_window[member],
            torch.full((member.numel(),), -torch.inf, device=rest.device),
        )

    @property
    def looks_at_picture(self) -> bool:
        """Whether anything depends on how close the remaining audio is to the picture."""
        return self.anchor.numel() > 0 and self.member.numel() > 0

    def look_at(self, steps: Steps, step_window: Tensor, whole_clip: bool) -> None:
        """Note how close each remaining token is to these steps of the picture.

        Args:
            steps: s steps of whole windows; step_window: (s,) on the host.
            whole_clip: compare with every step, not only those of the token's own window.
        """
        if not self.looks_at_picture:
            return
        if whole_clip:
            for x, norm, _ in steps.parts:
                for rows, at in self._blocks_of_members():
                    cosine = (rows @ x.flatten(0, 1).T) / (norms(rows) * norm.flatten())
                    self.nearest[at] = torch.maximum(self.nearest[at], cosine.amax(dim=1))
            return
        windows, window_of_step = step_window.unique_consecutive(return_inverse=True)
        places, absent = padded(self.member_counts, windows)  # (w, Q) the members of these windows
        if not places.shape[1]:
            return
        places, absent = placed(places, self.nearest.device), placed(absent, self.nearest.device)
        rows = self.stream.embeds[self.member[places]].float()
        norm_of_rows = norms(rows)
        for x, norm, at in steps.parts:
            of_step = window_of_step[at]
            in_order = torch.equal(of_step, torch.arange(windows.numel()))  # one step of each window: nothing to copy
            here = slice(None) if in_order else of_step
            own, own_norm, own_place, no_one = (picked(values, here) for values in (rows, norm_of_rows, places, absent))
            cosine = (own @ x.transpose(1, 2)) / (own_norm * norm.transpose(1, 2))  # (s, Q, n)
            best = cosine.amax(dim=-1).masked_fill(no_one, -torch.inf)
            self.nearest = self.nearest.scatter_reduce(0, own_place.flatten(), best.flatten(), "amax")

    def _blocks_of_members(self) -> Iterator[tuple[Tensor, slice]]:
        """(m, D) float32 members and which they are, in blocks that bound memory."""
        size = max(1, block_bytes(self.member.device) // (4 * self.stream.embeds.shape[1]))
        for start in range(0, self.member.numel(), size):
            at = slice(start, start + size)
            yield self.stream.embeds[self.member[at]].float(), at

    def fold(self, merge_size: int, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Fold members into the anchors of their windows; return the anchors' places (P,) and new embeddings (P, D).

        Writes this choice into `reason` (L,) and `source` (L,).
        """
        stream = self.stream
        reason[stream.audio_index] = torch.where(self.salient, Reason.SALIENT, Reason.DROPPED).to(reason.dtype)
        reason[self.anchor] = Reason.ANCHOR
        if not self.looks_at_picture or merge_size == 0:
            return self.anchor[:0], stream.carried[:0]
        closeness, anchor_of = self._closest_anchor()
        weight = torch.where(self.nearest.isinf(), closeness, self.nearest)  # a window without picture: to the anchor
        absorbed = foremost(anchor_of, weight, merge_size) & ~closeness.isinf()  # a window without anchors: nothing to join
        reason[self.member] = torch.where(absorbed, Reason.FOLDED, Reason.DROPPED).to(reason.dtype)
        source[self.member] = self.anchor[anchor_of]
        taken = absorbed.nonzero().flatten()  # waits for the device, and spares it the rows of all that is dropped
        return self.anchor, absorb(stream.carried[self.anchor], stream.carried, self.member[taken], anchor_of[taken], weight[taken])

    @cached_property
    def member_counts(self) -> Tensor:
        """(W,) members of each window, on the host."""
        return torch.bincount(self.member_window, minlength=self.stream.n_windows)

    def _closest_anchor(self) -> tuple[Tensor, Tensor]:
        """(M,) cosine to, and (M,) index of, the closest anchor of the member's own window; -inf where it has none.

        Blocks of windows, each one batched product, so that time and memory follow the clip's length.
        """
        embeds, device = self.stream.embeds, self.member.device
        counts = torch.bincount(self.anchor_window, minlength=self.stream.n_windows)
        per_window = 4 * embeds.shape[1] * int(counts.max() + self.member_counts.max())
        closeness, anchor_of = [], []
        for windows in torch.arange(self.stream.n_windows).split(max(1, block_bytes(device) // per_window)):
            (ours, no_anchor), (theirs, no_member) = padded(counts, windows), padded(self.member_counts, windows)
            real = present(no_member, device)
            ours, theirs, no_anchor = placed(ours, device), placed(theirs, device), placed(no_anchor, device)
            if not ours.shape[1]:
                closeness.append(torch.full(real.shape, -torch.inf, device=device))
                anchor_of.append(torch.zeros_like(real))
                continue
            cosine = cosines(embeds[self.member[theirs]].float(), embeds[self.anchor[ours]].float())  # (w, Q, P)
            closest, choice = cosine.masked_fill(no_anchor[:, None], -torch.inf).max(dim=-1)
            closeness.append(closest.flatten()[real])
            anchor_of.append(ours.gather(1, choice).flatten()[real])
        return torch.cat(closeness), torch.cat(anchor_of)
