"""The clips offered on the page, with a question each: those of the embedded model's world, or a folder of somebody's own. No gradio.

Beside the clips of such a folder stands `examples.json`: a list of {"file", "title", "question", "at"}, where `at` is the second
whose picture stands for the clip, and may be left away.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from omnizip.assets import asset
from omnizip.errors import OmniZipError
from omnizip.settings import Settings

from . import words

LIST = "examples.json"
MOST = 24  # thumbnails on one page
LONGEST = 500  # characters of a title or a question
FIRST_S = 1.0  # of a clip whose list names no better moment: few films begin with their first frame
# The second of each clip of ours that shows a shape
MOMENTS_S = {"bell.mp4": 5, "green-heart.mp4": 0.6, "whistle.mp4": 4.4, "stripes.mp4": 3.8, "music.mp4": 6.6, "two-hearts.mp4": 4}


@dataclass(frozen=True)
class Example:
    """A clip to try, and what to ask about it."""

    path: Path
    title: str
    question: str
    at_s: float  # whose picture stands for the clip


def examples_of(settings: Settings) -> tuple[Example, ...]:
    """What the page offers under these settings. Raises OmniZipError in one sentence for a folder that offers nothing usable."""
    return _read(settings.examples) if settings.examples else _ours()


@cache
def _ours() -> tuple[Example, ...]:
    folder = asset("examples")
    return tuple(Example(folder / name, title, asked, MOMENTS_S[name]) for name, (title, asked) in words.EXAMPLES.items())


@cache
def _read(name: str) -> tuple[Example, ...]:
    folder = Path(name).expanduser().resolve()
    try:
        listed = json.loads((folder / LIST).read_text("utf-8"))
    except (OSError, ValueError) as failure:
        raise OmniZipError(words.EXAMPLES_UNREAD.format(folder=name, list=LIST, why=getattr(failure, "strerror", "") or failure)) from None
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST:
        raise OmniZipError(words.EXAMPLES_NONE.format(folder=name, list=LIST, most=MOST))
    return tuple(_example(folder, number, item) for number, item in enumerate(listed, 1))


def _example(folder: Path, number: int, item: Any) -> Example:
    """One entry of the list, with the reason in one sentence where it is none."""
    given = item if isinstance(item, dict) else {}
    file, title, question = (str(given.get(name) or "").strip() for name in ("file", "title", "question"))
    at = given.get("at", FIRST_S)
    path = (folder / file).resolve()
    timely = isinstance(at, (int, float)) and not isinstance(at, bool) and math.isfinite(at) and at >= 0
    if not (file and title and question) or max(len(title), len(question)) > LONGEST or not timely:
        raise OmniZipError(words.EXAMPLES_ENTRY.format(list=LIST, number=number, most=LONGEST))
    if path.parent != folder or not path.is_file():
        raise OmniZipError(words.EXAMPLES_FILE.format(list=LIST, number=number, file=file))
    return Example(path, title, question, float(at))


def folder_of(examples: Sequence[Example]) -> str:
    """Where the clips lie; all in one folder."""
    return str(examples[0].path.parent)


def strip(examples: Sequence[Example]) -> str:
    """The thumbnails as markup: each a button with its clip, its title and its question. assets/examples.js brings them to life."""
    cards = (
        f'<li><button type="button" class="oz-example" data-example="{number}" data-file="{escape(str(example.path), quote=True)}" '
        f'data-at="{example.at_s:g}" title="{escape(example.question, quote=True)}" aria-pressed="false">'
        f'<video muted playsinline disablepictureinpicture preload="metadata" tabindex="-1" aria-hidden="true"></video>'
        f'<b>{escape(example.title)}</b><span translate="no">{escape(example.question)}</span></button></li>'
        for number, example in enumerate(examples)
    )
    title = f'<p class="oz-hint" id="examples-label">{escape(words.CLIP_EXAMPLES)}</p>'
    return f'{title}<ul aria-labelledby="examples-label">{"".join(cards)}</ul>'
