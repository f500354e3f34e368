"""The page's own pieces of HTML, beside those it shares with the HTML report: values in, markup out.

Every text is escaped here. Classes are styled in assets/style.css.
"""

from __future__ import annotations

from html import escape

from omnizip.report import fragments
from omnizip.report.wording import TITLE

from . import words


def masthead() -> str:
    """The page's name, what it does, and the languages it can be read in."""
    return f'<header class="oz-masthead"><h1>{escape(TITLE)}</h1><p>{escape(words.TAGLINE)}</p>{fragments.language_switch()}</header>'


def subheading(title: str, hint: str = "") -> str:
    """The heading of a part of a section, and one line about it."""
    return f'<h3 class="oz-h3">{escape(title)}</h3>' + (f'<p class="oz-hint">{escape(hint)}</p>' if hint else "")


def progress(text: str, fraction: float | None) -> str:
    """What is being done, with a bar that is filled as far as is known."""
    known = fraction is not None
    bar = f'<span style="width:{100 * min(1.0, max(0.0, fraction)):.0f}%"></span>' if known else "<span></span>"
    return (
        f'<div class="oz-status" role="status"><p>{escape(text)}</p><div class="oz-bar{"" if known else " oz-unknown"}">{bar}</div></div>'
    )


def waiting() -> str:
    """A run waits for its turn; while this stands, the page shows the place in the queue below it (see assets/style.css)."""
    return progress(words.QUEUED, None).replace("oz-status", "oz-status oz-waits", 1)


def done(text: str) -> str:
    """A quiet word that something ended."""
    return f'<div class="oz-status" role="status"><p>{escape(text)}</p></div>' if text else ""


def problem(sentence: str) -> str:
    """One sentence about what is wrong and what to do."""
    return f'<div class="oz-status oz-problem" role="alert"><p>{escape(sentence)}</p></div>'


def invitation() -> str:
    """What stands where the line of gains will be."""
    return f'<p class="oz-headline oz-empty">{escape(words.HEADLINE_EMPTY)}</p>'


def first_hints() -> str:
    """Three hints for a first visit, hidden until assets/hints.js finds that it is one."""
    items = "".join(f"<li>{escape(hint)}</li>" for hint in words.HINTS)
    label, button = escape(words.HINTS_LABEL, quote=True), f'<button type="button">{escape(words.HINTS_DONE)}</button>'
    return f'<aside class="oz-hints" aria-label="{label}" hidden><ol>{items}</ol>{button}</aside>'
