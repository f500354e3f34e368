"""A view as a link: which example, what was asked, which settings. What comes back from a link is checked as anybody's words are.

Only examples can be linked: uploads are deleted. Names of the query: example, question, method, keep, over, start, end, sound, and
set_NAME for a method's options that differ from their defaults; `view` and `time` are the lens's own. Other names belong to others and
are left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.base import Option
from omnizip.engine.events import Arm
from omnizip.errors import MethodError, OmniZipError
from omnizip.media import AS_SET, Part
from omnizip.settings import Settings

from . import words
from .examples import Example

LONGEST_QUESTION = 500  # characters
SET = "set_"
OURS = ("example", "question", "method", "keep", "over")
PART = {"start": "start", "end": "end", "sound": "audio_track"}  # what stands in the query for which field of a Part


@dataclass(frozen=True)
class View:
    """What a link brings back."""

    path: Path  # of the example
    question: str
    method: str = "omnizip"
    retention: str = "45 %"  # one of words.RETENTIONS
    options: Mapping[str, Any] = field(default_factory=dict)  # those that differ from the defaults
    over: str = ""  # what is laid over it
    part: Part = AS_SET  # of the clip, and its sound


def read(query: Mapping[str, str], examples: Sequence[Example]) -> View | None:
    """The view a link asks for, of one of `examples`; None if the query is not one of ours.

    Raises:
        OmniZipError: it is, and cannot be followed; in one sentence.
    """
    if not any(name in OURS or name.startswith(SET) for name in query):
        return None
    example = {item.path.stem: item for item in examples}.get(query.get("example", ""))
    if example is None:
        raise _broken("example")
    question = query.get("question", example.question).strip()
    if not question or len(question) > LONGEST_QUESTION or not question.isprintable():
        raise _broken("question")
    method = query.get("method", "omnizip")
    if method not in COMPRESSORS or method == "full":
        raise _broken("method")
    keep = query.get("keep", "45")
    retention = keep if keep == words.CUSTOM else f"{keep} %"
    if retention not in words.RETENTIONS:
        raise _broken("keep")
    over = query.get("over", "")
    if over and over != words.OVER_ANSWER and (over not in COMPRESSORS or over == "full"):
        raise _broken("over")
    given = {key.removeprefix(SET): text for key, text in query.items() if key.startswith(SET)}
    return View(example.path, question, method, retention, _options(method, given), over, _part(query))


def _part(query: Mapping[str, str]) -> Part:
    try:
        given = {field: query[name] for name, field in PART.items() if name in query}
        part = Part(**{field: text if field == "audio_track" else float(text) for field, text in given.items()})
        part.of(Settings())
    except (OmniZipError, ValueError):
        raise _broken("part") from None
    return part


def _options(method: str, given: Mapping[str, str]) -> dict[str, Any]:
    known = {item.name: item for item in COMPRESSORS[method].options()}
    if not set(given) <= set(known):
        raise _broken("option")
    try:
        options = {name: _value(known[name], text) for name, text in given.items()}
        COMPRESSORS[method](**options)
    except (MethodError, ValueError):
        raise _broken("option") from None
    return options


def _value(item: Option, text: str) -> Any:
    if item.kind == "switch":
        return {"true": True, "false": False}.get(text, text)
    return int(text) if item.kind == "integer" else float(text) if item.kind == "number" else text


def _broken(what: str) -> OmniZipError:
    return OmniZipError(words.LINK_BROKEN.format(what=words.LINK_WHAT[what]))


def write(digest: str, question: str, arm: Arm, over: str, examples: Sequence[Example], part: Part = AS_SET) -> dict[str, str] | None:
    """The query that brings this view back; None if the clip is none of `examples`, or the question too long to travel.

    Args:
        digest: of the clip, as omnizip.media.Clip has it.
    """
    path = _digests(tuple(examples)).get(digest)
    if path is None or len(question) > LONGEST_QUESTION:
        return None
    keep = {share: label.removesuffix(" %") for label, share in words.PRESETS.items()}.get(arm.retention, words.CUSTOM)
    query = {"example": path.stem, "question": " ".join(question.split()), "method": arm.method, "keep": keep}
    for item in COMPRESSORS[arm.method].options():
        value = arm.options.get(item.name, item.default)
        if value != item.default and (keep == words.CUSTOM or not item.is_rate):
            query[SET + item.name] = str(value).lower() if isinstance(value, bool) else str(value)
    for name, field_name in PART.items():
        value = getattr(part, field_name)
        if value not in (None, 0, "main"):
            query[name] = value if isinstance(value, str) else f"{value:.10g}"
    return {**query, "over": over} if over else query


@cache
def _digests(examples: tuple[Example, ...]) -> dict[str, Path]:
    """Which file each example is, by the beginning of its hash as a Clip has it; read once."""
    return {hashlib.sha256(item.path.read_bytes()).hexdigest()[:16]: item.path for item in examples if item.path.exists()}
