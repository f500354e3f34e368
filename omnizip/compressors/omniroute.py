"""OmniRoute: in every two seconds the question decides whether sound or picture leads; the leader gets its share, the other follows.

Source: "OmniRoute", arXiv 2609.37052, re-implemented from a description; no code is published and the paper was not at hand.

1. Route. D = mean cosine of the question to a window's audio tokens - to its video tokens, the question being the mean of the text
   behind the clip. lambda = sigmoid((D - tau) / 0.03); sound leads from 0.5 on.
2. Leader's share of its tokens. Picture: base + alpha (g - mean g), g = 0.7 change within the window + 0.3 change to the window before.
   Sound: base + 2 K |lambda - 0.5|.
3. Follower's share: base, less 0.5 of what the leader keeps beyond its own.
4. Picture: as OmniRefine merges, regions at cosine 0.82 and steps at 0.58, within windows; what the question asks for raises both.
5. Sound: attention + 0.09 cosine to the question, both scaled to [0, 1] over the clip; 5 % of anchors take in the rest of their window,
   weighted by its likeness to the picture.

Not known, and ours: tau is the median of D over the clip; alpha and K below; thresholds t become t + 0.21 (1 - t) r, r the cosine of the
question to the window's picture scaled to [0, 1] over the clip; a change is 1 - cosine, of a place to itself a step before and of
a window's mean to the one before; shares are shifted alike until the clip keeps what was asked for (`solve_rates`). A window
without one of the two has no leader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..budget import rates_for, solve_rates
from ..deferred import Tensor, torch
from ..stream import Compression, Modality, TokenStream, placed
from .base import Compressor, option
from .omnirefine import SPATIAL, TEMPORAL, likeness_over_threshold, merge_video
from .omnizip_audio import AudioChoice
from .ops.blocks import block_bytes, step_rows
from .ops.merging import sum_by_group
from .ops.selection import cumulative_rounding, foremost
from .ops.similarity import echo, echo_of_previous, norms
from .ops.steps import Steps

TEMPERATURE = 0.03
WITHIN, BETWEEN = 0.7, 0.3
CORRECTION = 0.5  # beta
QUESTION = 0.09  # weight of the question in the score of sound
RAISE = 0.21  # gamma of the picture
ANCHORS = 0.05


@dataclass(frozen=True)
class OmniRoute(Compressor):
    """A leading modality per window, chosen by the question."""

    name: ClassVar[str] = "omniroute"
    label: ClassVar[str] = "OmniRoute"
    summary: ClassVar[str] = "Lets sound or picture lead every two seconds, whichever the question is nearer to; asked on, it chooses anew."
    source: ClassVar[str] = "arXiv 2609.37052"
    fidelity: ClassVar[str] = (
        "adapted: from a description; where it routes, how much a leader gains and how thresholds rise are not known and ours"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"saliency"})
    reads_question: ClassVar[bool] = True
    later: ClassVar[str] = (
        "Chosen for this question before the model reads: every layer reads all that was kept, and a further question reads the clip anew."
    )

    rho_audio: float = option(
        0.3, "Audio pruned", "Share of audio tokens not kept for their score.", low=0.0, high=0.95, step=0.01, is_rate=True
    )
    rho_video: float = option(0.6, "Video merged", "Share of video tokens not kept.", low=0.0, high=0.95, step=0.01, is_rate=True)
    alpha: float = option(0.5, "Picture's gain", "How much more a leading picture keeps where it changes.", low=0.0, high=2.0, step=0.1)
    gain: float = option(0.1, "Sound's gain", "How much more leading sound keeps (K).", low=0.0, high=0.5, step=0.05)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> OmniRoute:
        """The rates of the OmniZip presets, met exactly."""
        rho_audio, rho_video = rates_for(retention, stream.n_audio, stream.n_video, ANCHORS)
        return cls(**{**fields, "rho_audio": rho_audio, "rho_video": rho_video})

    def compress(self, stream: TokenStream) -> Compression:
        """Route, share, merge the picture, choose and fold the sound; waits for the device for the windows' likenesses."""
        question = _question(stream)
        heard, seen = (_cosines(stream, index, question) for index in (stream.audio_index, stream.video_index))
        windows = _windows(stream, heard, seen)
        audio_counts, video_counts = self._counts(stream, *windows)
        reason, source = torch.zeros_like(stream.modality), torch.full_like(stream.window, -1)
        rewritten = [self._video(stream, windows[1], video_counts, reason, source)] if stream.n_video else []
        if stream.n_audio:
            rewritten.append(self._audio(stream, heard, audio_counts, reason, source))
        folded = torch.cat([stream.media_index[:0], *(places for places, _ in rewritten)])
        embeds = torch.cat([stream.carried[:0].float(), *(rows.float() for _, rows in rewritten)])
        return Compression.of(stream, reason, source=source, folded=folded, folded_embeds=embeds)

    def _counts(self, stream: TokenStream, heard: Tensor, seen: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """(W,) int64 each: audio tokens of every window that are kept for their score, and video tokens that are kept. Host."""
        structure = stream.structure
        sizes = torch.stack([structure.audio_counts, structure.video_counts])
        both = (sizes > 0).all(dim=0)
        share = torch.tensor([[1 - self.rho_audio], [1 - self.rho_video]], dtype=torch.float64).repeat(1, sizes.shape[1])
        base = share.clone()
        difference = heard - seen
        if bool(both.any()):
            towards = torch.sigmoid((difference - difference[both].median()) / TEMPERATURE)
            sound = both & (towards >= 0.5)
            picture = both & ~sound
            share[0, sound] += 2 * self.gain * (towards - 0.5).abs()[sound]
            share[1, picture] += self.alpha * (change - change[both].mean())[picture]
            for leader, follower, where in ((0, 1, sound), (1, 0, picture)):
                kept = (share[leader].clamp(0, 1) * sizes[leader]).round() / sizes[leader].clamp(min=1)
                share[follower, where] -= CORRECTION * (kept - base[leader])[where]
        made = []
        for share_of, size, rate in zip(share, sizes, (self.rho_audio, self.rho_video), strict=True):
            rates = solve_rates(1 - share_of, size, rate, 0.0, 1.0) if int(size.sum()) else 1 - share_of
            made.append(cumulative_rounding(size * (1 - rates)))
        return made[0], made[1]

    def _video(self, stream: TokenStream, seen: Tensor, counts: Tensor, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Merge the picture within windows, at thresholds that the question raises; returns what that rewrote."""
        structure = stream.structure
        asked = _scaled(seen[structure.video_counts > 0])
        raised = torch.zeros_like(seen)
        raised[structure.video_counts > 0] = RAISE * asked
        by_step = raised[structure.step_window, None].float()
        thresholds = (placed(t + (1 - t) * by_step, stream.embeds.device) for t in (SPATIAL, TEMPORAL))
        redundancy, goes_to = likeness_over_threshold(stream, structure.step_window, *thresholds)
        of_token = structure.step_window.repeat_interleave(stream.tokens_per_step)
        return merge_video(stream, of_token, counts, redundancy, goes_to, reason, source)

    def _audio(self, stream: TokenStream, heard: Tensor, counts: Tensor, reason: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the sound of every window, place anchors and fold the rest into them; returns what that rewrote."""
        index, structure = stream.audio_index, stream.structure
        attention = stream.saliency[index].nan_to_num() if stream.saliency is not None else stream.embeds[index].float().norm(dim=-1)
        score = _scaled(attention) + QUESTION * _scaled(heard)
        device = index.device
        salient = foremost(placed(structure.audio_window, device), score, placed(counts[structure.audio_window], device))
        audio = AudioChoice.of(stream, salient, round(ANCHORS * stream.n_audio))
        per_step = stream.tokens_per_step * stream.embeds.shape[1] * 4
        for block in structure.step_blocks(per_step, block_bytes(device)) if stream.n_video else ():
            places = stream.step_places[block]
            steps = Steps.of(stream.embeds, places, structure.step_rank[block] % 2 == 1)
            audio.look_at(steps, structure.step_window[block], whole_clip=False)
        return audio.fold(stream.n_audio, reason, source)


def _question(stream: TokenStream) -> Tensor:
    """(D,) float32 mean of the text behind the clip; of all text where there is none behind."""
    text = stream.host_modality == Modality.TEXT
    places = torch.arange(text.numel())
    last = int(places[~text].max()) if bool((~text).any()) else -1
    behind = text & (places > last)
    rows = placed((behind if bool(behind.any()) else text).nonzero().flatten(), stream.embeds.device)
    return stream.embeds[rows].float().sum(dim=0) / max(1, rows.numel())


def _cosines(stream: TokenStream, index: Tensor, question: Tensor) -> Tensor:
    """(N,) cosine of the question to the tokens at `index` (N,)."""
    made = []
    for part in index.split(max(1, block_bytes(index.device) // (4 * question.numel()))):
        rows = stream.embeds[part].float()
        made.append((rows @ question) / (norms(rows)[:, 0] * norms(question)))
    return torch.cat(made)


def _windows(stream: TokenStream, heard: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(W,) float64 on the host, three times: mean cosine of the question to the sound and to the picture of every window, 0 where there
    is none, and how much the picture changes in it; in one transfer."""
    structure, device, windows = stream.structure, stream.embeds.device, stream.n_windows
    of_audio = placed(structure.audio_window, device)
    of_step = placed(structure.step_window, device)
    n, steps = max(1, stream.tokens_per_step), structure.step_window.numel()
    sums = [sum_by_group(heard, of_audio, windows), sum_by_group(seen.view(steps, n).sum(dim=1), of_step, windows)]
    within, between = seen.new_zeros(windows), seen.new_zeros(windows)
    if steps:
        same_place = (1 - echo_of_previous(stream)).mean(dim=1)
        follows = placed(structure.step_rank > 0, device)
        within = sum_by_group(torch.where(follows, same_place, 0.0), of_step, windows)
        mean = sum_by_group(torch.cat([x.mean(dim=1) for _, x in step_rows(stream)]), of_step, windows)
        between[1:] = 1 - echo(mean[None, 1:], mean[None, :-1])[0]
    at_host = torch.stack([*sums, within, between]).cpu().double()
    sizes = torch.stack([structure.audio_counts, structure.video_counts, (structure.steps_per_window - 1)]).clamp(min=1)
    heard, seen, within = at_host[:3] / sizes
    shown = structure.video_counts > 0
    before = torch.cat([shown.new_zeros(1), shown[:-1]])
    return heard, seen, WITHIN * within + BETWEEN * torch.where(shown & before, at_host[3], 0.0)


def _scaled(values: Tensor) -> Tensor:
    """`values` (N,) from 0 for the least to 1 for the most; all 0 where they are alike."""
    if not values.numel():
        return values
    low, high = values.amin(), values.amax()
    return (values - low) / (high - low).clamp(min=1e-12)
