"""A GPU that is lent for one call, as ZeroGPU does: what goes into the call, what comes out of it, and how long it may take.

The call runs in a forked process that alone has the GPU; what goes in and what comes out is pickled. So a task is plain data, and
all that it brings back is too: events, the encoded clip for the previews outside, and a problem as its sentence, since exceptions
arrive there as the name of their class. A wish to stop cannot cross: whoever reads closes the call.

Tensors cross as arrays. The border's pickler would put each into shared memory, which stays taken as long as the clip is kept; and
where /dev/shm is small (64 MB in a container unless it says otherwise) the call then ends early without an error. So an end before
the work is complete is a failure here, whatever its cause.

Nothing the language model has read survives a call, so follow-up questions read the clip anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .. import errors
from ..errors import ModelError, OmniZipError
from ..media import Clip
from ..model.prefix_cache import Prefixes
from ..model.qwen import EncodedClip, QwenOmni
from ..settings import Settings
from ..types import Sampling
from .clips import TimedClip
from .comparison import Comparison, History, Stop
from .events import Arm, Event, Finished, Stage
from .out_of_memory import SecondTry

# Assumed for a model of 10 billion parameters on half a card of ZeroGPU, not measured there. Generous, since a call that takes
# longer is cut off, yet not more: a visitor's quota has to cover the estimate before the call.
START_S = 8.0
ENCODE_S_PER_TOKEN = 1e-3
READ_S_PER_TOKEN = 4e-4  # in a comparison each prompt is read twice, once to warm up
WRITE_S_PER_TOKEN = 0.05
TOKENS_PER_S_OF_SOUND = 25
SMALLEST = 0.1  # share of these times that a small model takes, since part of them is no arithmetic
ENDED_EARLY = "The lent GPU ended the call before the answer was complete; try again, with a shorter clip if it happens once more."

Work = Callable[["Task"], Generator[Any, None, None]]
Lend = Callable[..., Work]  # spaces.GPU: (work, duration=) -> work that runs with the GPU


@dataclass(frozen=True, eq=False)
class TensorArray:
    """A tensor as numbers that pickle by value: an array on the host, and the type the numbers have."""

    dtype: torch.dtype
    array: Any  # numpy; of 16-bit integers for bfloat16, which numpy does not know

    @classmethod
    def of(cls, tensor: Tensor) -> TensorArray:
        """The tensor's numbers; on the CPU they are not copied."""
        held = tensor.detach().cpu().contiguous()
        return cls(tensor.dtype, (held.view(torch.int16) if tensor.dtype == torch.bfloat16 else held).numpy())

    def tensor(self) -> Tensor:
        """The tensor, on the CPU."""
        return torch.from_numpy(self.array).view(self.dtype)


@dataclass(frozen=True, eq=False)
class LentEncoding:
    """What the encoders made of a clip, without the clip itself, as plain data."""

    values: Mapping[str, Any]  # fields of EncodedClip

    @classmethod
    def of(cls, encoded: EncodedClip) -> LentEncoding:
        """The encoding as it crosses."""
        held = {field.name: getattr(encoded, field.name) for field in fields(encoded) if field.name != "clip"}
        return cls({name: TensorArray.of(value) if isinstance(value, Tensor) else value for name, value in held.items()})

    def beside(self, clip: Clip) -> EncodedClip:
        """The encoding of `clip`, as it was."""
        held: dict[str, Any] = {name: value.tensor() if isinstance(value, TensorArray) else value for name, value in self.values.items()}
        return EncodedClip(clip=clip, **held)


@dataclass(frozen=True, eq=False)
class Task:
    """All that a call needs: a clip, encoded already or not, and what to ask; no arms to encode only."""

    clip: Clip
    encoded: LentEncoding | None
    decode_ms: float | None
    name: str
    question: str
    arms: Sequence[Arm]
    history: History
    sampling: Sampling
    settings: Settings
    alone: bool = False  # one arm that is compared with nothing


@dataclass(frozen=True)
class LentFailure:
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
    encoded = sum(min(1.0, arm.retention or 1.0) for arm in task.arms if arm.method_class().chooses_before_encoding)
    work = ENCODE_S_PER_TOKEN * tokens * ((task.encoded is None) + encoded)  # who chooses before encoding has an encoding of its own
    work += (1 if task.alone else 2) * READ_S_PER_TOKEN * tokens * shares + WRITE_S_PER_TOKEN * task.sampling.max_new_tokens * len(
        task.arms
    )
    return math.ceil(START_S + work * max(SMALLEST, parameters / 1e10))


def perform(model: QwenOmni, task: Task) -> Iterator[Event | LentEncoding | LentFailure]:
    """Encode the clip unless it is, then answer for every arm; what is yielded crosses back."""
    try:
        if task.encoded is None:
            yield Stage("encode")
            memory = SecondTry(model, Prefixes(0), task.clip.frames.shape)
            encoded = memory.run(lambda: model.encode(task.clip))
            yield LentEncoding.of(encoded)
        else:
            encoded = task.encoded.beside(task.clip)
        if task.arms:
            timed = TimedClip(encoded, task.decode_ms)
            comparison = Comparison(
                model, timed, task.name, task.question, task.sampling, Stop(None), Prefixes(0), task.alone, repeats=False
            )
            report = yield from comparison.run(task.arms, task.history, task.settings)
            if report is not None:
                yield Finished(report)
    except OmniZipError as problem:
        yield LentFailure(type(problem).__name__, str(problem))


class LentCalls:
    """A model that is used in lent calls only."""

    def __init__(self, model: QwenOmni, lend: Lend) -> None:
        def work(task: Task) -> Iterator[Event | LentEncoding | LentFailure]:
            yield from perform(model, task)

        self._call = lend(work, duration=lambda task: duration_s(task, model.conditions.parameters))

    def encode(self, clip: Clip, decode_ms: float, settings: Settings) -> EncodedClip:
        """Encode a clip and ask nothing. Raises OmniZipError in one sentence."""
        task = Task(clip, None, decode_ms, clip.path.name, "", (), (), Sampling(), settings)
        encoded = None
        with closing(self._call(task)) as events:
            for event in events:
                if isinstance(event, LentFailure):
                    raise event.error()
                if isinstance(event, LentEncoding):
                    encoded = event.beside(clip)
        if encoded is None:
            raise ModelError(ENDED_EARLY)
        return encoded

    def answer(self, task: Task, stop: Stop) -> Generator[Event | EncodedClip, None, None]:
        """Yield the events of a task with arms, up to Finished, and the encoded clip where it was encoded for it.

        Raises:
            Stopped: the stop was heard; the call ends with it. OmniZipError: in one sentence, also where the call ends early.
        """
        complete = False
        with closing(self._call(task)) as events:
            for event in events:
                stop.check()
                if isinstance(event, LentFailure):
                    raise event.error()
                yield event.beside(task.clip) if isinstance(event, LentEncoding) else event
                complete = complete or isinstance(event, Finished)
        if not complete:
            stop.check()
            raise ModelError(ENDED_EARLY)
