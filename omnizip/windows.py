"""Which two-second window a token belongs to, and how a clip's tokens are laid out in windows and steps.

The encoders of Qwen2.5-Omni work in blocks of two seconds, and its prompt interleaves picture and sound in the same
blocks; OmniZip's window is that block (paper, section 3.2: "time window"). It is two seconds in models with other blocks,
too. A window is found from the mRoPE time of a token, so it stays right for clips sampled below two frames per second,
where a window may hold one step or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .deferred import Tensor, torch

POSITIONS_PER_SECOND = 25  # mRoPE time ids per second of clip
WINDOW_S = 2.0
POSITION_SLACK = 1e-3  # positions that are fractions come in float32
AUDIO_TOKENS_PER_WINDOW = 50  # 25 audio tokens per second
STEPS_PER_WINDOW = 2  # at 2 frames per second two frames make one step of one second


def window_of(time: Tensor, is_media: Tensor, positions_per_second: float = POSITIONS_PER_SECOND) -> Tensor:
    """(L,) int64 window of each token from its mRoPE time (L,); -1 where `is_media` (L,) is False."""
    if not bool(is_media.any()):
        return torch.full_like(time, -1, dtype=torch.int64)
    since = time.double() - time[is_media].min().double()
    return torch.where(is_media, ((since + POSITION_SLACK) // (WINDOW_S * positions_per_second)).long(), -1)


@dataclass(frozen=True)
class Structure:
    """Where a clip's tokens lie in windows and steps. On the host: it follows from the prompt, not from any value."""

    n_windows: int
    audio_window: Tensor  # (A,) int64 window of each audio token, ascending
    step_window: Tensor  # (steps,) int64 window of each video step, ascending
    tokens_per_step: int

    @classmethod
    def of(cls, audio_window: Tensor, video_window: Tensor, tokens_per_step: int, n_windows: int) -> Structure:
        """From the windows of the audio (A,) and video (V,) tokens in stream order."""
        return cls(n_windows, audio_window.cpu(), video_window.cpu()[:: max(1, tokens_per_step)], tokens_per_step)

    @cached_property
    def audio_counts(self) -> Tensor:
        """(W,) audio tokens of each window."""
        return torch.bincount(self.audio_window, minlength=self.n_windows)

    @cached_property
    def steps_per_window(self) -> Tensor:
        """(W,) video steps of each window."""
        return torch.bincount(self.step_window, minlength=self.n_windows)

    @cached_property
    def video_counts(self) -> Tensor:
        """(W,) video tokens of each window."""
        return self.steps_per_window * self.tokens_per_step

    @cached_property
    def step_rank(self) -> Tensor:
        """(steps,) place of each step within its window."""
        first = self.steps_per_window.cumsum(0) - self.steps_per_window
        return torch.arange(self.step_window.numel()) - first[self.step_window]

    def step_blocks(self, bytes_per_step: int, budget_bytes: int = 8 << 20) -> Iterator[slice]:
        """Slices of steps that hold whole windows and about `budget_bytes`, so that memory does not grow with the clip.

        The default stays within a CPU's cache, where it is also fastest.
        """
        total = self.step_window.numel()
        ends = self.steps_per_window.cumsum(0)
        most = max(1, budget_bytes // max(1, bytes_per_step))
        start = 0
        while start < total:
            fitting = ends[(ends > start) & (ends <= start + most)]
            end = int(fitting[-1]) if fitting.numel() else int(ends[ends > start][0])
            yield slice(start, end)
            start = end
