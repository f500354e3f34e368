"""DASH: the sound cuts the clip into pieces where it changes; tokens at such changes are kept first, and pieces with much of the sound
left keep slightly more of their picture.

Source: Li and Huang, "DASH: Dynamic Audio-Driven Semantic Chunking", arXiv 2603.15685 (ECCV 2026), re-implemented from a description of
its published code.

1. Pieces: a new one begins where the cosine of an audio token to the one before is below 0.4, at the earliest 30 tokens after the last
   cut. Edges are scaled linearly from sound to picture.
2. Sound: 0.4 boundary + 0.3 uniqueness + 0.3 attention, each over its largest value; the highest of the clip stay. Boundary is
   (1 - cosine to the token before) / 2, of the first token 1. Uniqueness is 1 - the sum of Gaussians (VidCom2) around the mean of all
   sound, on the steadier half of the channels of L2-normalised rows. 5 % more stay as anchors and take in others, as in OmniZip.
3. Picture: a piece is pruned at rho_video + 0.1 (0.5 - S), S the share of its sound that stays, anchors counted, within [0.1, 0.95]. In its
   first, third, ... step the patches that are least like their five nearest stay, in the others what changed at its place. A piece
   of less than two steps is kept whole; without sound every step is pruned at max(0.35, rho_video - 0.15).

Departures: a piece takes whole steps, each by its middle, where the published code cuts steps in two and compares the halves of a
picture as if one followed the other; anchors are spaced and joined within windows (`omnizip`); `counts` = exact keeps what
was asked for, and prunes pieces of one step like the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import rates_for, solve_rates
from ..deferred import Tensor, torch
from ..errors import MethodError
from ..stream import Compression, Reason, TokenStream, placed
from .base import Compressor, option
from .omnizip_audio import AudioChoice, most_salient
from .ops.blocks import block_bytes
from .ops.selection import cumulative_rounding, highest, marked_per_group, rank_in_group
from .ops.similarity import echo, echo_of_previous, gaussians, isolation, norms
from .ops.steps import Steps

BREAK, SHORTEST = 0.4, 30  # cosine below which a piece begins, and the audio tokens it has at least
BOUNDARY, UNIQUENESS, ATTENTION = 0.4, 0.3, 0.3  # weights
ANCHORS, MERGED = 0.05, 3  # share of the sound that becomes anchors, and how many tokens each takes in
STRENGTH = 0.1  # how much of a piece's sound moves the rate of its picture
LEAST_RATE, MOST_RATE = 0.1, 0.95
NEIGHBOURS = 5


@dataclass(frozen=True)
class DASH(Compressor):
    """Pieces by change in the sound, three signals for it, and OmniZip's two kinds of steps within pieces."""

    name: ClassVar[str] = "dash"
    label: ClassVar[str] = "DASH"
    summary: ClassVar[str] = "Cuts the clip where its sound changes, keeps the sound that stands out, and the picture by pieces."
    source: ClassVar[str] = "arXiv 2603.15685 (ECCV 2026) and its published code"
    fidelity: ClassVar[str] = "adapted: whole steps where the published code halves them, anchors within windows, exact budget"
    needs: ClassVar[frozenset[str]] = frozenset({"saliency"})

    rho_audio: float = option(
        0.45, "Audio pruned", "Share of audio tokens not kept for standing out.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_video: float = option(0.76, "Video pruned", "Share of video tokens dropped, aimed at.", low=0.0, high=0.95, step=0.01, is_rate=True)
    counts: str = option(
        "published", "Counts", "What each piece's rate leaves, or a clip that meets the rates exactly.", choices=("published", "exact")
    )

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> DASH:
        """The rates of the OmniZip presets, met exactly."""
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ANCHORS)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video, "counts": "exact"})

    def compress(self, stream: TokenStream) -> Compression:
        """Cut, rank the sound, choose the picture piece by piece, merge."""
        if stream.saliency is None:
            raise MethodError("This stream carries no audio saliency; give audio_saliency.")
        likeness = _likeness_to_previous(stream)
        sizes = pieces(likeness.cpu())  # waits for the device
        salient = most_salient(_standing_out(stream, likeness), round((1 - self.rho_audio) * stream.n_audio))
        audio = AudioChoice.of(stream, salient, round(ANCHORS * stream.n_audio))
        stays = torch.zeros_like(stream.modality, dtype=torch.bool)
        stays[stream.audio_index] = salient
        stays.index_fill_(0, audio.anchor, True)
        piece = piece_of_steps(sizes, stream.grid[0])
        counts = self._counts(stream, sizes, piece, stays[stream.audio_index])
        reason, source = torch.zeros_like(stream.modality), torch.full_like(stream.window, -1)
        reason[stream.video_index] = _video(stream, audio, rank_in_group(piece, sizes.numel() + 1) % 2 == 1, counts)
        folded, embeds = audio.fold(MERGED, reason, source)
        notes = () if stream.n_audio else ("The clip has no sound to cut by, so every second's picture is compressed alike.",)
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds, notes=notes)

    def _counts(self, stream: TokenStream, sizes: Tensor, piece: Tensor, stays: Tensor) -> Tensor:
        """(steps,) int64 on the host: how much of each step is kept; waits for the device.

        Args:
            sizes: (P,) audio tokens of each piece; piece: (steps,) both on the host; stays: (A,) bool the sound that is kept.
        """
        n, held = stream.tokens_per_step, torch.bincount(piece, minlength=max(1, sizes.numel()))
        if not sizes.numel():
            rates = torch.tensor([max(0.35, self.rho_video - 0.15)], dtype=torch.float64)
        else:
            share = marked_per_group(stays, sizes) / sizes.double()
            rates = (self.rho_video + STRENGTH * (0.5 - share)).clamp(LEAST_RATE, MOST_RATE)
        if self.counts == "published":
            rates = torch.where((held < 2) & (sizes.numel() > 0), 0.0, rates)
            return (n * (1 - rates[piece])).long()
        here = held > 0
        if bool(here.any()):
            rates[here] = solve_rates(rates[here], held[here] * n, self.rho_video, 0.0, 1.0)
        return cumulative_rounding(n * (1 - rates[piece]))


def pieces(likeness: Tensor) -> Tensor:
    """(P,) int64 how many audio tokens each piece has, in order.

    Args:
        likeness: (A,) cosine of each token to the one before, of the first -1. On the host.
    """
    starts = [0] if likeness.numel() else []
    for place in (likeness < BREAK).nonzero().flatten().tolist():
        if place - starts[-1] >= SHORTEST:
            starts.append(place)
    return torch.tensor([*starts, likeness.numel()], dtype=torch.int64).diff() if starts else torch.zeros(0, dtype=torch.int64)


def piece_of_steps(sizes: Tensor, steps: int) -> Tensor:
    """(steps,) int64 piece of each step: the one that holds the audio at the same share of the clip. Host."""
    if not sizes.numel():
        return torch.zeros(steps, dtype=torch.int64)
    middle = (torch.arange(steps, dtype=torch.float64) + 0.5) / max(1, steps) * int(sizes.sum())
    return torch.searchsorted(sizes.cumsum(0).double(), middle, right=True)


def _likeness_to_previous(stream: TokenStream) -> Tensor:
    """(A,) cosine of each audio token to the one before, of the first -1."""
    index = stream.audio_index
    likeness = torch.full((index.numel(),), -1.0, device=index.device)
    size = max(1, block_bytes(index.device) // (4 * stream.embeds.shape[1]))
    for start in range(1, index.numel(), size):
        x = stream.embeds[index[start - 1 : start + size]].float()
        likeness[start : start + size] = echo(x[None, 1:], x[None, :-1])[0]
    return likeness


def _standing_out(stream: TokenStream, likeness: Tensor) -> Tensor:
    """(A,) the three signals of each audio token, weighted."""
    if not likeness.numel():
        return likeness
    boundary = ((1 - likeness) / 2).clamp(0, 1)
    attention = stream.saliency[stream.audio_index].nan_to_num()  # pyright: ignore[reportOptionalSubscript]  (compress looked)
    return BOUNDARY * _relative(boundary) + UNIQUENESS * (1 - _relative(_commonness(stream))) + ATTENTION * _relative(attention)


def _relative(values: Tensor) -> Tensor:
    return values / values.amax().clamp(min=1e-6)


def _commonness(stream: TokenStream) -> Tensor:
    """(A,) likeness of each audio token to the mean of all, on the steadier half of the channels."""
    blocks = stream.audio_index.split(max(1, block_bytes(stream.embeds.device) // (4 * stream.embeds.shape[1])))
    width = stream.embeds.shape[1]
    total = torch.zeros(2, width, dtype=torch.float64, device=stream.embeds.device)
    for index in blocks:
        x = stream.embeds[index].double()
        total += torch.stack([x.sum(dim=0), x.square().sum(dim=0)])
    mean, square = total / stream.n_audio
    steady = (square - mean**2).argsort(stable=True)[: max(1, width // 2)]
    centre = torch.zeros(steady.numel(), device=steady.device)
    for index in blocks:
        rows = stream.embeds[index].float()[:, steady]
        centre += (rows / norms(rows)).sum(dim=0)
    centre /= stream.n_audio
    made = []
    for index in blocks:
        rows = stream.embeds[index].float()[:, steady]
        made.append(gaussians((rows / norms(rows) - centre).square().sum(dim=-1)))
    return torch.cat(made)


def _video(stream: TokenStream, audio: AudioChoice, second: Tensor, counts: Tensor) -> Tensor:
    """(V,) uint8 reasons of the video; `audio` looks at all of it on the way.

    Args:
        second: (steps,) bool which steps are ranked by change; counts: (steps,) how much of each is kept. Host.
    """
    n, width = stream.tokens_per_step, stream.embeds.shape[1]
    if not stream.n_video:
        return torch.zeros(0, dtype=stream.modality.dtype, device=stream.embeds.device)
    apart = []
    for block in torch.arange(stream.grid[0]).split(max(1, block_bytes(stream.embeds.device) // (4 * n * width))):
        steps = Steps.of(stream.embeds, stream.step_places[block], torch.zeros(block.numel(), dtype=torch.bool))
        audio.look_at(steps, stream.structure.step_window[block], whole_clip=True)
        apart.append(isolation(steps.first, NEIGHBOURS, steps.first_norm))
    changes = placed(second, stream.embeds.device)[:, None]
    scores = torch.where(changes, -echo_of_previous(stream), torch.cat(apart))
    kind = torch.where(changes, Reason.CHANGE, Reason.METHOD_SCORE)
    return torch.where(highest(scores, counts), kind, Reason.DROPPED).to(stream.modality.dtype).flatten()
