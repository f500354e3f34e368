"""What a benchmark asks, whichever it is: clips, and about each of them questions with lettered options, or a description."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

LETTERS = string.ascii_uppercase
Groups = tuple[tuple[str, str], ...]  # (what kind of group, which), such as ("task type", "Counting")


@dataclass(frozen=True)
class BenchmarkQuestion:
    """A question as the annotation has it."""

    id: str  # unique within the benchmark
    text: str
    options: tuple[str, ...] = ()  # without their letters; none where the answer is a description
    answer: str = ""  # the right letter; of a description the reference, "" where there is none
    groups: Groups = ()

    @property
    def letters(self) -> str:
        """The letters an answer may have."""
        return LETTERS[: len(self.options)]

    @property
    def lettered(self) -> tuple[str, ...]:
        """The options as they are shown: "A. one"."""
        return tuple(f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False))


@dataclass(frozen=True)
class BenchmarkClip:
    """A video and all that is asked about it."""

    id: str  # unique within the benchmark
    video: str  # path of the file
    questions: tuple[BenchmarkQuestion, ...]
    groups: Groups = ()
    subtitles: str | None = field(default=None)  # path of the file, where the benchmark has some


def option_texts(options: Sequence[str]) -> tuple[str, ...]:
    """Options without the letters that some annotations write before them: "A. one", "(A) one" and "A: one" are "one".

    Only where every option carries its own letter: an option may well begin with one.
    """
    found = []
    for letter, option in zip(LETTERS, options, strict=False):
        text = option.strip()
        marks = [mark for mark in (f"({letter})", f"{letter}.", f"{letter}:", f"{letter})") if text.startswith(mark)]
        if not marks:
            return tuple(option.strip() for option in options)
        found.append(text[len(marks[0]) :].strip())
    return tuple(found)
