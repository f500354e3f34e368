"""A GPU that is lent for one call, as ZeroGPU does: what goes into the call, what comes out of it, and how long it may take.

The call runs in a forked process that alone has the GPU; what goes in and what comes out is pickled. So a task is plain data on
the CPU, and all that it brings back is too: events, the encoded clip for the previews outside, and a problem as its sentence,
since exceptions arrive there as the name of their class. A wish to stop cannot cross: whoever reads closes the call.

Nothing the language model has read survives a call, so follow-up questions read the clip anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import errors
from ..errors import OmniZipError
from ..media import Clip
from ..model.prefix_cache import Prefixes
from ..model.qwen import EncodedClip, QwenOmni
from ..settings import Settings
from ..types import Sampling
from .comparison import Comparison, Encoded, History, Stop
from .events import Arm, Event, Finished, Stage

# Assumed for a model of 10 billion parameters on half a card of ZeroGPU, not measured there. Generous, since a call that takes
# longer is cut off, yet not more: a visitor's quota has to cover the estimate before the call.
START_S = 8.0
ENCODE_S_PER_TOKEN = 1e-3
READ_S_PER_TOKEN = 4e-4  # each prompt is read twice, once to warm up
WRITE_S_PER_TOKEN = 0.05
TOKENS_PER_S_OF_SOUND = 25
SMALLEST = 0.1  # share of these times that a small model takes, since part of them is no arithmetic

Work = Callable[["Task"], Iterator[Any]]
Lend = Callable[..., Work]  # spaces.GPU: (work, duration=) -> work that runs with the GPU


@dataclass(frozen=True, eq=False)
class Task:
    """All that a call needs: a clip, encoded already or not, and what to ask; no arms to encode only."""

    clip: Clip
    encoded: EncodedClip | None
    decode_ms: float | None
    name: str
    question: str
    arms: Sequence[Arm]
    history: History
    sampling: Sampling
    settings: Settings


@dataclass(frozen=True, eq=False)
class ClipEncoded:
    """What the encoders made of the task's clip, without the clip itself, which the asker has."""

    encoded: EncodedClip

    def beside(self, clip: Clip) -> EncodedClip:
        """The whole, outside."""
        return replace(self.encoded, clip=clip)


@dataclass(frozen=True)
class Failed:
    """A problem a person can cure: the class it has in errors.py, and its sentence."""

    kind: str
    sentence: str

    def error(self) -> OmniZipError:
        """The problem, to be raised outside."""
        return getattr(errors, self.kind, OmniZipError)(self.sentence)


def duration_s(task: Task, parameters: int) -> int:
    """Seconds to ask for: from the clip's tokens, the prompts and the longest answers, by the size of the model."""
    s = task.settings
    tokens = len(task.clip.frames) / 2 * s.tokens_per_step
    if task.clip.waveform is not None:
        tokens += task.clip.duration_s * TOKENS_PER_S_OF_SOUND
    shares = sum(min(1.0, arm.retention or 1.0) for arm in task.arms)
    work = ENCODE_S_PER_TOKEN * tokens * (task.encoded is None)
    work += 2 * READ_S_PER_TOKEN * tokens * shares + WRITE_S_PER_TOKEN * task.sampling.max_new_tokens * len(task.arms)
    return math.ceil(START_S + work * max(SMALLEST, parameters / 1e10))


def perform(model: QwenOmni, task: Task) -> Iterator[Event | ClipEncoded | Failed]:
    """Encode the clip unless it is, then answer for every arm; what is yielded crosses back."""
    try:
        encoded = task.encoded
        if encoded is None:
            yield Stage("encode")
            encoded = model.encode(task.clip)
            yield ClipEncoded(replace(encoded, clip=None))
        if task.arms:
            asked = Encoded(encoded, task.decode_ms)
            comparison = Comparison(model, asked, task.name, task.question, task.sampling, Stop(None), Prefixes())
            report = yield from comparison.run(task.arms, task.history, task.settings)
            if report is not None:
                yield Finished(report)
    except OmniZipError as problem:
        yield Failed(type(problem).__name__, str(problem))
