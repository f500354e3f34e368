"""Salient audio, and the anchors that stand for the rest.

Source: OmniZip, section 3.1. Everything that follows from counts alone is planned on the host; only the number of salient
tokens per window is ever transferred.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .merging import absorb, foremost
from .redundancy import norms
from .stream import Reason, TokenStream
from .windows import cumulative_rounding, rank_in_group

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
    place = tied.long().cumsum(0)  # 1-based among the tied
    return above | (tied & (place * wanted // available > (place - 1) * wanted // available))


def place_anchors(rest_counts: Tensor, count: int) -> Tensor:
    """(count,) int64 ranks, among all non-salient audio in time order, of the anchors.

    Shared among windows in proportion to their non-salient audio `rest_counts` (W,) by cumulative rounding, and within a
    window at the centres of equal stretches of it.
    """
    total = int(rest_counts.sum())
    per_window = cumulative_rounding(rest_counts.double() * (count / max(1, total)))
    window = torch.repeat_interleave(torch.arange(rest_counts.numel()), per_window)
    centre = (2 * rank_in_group(window, rest_counts.numel()) + 1) * rest_counts[window] // (2 * per_window[window])
    return (rest_counts.cumsum(0) - rest_counts)[window] + centre


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
        window = structure.audio_window.to(salient.device)
        per_window = torch.zeros(structure.n_windows, device=salient.device).index_add_(0, window, salient.float()).cpu().long()
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
            rest[anchor.to(rest.device)],
            rest_window[anchor],
            rest[member.to(rest.device)],
            rest_window[member],
            torch.full((member.numel(),), -torch.inf, device=rest.device),
        )

    @property
    def looks_at_picture(self) -> bool:
        """Whether anything depends on how close the remaining audio is to the picture."""
        return self.anchor.numel() > 0 and self.member.numel() > 0

    def look_at(self, x: Tensor, norm: Tensor, step_window: Tensor, whole_clip: bool) -> None:
        """Note how close each remaining token is to these steps of the picture.

        Args:
            x: (s, n, D) float32 video tokens of s steps; norm: (s, n, 1); step_window: (s,) on the host.
            whole_clip: compare with every step, not only those of the token's own window.
        """
        if not self.looks_at_picture:
            return
        if whole_clip:
            rows = self.stream.embeds[self.member].float()
            cosine = (rows @ x.flatten(0, 1).T) / (norms(rows) * norm.flatten())
            self.nearest = torch.maximum(self.nearest, cosine.amax(dim=1))
            return
        counts = torch.bincount(self.member_window, minlength=self.stream.n_windows)
        starts, most = counts.cumsum(0) - counts, int(counts[step_window].max())
        if most == 0:
            return
        place = torch.arange(most)
        padded = starts[step_window, None] + place  # (s, Q) the members of each step's window
        missing = (place >= counts[step_window, None]).to(x.device)
        padded = padded.clamp(max=self.member.numel() - 1).to(x.device)
        rows = self.stream.embeds[self.member[padded]].float()
        cosine = (rows @ x.transpose(1, 2)) / (norms(rows) * norm.transpose(1, 2))  # (s, Q, n)
        best = cosine.amax(dim=-1).masked_fill(missing, -torch.inf)
        self.nearest = self.nearest.scatter_reduce(0, padded.flatten(), best.flatten(), "amax")

    def write(self, merge_size: int, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Fold members into the anchors of their windows; return the anchors' places (P,) and new embeddings (P, D).

        Writes this choice into `reason` (L,) and `source` (L,).
        """
        stream = self.stream
        reason[stream.audio_index] = torch.where(self.salient, Reason.SALIENT, Reason.DROPPED).to(reason.dtype)
        reason[self.anchor] = Reason.ANCHOR
        if not self.looks_at_picture or merge_size == 0:
            return self.anchor[:0], stream.embeds[:0]
        anchors, members = stream.embeds[self.anchor].float(), stream.embeds[self.member].float()
        closeness, anchor_of = self._closest_anchor(anchors, members)
        weight = torch.where(self.nearest.isinf(), closeness, self.nearest)  # a window without picture: to the anchor
        absorbed = foremost(anchor_of, weight, merge_size) & ~closeness.isinf()  # a window without anchors: nothing to join
        reason[self.member] = torch.where(absorbed, Reason.FOLDED, Reason.DROPPED).to(reason.dtype)
        source[self.member] = self.anchor[anchor_of]
        return self.anchor, absorb(anchors, members, anchor_of, torch.where(absorbed, weight, 0.0), absorbed)

    def _closest_anchor(self, anchors: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) cosine to, and (M,) index of, the closest anchor of the member's own window; -inf where it has none."""
        counts = torch.bincount(self.anchor_window, minlength=self.stream.n_windows)
        starts = counts.cumsum(0) - counts
        place = torch.arange(int(counts.max()))
        padded = (starts[self.member_window, None] + place).clamp(max=anchors.shape[0] - 1)  # (M, Pw)
        missing = (place >= counts[self.member_window, None]).to(anchors.device)
        padded = padded.to(anchors.device)
        dots = torch.linalg.vecdot(members[:, None], anchors[padded])
        cosine = dots / (norms(members) * norms(anchors)[padded, 0])
        closeness, choice = cosine.masked_fill(missing, -torch.inf).max(dim=1)
        return closeness, padded.gather(1, choice[:, None]).flatten()
