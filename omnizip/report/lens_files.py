"""The lens as a browser gets it: its elements, program and look from assets/lens/, with what it says.

The page and the HTML report both draw the lens from these; what it draws comes from packed.py.
"""

from __future__ import annotations

import json
from html import escape
from string import Template

from ..assets import asset
from ..compressors import COMPRESSORS
from .wording import LENS, LENS_FOLDING

SCRIPTS = ("unpack.js", "picture.js", "timeline.js", "lens.js")
FOLD = "fold"  # the choice by which methods fold picture tokens instead of dropping them


def read(name: str) -> str:
    """The content of a file of assets/lens/. Raises OmniZipError where this installation lacks it."""
    return asset(f"lens/{name}").read_text("utf-8")


def elements() -> str:
    """The lens's HTML, the same for every clip."""
    labels = {name: escape(words, quote=True) for name, words in LENS.items() if isinstance(words, str)}
    return Template(read("lens.html")).substitute(labels)


def script() -> str:
    """The lens's program and what it says; it defines `mountLens(element, options)`."""
    words = json.dumps({**LENS, "no_folds": LENS["no_folds"].format(folding=_folding())}, ensure_ascii=False).replace("<", "\\u003c")
    return "\n".join((f"const WORDS = {words};", *map(read, SCRIPTS)))


def style() -> str:
    """The lens's style sheet."""
    return read("lens.css")


def _folding() -> str:
    """Which methods fold picture, and by which of their options."""
    return ", ".join(
        LENS_FOLDING.format(label=kind.label, option=item.label, choice=FOLD)
        for kind in COMPRESSORS.values()
        for item in kind.options()
        if FOLD in item.choices
    )
