"""Which option an answer names, or none: nothing is guessed.

In this order: a letter that stands alone at the beginning, "the answer is B", the very text of one option, a single letter in
brackets. An answer that names two letters, or a letter that is no option, is unparsed; a letter that is denied ("not option A") is not
named, and the article of "Answer: A drum" is no letter. Other scorers in the field take any capital letter ("Based on" is B), or "A"
where there is none; accuracies then mix up what was answered and what was not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .items import LETTERS

LEADING = re.compile(r"^[\s\"'*(\[<]*([A-Z])(?:[\s\"'*)\]>]*$|[\"'*]*[.):,\]]+(?=\s|$|[\"'*]))")
STATED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is)?\s*[:\"'*(\[]*\s*([A-Z])(?![A-Za-z'])", re.IGNORECASE)
SEVERAL = re.compile(r"^[\s\"'*(\[]*[A-Z][)\].]*\s*(?:,|/|&|\band\b|\bor\b)\s*[(\[]?[A-Z]\b")
AND_ANOTHER = re.compile(r"[\"'*)\].]*\s*(?:,|/|&|\band\b|\bor\b)+\s*[\"'*(\[]*([A-Z])\b")  # behind a letter that was stated
DENIED_BEFORE = re.compile(r"(?:\bnot|n't|\bneither|\bnor)\s+(?:the\s+)?$", re.IGNORECASE)
DENIED_AFTER = re.compile(r"[\"'*)\].]*\s+(?:is|was)(?:n't|\s+(?:not|wrong|incorrect|false))\b", re.IGNORECASE)
ARTICLE = re.compile(r"\s+(?!(?:as|because|for|from|given|in|is|since|was|which|with)\b)[a-z]")  # behind an A that is a word
BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")


def parse_letter(answer: str, options: Sequence[str]) -> str | None:
    """The letter of the option that `answer` names, None where it names none or several."""
    letters = LETTERS[: len(options)]
    lines = answer.strip().splitlines()
    if not lines or SEVERAL.match(lines[0]):
        return None
    first = LEADING.match(lines[0])
    if first:
        several = _names_another(answer, first[1], options) or _lists_another(lines[0], first[1], options)
        return None if several else _known(first[1], letters)
    if stated := _stated(answer, options):
        return _known(stated.pop(), letters) if len(stated) == 1 else None
    if text := _by_text(answer, options, letters):
        return text
    bracketed = set(BRACKETED.findall(answer))
    return _known(bracketed.pop(), letters) if len(bracketed) == 1 else None


def _known(letter: str, letters: str) -> str | None:
    return letter if letter in letters else None


def _stated(answer: str, options: Sequence[str]) -> set[str]:
    """The letters that the text says the answer is, without those it denies."""
    letters = LETTERS[: len(options)]
    stated = set()
    for found in STATED.finditer(answer):
        letter, end = found[1], found.end(1)
        if not letter.isupper() or DENIED_BEFORE.search(answer, 0, found.start()) or DENIED_AFTER.match(answer, end):
            continue
        if letter == "A" and ARTICLE.match(answer, end):
            stated |= set(filter(None, [_by_text(answer[found.start(1) :].splitlines()[0], options, letters)]))
            continue
        stated.add(letter)
        if (other := AND_ANOTHER.match(answer, end)) and other[1] in letters:
            stated.add(other[1])
    return stated


def _names_another(answer: str, letter: str, options: Sequence[str]) -> bool:
    """Whether a later line begins with, or the text states, another letter: "A. one\\nB. two" chooses nothing."""
    later = {found[1] for line in answer.strip().splitlines()[1:] if (found := LEADING.match(line))}
    return bool(((later | _stated(answer, options)) & set(LETTERS[: len(options)])) - {letter})


def _lists_another(line: str, letter: str, options: Sequence[str]) -> bool:
    """Whether a line shows another option with its letter: "A. one B. two" chooses nothing."""
    others = [(other, option) for other, option in zip(LETTERS, options, strict=False) if option and other != letter]
    return any(re.search(rf"(?<!\w){other}[.):]\s*{re.escape(option)}", line, re.IGNORECASE) for other, option in others)


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
