"""The words every module shares: a clip as a stream of tokens, what a compressor decided about it, the prompt that is left.

Letters in shapes: L tokens of the whole prompt, D width of the language model, A audio tokens, V video tokens, W windows
of two seconds, K kept tokens, F rows that folding rewrote.

One clip, no batch axis. Nothing here is ever written to after it is made: a compressor returns a Compression and leaves
the stream as it found it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

from .deferred import Tensor, torch
from .errors import MethodError
from .windows import POSITIONS_PER_SECOND, STEPS_PER_WINDOW, WINDOW_S, Structure, window_of

Observer = Callable[[], tuple[Tensor, float]]  # scores of tokens, and the milliseconds that scoring took


def placed(values: Tensor, device: torch.device) -> Tensor:
    """Copy host values to `device` without waiting for it; a plain copy waits until all of an accelerator's work is done."""
    return values.to(device, non_blocking=True)


class Modality(IntEnum):
    """What a position of the prompt holds. Markers around the clip count as text."""

    TEXT = 0
    AUDIO = 1
    VIDEO = 2


class Reason(IntEnum):
    """Why a token is where it is; the page's colours and counts come from this."""

    TEXT = 0
    SALIENT = 1  # audio that receives much attention
    ANCHOR = 2  # audio kept to stand for its minor neighbours
    DENSITY_PEAK = 3  # video: centre of a group of alike patches in one step
    CHANGE = 4  # video: unlike the same place one step earlier
    METHOD_SCORE = 5  # kept by another rule; the method says which
    FOLDED = 6  # not kept itself, lives on in the token `source` names
    DROPPED = 7
    UNSEEN = 8  # never encoded, so there is nothing that could be kept


@dataclass(frozen=True, eq=False)
class TokenStream:
    """The unpruned prompt of one clip and one conversation, as the language model would read it.

    Windows and steps are in time order along the stream; every step holds rows * columns video tokens, row by row.
    """

    embeds: Tensor  # (L, D) what the language model reads
    positions: Tensor  # (3, L) mRoPE: time, height, width; int64, or float32 where the model counts in fractions
    modality: Tensor  # (L,) uint8, Modality
    window: Tensor  # (L,) int64 two-second window, -1 outside the clip
    grid: tuple[int, int, int]  # steps, rows, columns of video tokens
    saliency: Tensor | None = None  # (L,) float32 attention received, softmax over the whole clip; NaN where not observed
    saliency_windowed: Tensor | None = None  # (L,) float32 the same inside the encoder's own two-second blocks
    saliency_kind: str = "attention"  # what the two saliencies are: "attention", "embedding norm", "given" or "uniform"
    observers: Mapping[str, Observer] = field(default_factory=dict, repr=False)  # what else can be observed, when a method asks for it
    audio_selector: Any = field(default=None, repr=False)  # the trained AudioSelector of the model's checkpoint, if it has one
    seen: Tensor | None = None  # (steps, rows * columns) bool on the host, which video tokens were encoded; the rest are zeros; None: all
    deepstack: Tensor | None = field(default=None, repr=False)  # (layers, V, D) added to the picture after the model's first layers

    def __post_init__(self) -> None:
        length = self.embeds.shape[0]
        for name in ("modality", "window", "saliency", "saliency_windowed"):
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != (length,):
                raise MethodError(f"{name} has shape {tuple(value.shape)}, expected ({length},): one entry per token of the prompt.")
        if tuple(self.positions.shape) != (3, length):
            raise MethodError(f"positions has shape {tuple(self.positions.shape)}, expected (3, {length}): time, height, width.")
        steps, rows, columns = self.grid
        if self.deepstack is not None and tuple(self.deepstack.shape[1:]) != (self.n_video, self.embeds.shape[1]):
            raise MethodError(
                f"deepstack has shape {tuple(self.deepstack.shape)}, expected (layers, {self.n_video}, {self.embeds.shape[1]}): "
                "a row per video token."
            )
        if self.seen is not None and tuple(self.seen.shape) != (steps, rows * columns):
            raise MethodError(f"seen has shape {tuple(self.seen.shape)}, expected ({steps}, {rows * columns}): one entry per video token.")
        if steps * rows * columns != self.n_video:
            raise MethodError(
                f"The grid {self.grid} (steps, rows, columns) means {steps * rows * columns} video tokens, the stream has {self.n_video}."
            )

    @classmethod
    def from_ids(
        cls,
        input_ids: Tensor,
        embeds: Tensor,
        positions: Tensor | None = None,
        *,
        audio_token_id: int,
        video_token_id: int,
        grid_thw: Tensor | tuple[int, int, int],
        audio_saliency: Tensor | None = None,
        video_saliency: Tensor | None = None,
        positions_per_second: int = POSITIONS_PER_SECOND,
        deepstack: Tensor | None = None,
    ) -> TokenStream:
        """Build a stream from what any Qwen-Omni processor gives.

        Args:
            input_ids: (L,) token ids with the placeholders of sound and picture in place.
            embeds: (L, D) input embeddings, encoder outputs already scattered in.
            positions: (3, L) mRoPE positions; None makes video step // 2 and audio index // 50 the windows, 50 being two seconds.
            grid_thw: (T, H, W) in patches, before the 2x2 merge; batch axes of size one are accepted.
            audio_saliency: (A,) serves as both saliencies; None ranks by the L2 norm of the audio embeddings, and
                `saliency_kind` (hence every report) says so.
            video_saliency: (V,) attention the video tokens receive in their encoder; methods that rank by it and find none
                rank by the norm of the embeddings, and their notes say so.
            positions_per_second: of the model, as many as it has audio tokens: 25 in Qwen2.5-Omni, 13 in Qwen3-Omni.
            deepstack: (layers, V, D) what is added to the video tokens after the model's first layers; gathered and folded with them.

        Raises:
            MethodError: shapes that do not fit each other.
        """
        ids = torch.as_tensor(input_ids).reshape(-1)
        length = ids.shape[0]
        if embeds.ndim != 2 or embeds.shape[0] != length:
            raise MethodError(f"embeds has shape {tuple(embeds.shape)}, expected ({length}, D) for {length} ids.")
        device = embeds.device
        ids = ids.to(device)
        modality = torch.zeros(length, dtype=torch.uint8, device=device)
        modality[ids == audio_token_id] = Modality.AUDIO
        modality[ids == video_token_id] = Modality.VIDEO
        audio_index = (modality == Modality.AUDIO).nonzero().flatten()
        video_index = (modality == Modality.VIDEO).nonzero().flatten()
        steps, height, width = (int(n) for n in torch.as_tensor(grid_thw).reshape(-1).tolist())
        grid = (steps, height // 2, width // 2) if video_index.numel() else (0, 0, 0)
        if positions is None:
            window = torch.full((length,), -1, dtype=torch.int64, device=device)
            per_step = max(1, grid[1] * grid[2])
            window[video_index] = torch.arange(video_index.numel(), device=device) // (per_step * STEPS_PER_WINDOW)
            window[audio_index] = torch.arange(audio_index.numel(), device=device) // round(WINDOW_S * positions_per_second)
            positions = torch.arange(length, device=device).expand(3, length)
        else:
            positions = positions.reshape(3, length).to(device)
            window = window_of(positions[0], modality != Modality.TEXT, positions_per_second)
        kind = "given"
        if audio_saliency is None:
            kind = "embedding norm"
            audio_saliency = embeds[audio_index].float().norm(dim=-1)
        if audio_saliency.numel() != audio_index.numel():
            raise MethodError(f"audio_saliency has {audio_saliency.numel()} entries, the stream has {audio_index.numel()} audio tokens.")
        saliency = torch.full((length,), float("nan"), dtype=torch.float32, device=device)
        saliency[audio_index] = audio_saliency.reshape(-1).to(device=device, dtype=torch.float32)
        observers: dict[str, Observer] = {}
        if video_saliency is not None:
            if video_saliency.numel() != video_index.numel():
                raise MethodError(f"video_saliency has {video_saliency.numel()} entries for {video_index.numel()} video tokens.")
            observers["saliency_video"] = lambda: (video_saliency.reshape(-1).float(), 0.0)
        return cls(embeds, positions, modality, window, grid, saliency, saliency, kind, observers, deepstack=deepstack)

    def observed(self, name: str) -> Tensor | None:
        """Scores of tokens that are made when first asked for; None where this stream cannot say.

        Args:
            name: "saliency_video", (V,) float32 attention received in the vision encoder; "saliency_joint", (A + V,) float32
                attention audio and video receive from each other in the first layers of the language model; "log_mel", (A, bins)
                float32 log-mel frames of each audio token, which nothing has to be run for. In prompt order.
        """
        if name in self.observers and name not in self._observed:
            self._observed[name] = self.observers[name]()
        return self._observed[name][0].to(self.embeds.device) if name in self._observed else None

    def observing_ms(self, names: frozenset[str]) -> float:
        """Milliseconds that scoring took for those of `names` that were observed so far."""
        return sum(ms for name, (_, ms) in self._observed.items() if name in names)

    @cached_property
    def _observed(self) -> dict[str, tuple[Tensor, float]]:
        return {}

    @cached_property
    def _host_layout(self) -> Tensor:
        """(2, L) int64 modality and window on the host, from which all structure follows; fetched once, in one transfer."""
        return torch.stack([self.modality.to(torch.int64), self.window]).cpu()

    @property
    def host_modality(self) -> Tensor:
        """(L,) int64 the modality on the host."""
        return self._host_layout[0]

    @property
    def host_window(self) -> Tensor:
        """(L,) int64 the window on the host."""
        return self._host_layout[1]

    @cached_property
    def media_index(self) -> Tensor:
        """(A + V,) where the audio and video tokens stand in the prompt, in its order."""
        return placed((self.host_modality != Modality.TEXT).nonzero().flatten(), self.modality.device)

    @cached_property
    def audio_index(self) -> Tensor:
        """(A,) where the audio tokens stand in the prompt, in time order."""
        return placed((self.host_modality == Modality.AUDIO).nonzero().flatten(), self.modality.device)

    @cached_property
    def video_index(self) -> Tensor:
        """(V,) where the video tokens stand in the prompt: step by step, row by row."""
        return placed(self.step_places.flatten(), self.modality.device)

    @cached_property
    def step_places(self) -> Tensor:
        """(steps, n) int64 on the host: where the video tokens stand in the prompt."""
        return (self.host_modality == Modality.VIDEO).nonzero().view(-1, max(1, self.tokens_per_step))

    @property
    def n_tokens(self) -> int:
        """L, the length of the unpruned prompt."""
        return self.embeds.shape[0]

    @property
    def n_audio(self) -> int:
        """A, the number of audio tokens."""
        return self.audio_index.numel()

    @property
    def n_video(self) -> int:
        """V, the number of video tokens."""
        return int((self.host_modality == Modality.VIDEO).sum())

    @property
    def n_windows(self) -> int:
        """W, the number of two-second windows the clip spans."""
        return self.structure.n_windows

    @cached_property
    def structure(self) -> Structure:
        """Windows and steps of the clip's tokens, on the host."""
        window = self.host_window
        heard, seen = (window[self.host_modality == kind] for kind in (Modality.AUDIO, Modality.VIDEO))
        return Structure.of(heard, seen, self.tokens_per_step, int(window.max()) + 1 if window.numel() else 0)

    @property
    def tokens_per_step(self) -> int:
        """Video tokens of one step, rows * columns."""
        return self.grid[1] * self.grid[2]

    @cached_property
    def carried(self) -> Tensor:
        """(L, D * (1 + layers)) what folding takes the mean of: embeddings, beside them deepstack rows, zeros where there is no picture."""
        if self.deepstack is None:
            return self.embeds
        layers, n_video, width = self.deepstack.shape
        deep = self.embeds.new_zeros(self.n_tokens, layers * width)
        deep[self.video_index] = self.deepstack.transpose(0, 1).reshape(n_video, -1).to(deep)
        return torch.cat([self.embeds, deep], dim=1)

    def prompt(self, compression: Compression) -> Prompt:
        """Gather what the model reads: kept rows, folded ones patched in, positions of the unpruned sequence."""
        index = compression.keep.nonzero().flatten()
        embeds = self.embeds[index]
        if compression.folded.numel():
            row_of = compression.keep.cumsum(0) - 1
            embeds[row_of[compression.folded]] = compression.folded_embeds.to(embeds.dtype)
        next_position = self.positions.max().item() + 1
        if self.deepstack is None:
            return Prompt(embeds, self.positions[:, index], index, next_position)
        rank = compression.keep[self.video_index].nonzero().flatten()  # of the kept video tokens among all
        deep = self.deepstack[:, rank]
        seen = self.modality[index] == Modality.VIDEO
        if compression.folded_deepstack is not None:
            pictures = self.modality[compression.folded] == Modality.VIDEO
            place = torch.searchsorted(index[seen], compression.folded[pictures])
            deep[:, place] = compression.folded_deepstack[:, pictures].to(deep)
        return Prompt(embeds, self.positions[:, index], index, next_position, deep, seen.nonzero().flatten())


@dataclass(frozen=True, eq=False)
class Compression:
    """What a compressor decided about every token of a stream, and where the dropped ones went."""

    stream: TokenStream = field(repr=False)
    keep: Tensor  # (L,) bool, text always True
    source: Tensor  # (L,) int64 the survivor each token lives on in, itself if kept, -1 if dropped
    reason: Tensor  # (L,) uint8, Reason
    folded: Tensor  # (F,) int64 the survivors whose embeddings may differ from the stream's
    folded_embeds: Tensor  # (F, D) their new embeddings
    audio_retention: Tensor | None = None  # (W,) share of a window's audio that guides its video; NaN without audio; None: no opinion
    video_pruning_rate: Tensor | None = None  # (W,) pruning rate as allocated; NaN without video; None: no opinion
    notes: tuple[str, ...] = ()  # what the user has to know about this decision, one sentence each
    folded_deepstack: Tensor | None = None  # (layers, F, D) their new deepstack rows; None: as they were

    @classmethod
    def of(
        cls,
        stream: TokenStream,
        reason: Tensor,
        *,
        source: Tensor | None = None,
        folded: Tensor | None = None,
        folded_embeds: Tensor | None = None,
        audio_retention: Tensor | None = None,
        video_pruning_rate: Tensor | None = None,
        notes: tuple[str, ...] = (),
    ) -> Compression:
        """Complete a decision given as one reason per token.

        Args:
            reason: (L,) uint8; FOLDED, DROPPED and UNSEEN are not kept, all else is. Video that was never encoded is UNSEEN
                whatever is given for it.
            source: (L,) int64, read only at FOLDED tokens.
            folded_embeds: (F, D), or as wide as the stream's `carried` rows, deepstack rows behind the embeddings.
        """
        if stream.seen is not None:
            reason = reason.index_fill(0, placed(stream.step_places[~stream.seen], reason.device), int(Reason.UNSEEN))
        keep = reason < Reason.FOLDED
        itself = torch.arange(stream.n_tokens, device=reason.device)
        lives_on = torch.full_like(itself, -1) if source is None else torch.where(reason == Reason.FOLDED, source, -1)
        if folded is None or folded_embeds is None:
            folded = itself[:0]
            folded_embeds = stream.embeds[:0]
        width, deep = stream.embeds.shape[1], None
        if folded_embeds.shape[1] > width:
            deep = folded_embeds[:, width:].unflatten(1, (-1, width)).transpose(0, 1)
        return cls(
            stream,
            keep,
            torch.where(keep, itself, lives_on),
            reason,
            folded,
            folded_embeds[:, :width],
            audio_retention,
            video_pruning_rate,
            notes,
            deep,
        )

    @property
    def embeds(self) -> Tensor:
        """(L, D) the stream's embeddings with the folded rows rewritten; a copy, made when asked."""
        embeds = self.stream.embeds.clone()
        embeds[self.folded] = self.folded_embeds.to(embeds.dtype)
        return embeds


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the language model reads after compression."""

    embeds: Tensor  # (K, D)
    positions: Tensor  # (3, K) as they were in the unpruned sequence
    index: Tensor  # (K,) where each row stood in the unpruned sequence
    next_position: float  # mRoPE position of the first generated token, on all three axes; a whole number in most models
    deepstack: Tensor | None = None  # (layers, K', D) added to the kept rows of the picture after the model's first layers
    video_rows: Tensor | None = None  # (K',) int64 which rows those are, ascending

    def deepstack_from(self, first: int) -> tuple[Tensor | None, Tensor | None]:
        """The deepstack rows of what follows the first `first` rows, and where they belong, counted from there."""
        if self.deepstack is None or self.video_rows is None:
            return None, None
        behind = self.video_rows >= first
        return self.deepstack[:, behind], self.video_rows[behind] - first
