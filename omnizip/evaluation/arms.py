"""What is measured: methods at retentions with options, from the command line or as the table of the paper has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..compressors import COMPRESSORS
from ..compressors.base import Option
from ..engine.events import Arm
from ..errors import UsageError

RETENTIONS = (0.45, 0.35, 0.25)
SEED_RANGE = 2**31
ABLATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"dynamic": False},
    {"dynamic": False, "anchors": False},
    {"audio_selector": "random"},
    {"video_selector": "random"},
)
RANDOM = "random"
FULL = "full"


@dataclass(frozen=True)
class Entry:
    """One line of the table: an arm, run once or, where it draws at random, with several seeds that are pooled."""

    method: str
    retention: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    seeds: int = 1

    @property
    def name(self) -> str:
        """As it is written on the command line: method@retention:option=value,option=value."""
        share = "" if self.retention is None else f"@{self.retention:g}"
        options = ",".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in self.options)
        return f"{self.method}{share}{':' if options else ''}{options}"

    @property
    def keys(self) -> tuple[str, ...]:
        """One name per seed."""
        return tuple(f"{self.name}#{seed}" for seed in range(self.seeds)) if self.seeds > 1 else (self.name,)

    def arm(self, clip_seed: int, number: int = 0) -> Arm:
        """What is run on one clip; the clip is part of the seed, so that no two clips draw alike."""
        options = dict(self.options)
        if _has_seed(self.method) and "seed" not in options:
            options["seed"] = (clip_seed + 1_000_003 * number) % SEED_RANGE
        return Arm(self.method, self.retention, options)


def _has_seed(method: str) -> bool:
    return any(option.name == "seed" for option in COMPRESSORS[method].options())


def make_entry(method: str, retention: float | None, options: dict[str, Any], seeds: int) -> Entry:
    """A line of the table; methods that draw at random get all the seeds. Raises MethodError for what the method does not take."""
    if method == FULL:
        return Entry(FULL)
    found = Entry(method, retention, tuple(options.items()), seeds if method == RANDOM and "seed" not in options else 1)
    found.arm(0).method_class()
    return found


def paper_table(retentions: Sequence[float], seeds: int) -> list[Entry]:
    """The lines of the paper's table: all tokens, random choice, both readings of OmniZip, and OmniZip with parts of it taken away."""
    found = [Entry(FULL)]
    for retention in retentions:
        found.append(make_entry(RANDOM, retention, {}, seeds))
        found += [make_entry("omnizip", retention, options, seeds) for options in ABLATIONS]
        found.append(make_entry("omnizip-official", retention, {}, seeds))
    return found


def method_entries(names: Sequence[str], retentions: Sequence[float], seeds: int) -> list[Entry]:
    """One line per method and retention. Raises UsageError for a name that is none."""
    for name in names:
        if name not in COMPRESSORS:
            raise UsageError(f"There is no method {name!r}; choose of {', '.join(COMPRESSORS)}, or all.")
    return [make_entry(name, retention, {}, seeds) for retention in retentions for name in names]


def parse_arm(text: str, retentions: Sequence[float], seeds: int) -> list[Entry]:
    """Parse one --arm: METHOD, METHOD@SHARE, each with :OPTION=VALUE,OPTION=VALUE; without a share, at every retention.

    Raises:
        UsageError: it is not written like that. MethodError: no such option, or a value it does not take.
    """
    head, _, tail = text.partition(":")
    method, at, share = head.partition("@")
    if method not in COMPRESSORS:
        raise UsageError(f"--arm {text}: there is no method {method!r}; choose of {', '.join(COMPRESSORS)}.")
    known = {option.name: option for option in COMPRESSORS[method].options()}
    options: dict[str, Any] = {}
    for pair in filter(None, tail.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--arm {text}: {pair!r} is not option=value; {method} has {', '.join(known) or 'no options'}.")
        options[name] = _parse_value(text, known[name], value)
    if any(known[name].is_rate for name in options):
        if at:
            raise UsageError(f"--arm {text}: it has both a share and a rate; leave out one of them.")
        return [make_entry(method, None, options, seeds)]
    return [make_entry(method, retention, options, seeds) for retention in (_parse_share(text, share) if at else retentions)]


def _parse_share(text: str, share: str) -> tuple[float]:
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise UsageError(f"--arm {text}: {share!r} is no share above 0 and up to 1, such as 0.35.")
    return (value,)


def _parse_value(text: str, option: Option, value: str) -> Any:
    kinds = {"switch": {"true": True, "false": False}.__getitem__, "integer": int, "number": float, "choice": str}
    try:
        return kinds[option.kind](value)
    except (ValueError, KeyError):
        wanted = {"switch": "true or false", "integer": "a whole number", "number": "a number"}[option.kind]
        raise UsageError(f"--arm {text}: {option.name} takes {wanted}, not {value!r}.") from None


def with_full(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """All tokens first, since everything is compared with it, then each line once."""
    return tuple(dict.fromkeys((Entry(FULL), *entries)))
