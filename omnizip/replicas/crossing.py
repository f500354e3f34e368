"""What crosses between a page and a replica of the engine: plain values that pickle, on the CPU, without the model's own tensors.

A question goes out as a `Call` and comes back as what was `Said`: the engine's own events, what can be looked at, a problem in one
sentence, and `End` last of all, so that an end that was not said is known as one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from .. import errors
from ..engine import Arm, Event, Preview
from ..engine.clips import ClipKey
from ..engine.comparison import History
from ..engine.protocol import Viewed
from ..errors import OmniZipError
from ..media import Clip
from ..report.decision import CompressionRecord
from ..report.report import ClipRecord
from ..types import Sampling

COMPARE, ANSWER, PREVIEW, ENCODE = "compare", "answer", "preview", "encode"


@dataclass(frozen=True, eq=False)
class Parcel:
    """A clip on its way to a replica: which one, and where its bytes are."""

    key: ClipKey
    name: str  # the file's, for people
    path: str = ""  # where a replica finds it, on the same machine or in a folder both see; "" where it has to be sent
    content: tuple[Any, ...] = ()  # then one reference to its bytes, an awaitable; none until a replica said that it lacks them

    @property
    def home(self) -> str:
        """What decides which replica is asked."""
        return home_of(self.key)


def home_of(key: ClipKey) -> str:
    """The text by which a clip finds its replica, again and again: the digest of its bytes and of all settings it is read with."""
    return sha256(repr(key).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Call:
    """One thing asked of a replica."""

    name: str  # "compare", "answer", "preview" or "encode"
    number: str  # by which it is told to stop
    clip: Parcel
    question: str = ""
    arms: tuple[Arm, ...] = ()
    history: History = ()
    sampling: Sampling | None = None

    @property
    def answers(self) -> bool:
        """Whether the model writes, which takes the whole replica."""
        return self.name in (COMPARE, ANSWER)


@dataclass(frozen=True, eq=False)
class ClipView:
    """A clip as it was read and encoded, without what only the model reads."""

    clip: Clip
    grid: tuple[int, int, int]
    second_per_step: float
    encode_ms: float

    @classmethod
    def of(cls, encoded: Viewed) -> ClipView:
        """What can be looked at of an encoded clip."""
        return cls(encoded.clip, encoded.grid, encoded.second_per_step, encoded.encode_ms)

    @property
    def nbytes(self) -> int:
        """Bytes of frames and sound."""
        return self.clip.frames.nbytes + (0 if self.clip.waveform is None else self.clip.waveform.nbytes)


@dataclass(frozen=True)
class EncodingPrice:
    """What encoding a clip took."""

    encode_ms: float


@dataclass(frozen=True)
class AppliedMethod:
    """A method as it applied to a clip, by name and values."""

    name: str
    label: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PreviewRecord:
    """What a method would keep, without the prompt itself."""

    record: CompressionRecord
    compressor: AppliedMethod
    clip: ClipRecord
    encoded: EncodingPrice
    compress_ms: float
    saliency_ms: float

    @classmethod
    def of(cls, preview: Preview) -> PreviewRecord:
        """What is shown of a preview."""
        used = preview.compressor
        applied, price = AppliedMethod(used.name, used.label, used.parameters), EncodingPrice(preview.encoded.encode_ms)
        return cls(preview.record, applied, preview.clip, price, preview.compress_ms, preview.saliency_ms)


@dataclass(frozen=True)
class Failure:
    """A problem a person can cure: the class it has in errors.py, and its sentence."""

    kind: str
    sentence: str

    @classmethod
    def of(cls, problem: OmniZipError) -> Failure:
        """The problem as it crosses; of a class that is not in errors.py, the nearest that is."""
        kinds = [kind.__name__ for kind in type(problem).__mro__ if getattr(errors, kind.__name__, None) is kind]
        return cls(kinds[0], str(problem))

    def error(self) -> OmniZipError:
        """The problem, to be raised on this side."""
        return getattr(errors, self.kind)(self.sentence)


@dataclass(frozen=True)
class Missing:
    """The replica has neither the clip encoded nor its file; the same call with the file's bytes is answered."""


@dataclass(frozen=True)
class End:
    """Nothing more is said."""


Said = Event | ClipView | PreviewRecord | Failure | Missing | End
