"""What is asked of the engine and what it tells while it works: plain values that pickle, with nothing of a device in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..compressors import COMPRESSORS
from ..compressors.base import Compressor, check_retention
from ..errors import MethodError
from ..report.report import Run, RunReport
from ..stream import TokenStream

METHOD_SEEDS = 2**31  # every method's option `seed` lies below; a seed of sampling may be larger


@dataclass(frozen=True)
class Arm:
    """One method to run: at a retention, or with the rates among its options."""

    method: str
    retention: float | None = None  # share of the clip's tokens to keep; it overrules rates among the options
    options: Mapping[str, Any] = field(default_factory=dict)

    def method_class(self) -> type[Compressor]:
        """The method's class, after checking name and options. Raises MethodError in a sentence that names the choices."""
        kind = COMPRESSORS.get(self.method)
        if kind is None:
            raise MethodError(f"There is no method {self.method!r}; choose one of {', '.join(COMPRESSORS)}.")
        known = [item.name for item in kind.options()]
        for name in self.options:
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise MethodError(f"The method {self.method} has no option {name!r}; {has}.")
        kind(**self.options)
        if self.retention is not None:
            check_retention(self.retention)
        return kind

    def compressor(self, stream: TokenStream, seed: int = 0) -> Compressor:
        """The method as it applies to this clip's own mix of tokens.

        Args:
            seed: for a method that draws at random and was given none; one beyond METHOD_SEEDS is wrapped into them.
        """
        kind = self.method_class()
        seeded = {"seed": seed % METHOD_SEEDS} if any(item.name == "seed" for item in kind.options()) else {}
        options = {**seeded, **self.options}
        return kind(**options) if self.retention is None else kind.at_retention(self.retention, stream, **options)


@dataclass(frozen=True)
class Stage:
    """What is being done now."""

    # "decode", "encode", "compress", "warm up", "answer" or "repeat"; of a model that is still to come "download" or "load"; "wait" where
    # several copies of the model answer and the clip's own is busy
    name: str
    fraction: float | None = None  # of this stage, where it is known
    arm: int | None = None  # 0 is the full model
    ahead: int = 0  # runs that come before, while it waits


@dataclass(frozen=True)
class Piece:
    """An answer as far as it has been decoded."""

    arm: int
    text: str  # the whole text so far


@dataclass(frozen=True, eq=False)
class ArmDone:
    """One arm has answered."""

    arm: int
    run: Run


@dataclass(frozen=True, eq=False)
class Finished:
    """All arms have answered, or as many as did before a stop."""

    report: RunReport


Event = Stage | Piece | ArmDone | Finished
