"""What a compression method is: a frozen dataclass with described fields and one function.

A method's label, its sliders, its command-line flags and its contract tests all come from the dataclass, so adding one
means one file, one line in COMPRESSORS and one test; docs/add-a-method.md shows it.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ..deferred import Tensor
from ..errors import MethodError
from ..stream import Compression, TokenStream


@dataclass(frozen=True)
class Option:
    """How a person sets one field of a method: a bounded number, one of some choices, or a switch."""

    name: str
    label: str
    help: str
    default: Any
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    is_rate: bool = False  # a retention preset sets it; a person does so only under "custom"

    @property
    def kind(self) -> str:
        """One of "switch", "choice", "integer", "number"."""
        if isinstance(self.default, bool):
            return "switch"
        if self.choices:
            return "choice"
        return "integer" if isinstance(self.default, int) else "number"

    def check(self, value: Any) -> None:
        """Raise MethodError unless `value` is of this option's kind and within its bounds."""
        if self.kind == "switch":
            if not isinstance(value, bool):
                raise MethodError(f"{self.name} is {value!r}; it is a switch, give true or false.")
        elif self.kind == "choice":
            if value not in self.choices:
                raise MethodError(f"{self.name} is {value!r}; choose one of {', '.join(self.choices)}.")
        else:
            whole = self.kind == "integer"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise MethodError(f"{self.name} is {value!r}; give {'a whole number' if whole else 'a number'}.")
            low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
            if not low <= value <= high:
                raise MethodError(f"{self.name} is {value}; it must lie between {low:g} and {high:g}.")


def option(default: Any, label: str, help: str, **bounds: Any) -> Any:
    """A dataclass field that knows how to be shown: `option(0.3, "Audio pruning", "...", low=0, high=0.95, step=0.05)`."""
    return dataclasses.field(default=default, metadata={"label": label, "help": help, **bounds})


@dataclass(frozen=True, eq=False)
class Sight:
    """What is known of a clip before its picture is encoded. On the host."""

    layout: TokenStream  # the unpruned prompt, as far as it is known: embeds are (L, 0), saliency and "log_mel" of the sound are there
    pixels: Tensor  # (steps, n, frames, 48) float32 normalised pixels of each token's place: 3 colours x 4 x 4 cells, averaged
    audio: Tensor | None  # (A, D) what the audio encoder says


@dataclass(frozen=True)
class Compressor(ABC):
    """A method that chooses and merges tokens before the language model reads them.

    Subclasses are frozen dataclasses whose fields are made with `option`.
    """

    name: ClassVar[str]  # key in COMPRESSORS and on the command line
    label: ClassVar[str]  # what people read
    summary: ClassVar[str]  # one sentence: what it keeps and why
    source: ClassVar[str]  # paper or repository it is re-implemented from
    fidelity: ClassVar[str] = "faithful"  # "exact", "faithful", "adapted" or "proxy", and what that means if it needs saying
    needs: ClassVar[frozenset[str]] = frozenset()  # of "saliency", "saliency_windowed", "saliency_video"; may be narrowed per instance

    chooses_before_encoding: ClassVar[bool] = False  # whether `look` names what is to be encoded; any other method needs all of it
    meets_retention: ClassVar[bool] = True  # whether at_retention keeps what it is asked to, or says in `shortfall` why not
    reads_question: ClassVar[bool] = False  # whether the question changes what is kept; then a follow-up reads the clip anew
    later: ClassVar[str] = (  # what the answer, and a further question, can still see; one sentence
        "Chosen without the question: every layer reads all that was kept, and so does a further question."
    )

    shortfall: str = dataclasses.field(default="", kw_only=True)  # set by at_retention: why the target cannot be met, one sentence

    def __post_init__(self) -> None:
        for item in self.options():
            item.check(getattr(self, item.name))

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """The fields a person can set, in the order they are declared."""
        return tuple(Option(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(cls) if "label" in f.metadata)

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Compressor:
        """This method with the rates that keep `retention` of the stream's audio and video tokens.

        Args:
            retention: share of audio and video tokens to keep, in (0, 1].
            fields: the method's other fields, as given to its constructor.

        A target that the method cannot reach gets the nearest it can, and `shortfall` says why; compress passes it on in
        the notes.
        """
        return cls(**fields)

    @property
    def parameters(self) -> dict[str, Any]:
        """Every field with its value, plain enough for JSON."""
        return {item.name: getattr(self, item.name) for item in self.options()}

    def look(self, sight: Sight) -> Tensor:
        """(steps, n) bool on the host, which video tokens are to be encoded; asked only of a method that chooses before encoding.

        What it leaves out is never computed: in `compress`, `stream.seen` says so, and its reason is UNSEEN. It knows no question,
        so that an encoding can be kept for the next one.
        """
        return sight.pixels.new_ones(sight.pixels.shape[:2]).bool()

    @abstractmethod
    def compress(self, stream: TokenStream) -> Compression:
        """Decide about every token. The stream is not written to."""


def check_retention(retention: float) -> float:
    """Return `retention` if it is a share in (0, 1], else raise MethodError."""
    if isinstance(retention, bool) or not isinstance(retention, (int, float)) or not 0 < retention <= 1:
        raise MethodError(f"The retention is {retention!r}; give a share above 0 and up to 1, such as 0.45.")
    return float(retention)
