"""What a program says as it calls: every argument looked at before the call waits, and again as it runs. No gradio.

JSON brings any kind of value, whatever an annotation says: `true` would count as the share 1, and an empty object as no method at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.errors import OmniZipError
from omnizip.media import Part
from omnizip.settings import Settings

from . import words
from .chat import arm_of, check_question
from .examples import examples_of
from .run_folder import shown_folder

CALLS = ("compare", "compress", "methods")
MOST_METHODS = 32  # of one call
SERVERS_OWN = "request"  # an argument that the server fills in
RATES = ("rho_audio", "rho_video")


@dataclass(frozen=True)
class CallArguments:
    """What a call asks for, checked as far as that goes without its clip."""

    path: str
    question: str
    methods: tuple[str, ...]
    retention: str | float  # a share, or words.CUSTOM where the rates are among the options
    options: dict[str, Any]
    part: Part


def read_arguments(given: Mapping[str, Any], settings: Settings) -> CallArguments:
    """The arguments of /compare (which names a `method`) or /compress (which may name `methods`).

    Raises:
        OmniZipError: in one sentence that names the argument and says what to give.
    """
    path = _file_of(given["video"], settings)
    answers = "method" in given
    question = _question(given["question"], answers)
    check_question(question, settings)
    names = [_of_kind("method", given["method"], str, "method")] if answers else _methods(given["methods"])
    retention, options = _rates(given, names)
    for name in names:
        arm_of(name, retention, options).method_class()
    part = _part(given["start"], given["end"], given["audio_track"])
    part.of(settings)
    return CallArguments(path, question, tuple(names), retention, options, part)


def check_call(name: str, function: Callable[..., Any], data: Any, settings: Settings) -> None:
    """Look at the arguments of a call: a list of values in order, or an object of them by name.

    Args:
        function: what is called; its signature has the names, and what an argument is where it is not given.

    Raises:
        OmniZipError: in one sentence that names the argument and says what to give.
    """
    known = {item.name: item.default for item in signature(function).parameters.values() if item.name != SERVERS_OWN}
    listed = ", ".join(known) or words.NO_ARGUMENTS
    if isinstance(data, list):
        if data and not known:
            raise OmniZipError(words.CALL_EMPTY.format(call=f"/{name}"))
        if len(data) != len(known):
            raise OmniZipError(words.CALL_COUNT.format(call=f"/{name}", most=len(known), given=len(data), names=listed))
        given = dict(zip(known, data, strict=True))
    else:
        for argument in data:
            if argument not in known:
                raise OmniZipError(words.CALL_UNKNOWN.format(call=f"/{name}", name=_shown(argument), names=listed))
        given = {**known, **data}
    for argument, value in given.items():
        if value is Parameter.empty:
            raise OmniZipError(words.CALL_MISSING.format(call=f"/{name}", name=argument))
    if given:
        read_arguments(given, settings)


def may_name(path: str, settings: Settings) -> bool:
    """Whether a visitor may name this file: an upload, what was made of one, or an example that is shown."""
    if "\0" in path:
        return False
    try:
        found = Path(path).resolve()
        within = found.is_relative_to(Path(shown_folder()).resolve())
        return within or any(found == example.path.resolve() for example in examples_of(settings))
    except (OSError, RuntimeError):
        return False  # a name that no file can have, links in a circle


def _file_of(video: Any, settings: Settings) -> str:
    """The path of the clip. A program may name any path, so only what visitors may name counts."""
    named = video.get("path") if isinstance(video, dict) else getattr(video, "path", None)
    if not isinstance(named, str) or not may_name(named, settings):
        raise OmniZipError(words.NOT_UPLOADED)
    return str(Path(named).resolve())


def _question(question: Any, needed: bool) -> str:
    """The question; one that is needed has words in it."""
    if question is None and not needed:
        return ""
    _of_kind("question", question, str, "text")
    if needed and not question.strip():
        raise _wrong("question", question, "question")
    return question


def _methods(methods: Any) -> list[str]:
    """Names of methods, each once; OmniZip where none is given."""
    if methods is None:
        return ["omnizip"]
    _of_kind("methods", methods, list, "methods")
    if len(methods) > MOST_METHODS:
        raise OmniZipError(words.METHODS_NUMBER.format(most=MOST_METHODS, given=len(methods)))
    for number, name in enumerate(methods):
        _of_kind("methods", name, str, "each method")
        if name in methods[:number]:
            raise OmniZipError(words.METHODS_TWICE.format(name=_shown(name)))
    return methods or ["omnizip"]


def _rates(given: Mapping[str, Any], names: list[str]) -> tuple[str | float, dict[str, Any]]:
    """A share to keep, or words.CUSTOM with the rates among the options; what would be passed over is refused."""
    retention, options = given["retention"], given["options"]
    rates = {name: given[name] for name in RATES if given[name] is not None}
    options = {} if options is None else _of_kind("options", options, dict, "options")
    for name, value in rates.items():
        _number(name, value, "rate")
    if len(rates) == 1:
        (one,), (other,) = rates, set(RATES) - set(rates)
        raise OmniZipError(words.RATE_ALONE.format(given=one, missing=other))
    for name in rates:
        if name in options:
            raise OmniZipError(words.RATE_TWICE.format(name=name))
    if rates:
        return words.CUSTOM, {**options, **rates}
    if retention != words.CUSTOM:
        if not isinstance(retention, str):
            _number("retention", retention, "retention")
        for name in names:
            kind = COMPRESSORS.get(name)
            for item in kind.options() if kind else ():
                if item.is_rate and item.name in options:
                    raise OmniZipError(words.RATE_HIDDEN.format(name=item.name, custom=words.CUSTOM))
    return retention, options


def _part(start: Any, end: Any, audio_track: Any) -> Part:
    """What is read of the clip, checked as far as its kind goes."""
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            _number(name, value, "seconds")
    if isinstance(audio_track, int) and not isinstance(audio_track, bool):
        audio_track = f"{audio_track:d}"
    if audio_track is not None:
        _of_kind("audio_track", audio_track, str, "audio_track")
    return Part(*(None if at is None else float(at) for at in (start, end)), audio_track)


def _of_kind(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> Any:
    """The value; raises OmniZipError for one of another kind. `true` and `false` are no numbers."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(name, value, wanted)
    return value


def _number(name: str, value: Any, wanted: str) -> None:
    """Raise OmniZipError for what is no number to reckon with: of another kind, endless, or beyond what a float holds."""
    _of_kind(name, value, (int, float), wanted)
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise _wrong(name, value, wanted)


def _wrong(name: str, value: Any, wanted: str) -> OmniZipError:
    """The sentence about an argument of another kind; `wanted` names what to give, see words.CALL_WANTED."""
    return OmniZipError(words.CALL_KIND.format(name=name, given=_shown(value), wanted=words.CALL_WANTED[wanted]))


def _shown(value: Any) -> str:
    """A value as a sentence quotes it."""
    text = repr(value)
    return text if len(text) < 80 else f"{text[:79]}…"
