"""Which option an answer names, or none: nothing is guessed.

In this order: a letter that stands alone at the beginning, "the answer is B", the very text of one option, a single letter in
brackets. An answer that names two letters, or a letter that is no option, is unparsed. Other scorers in the field take any capital
letter ("Based on" is B), or "A" where there is none; accuracies then mix up what was answered and what was not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .items import LETTERS

LEADING = re.compile(r"^[\s\"'*(\[<]*([A-Z])(?:[\s\"'*)\]>]*$|[\"'*]*[.):,\]]+(?=\s|$|[\"'*]))")
STATED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is)?\s*[:\"'*(\[]*\s*([A-Z])(?![A-Za-z'])", re.IGNORECASE)
SEVERAL = re.compile(r"^[\s\"'*(\[]*[A-Z][)\].]*\s*(?:,|/|&|\band\b|\bor\b)\s*[(\[]?[A-Z]\b")
BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")


def parse_letter(answer: str, options: Sequence[str]) -> str | None:
    """The letter of the option that `answer` names, None where it names none or several."""
    letters = LETTERS[: len(options)]
    lines = answer.strip().splitlines()
    if not lines or SEVERAL.match(lines[0]):
        return None
    first = LEADING.match(lines[0])
    if first:
        return _known(first[1], letters) if not _names_another(answer, first[1], letters) else None
    stated = {found.upper() for found in STATED.findall(answer) if found.isupper()}
    if stated:
        return _known(stated.pop(), letters) if len(stated) == 1 else None
    if text := _by_text(answer, options, letters):
        return text
    bracketed = set(BRACKETED.findall(answer))
    return _known(bracketed.pop(), letters) if len(bracketed) == 1 else None


def _known(letter: str, letters: str) -> str | None:
    return letter if letter in letters else None


def _names_another(answer: str, letter: str, letters: str) -> bool:
    """Whether a later line begins with, or the text states, another letter: "A. one\\nB. two" chooses nothing."""
    later = {found[1] for line in answer.strip().splitlines()[1:] if (found := LEADING.match(line))}
    stated = {found for found in STATED.findall(answer) if found.isupper()}
    return bool(((later | stated) & set(letters)) - {letter})


def _by_text(answer: str, options: Sequence[str], letters: str) -> str | None:
    said = _plain(answer)
    same = [
        letter
        for letter, option in zip(letters, options, strict=True)
        if option and said in (_plain(option), f"{letter.lower()} {_plain(option)}")
    ]
    return same[0] if len(same) == 1 else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())
