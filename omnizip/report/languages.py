"""The languages a page can be read in: English, as it is written everywhere, and a catalogue in assets/languages/ for each other one.

A catalogue maps every English sentence, {name} standing for a value, to its translation. Servers say everything in English; the
browser puts the translation in its place (assets/languages/language.js), by the rules that `Catalogue.say` follows as well:

1. the text as it is; else its parts around " · ";
2. else the template that fits it and has most letters of its own, its values translated where they are known; one with more than a
   sentence in the place of a value counts only where the sentences are not known one by one;
3. else its parts: sentences, words with a figure before or a share behind them, a known title before a colon, a list.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ..assets import asset

ENGLISH = ("en", "English")
PLACE = re.compile(r"\{(\w+)\}")
WEAK = 3  # letters of a template that begins with a value and says too little by itself: its values have to be known, or numbers
GAP = re.compile("(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")  # no language puts a space between two such signs
NUMBER = re.compile("[^A-Za-z]*(?:ms|s|min)?")
FIGURES = (re.compile(r"([\d.,]+×) (.+)", re.DOTALL), re.compile(r"(.+) ([\d.]+ %)", re.DOTALL))
SENTENCE_END = re.compile(r"(?<=[.!?…]) +(?=[A-Z0-9“])")


@dataclass(frozen=True)
class Catalogue:
    """One language: its code for the browser, its name in itself, its sentences, and how it joins parts that English joins so."""

    code: str
    name: str
    joints: dict[str, str]  # for " ", ": " and ", "
    sentences: dict[str, str]

    @cached_property
    def _templates(self) -> list[_Template]:
        found = [_Template.of(key, said) for key, said in self.sentences.items() if PLACE.search(key)]
        return sorted(found, key=lambda template: -template.letters)

    def say(self, text: str) -> str | None:
        """A text as the page shows it in English, in this language; None where nothing of it is known."""
        if text in self.sentences:
            return self.sentences[text]
        if not re.search("[A-Za-z]{2}", text):
            return None
        if " · " in text:
            return self._joined(text.split(" · "), " · ")
        loose = None
        for template in self._templates:
            values = template.values(text)
            if values is None:
                continue
            said = {name: self.say(value) if value else "" for name, value in values.items()}
            if template.weak and any(said[name] is None and not NUMBER.fullmatch(value) for name, value in values.items()):
                continue
            filled = GAP.sub("", PLACE.sub(lambda place, said=said, values=values: said[place[1]] or values[place[1]], template.said))
            if not any(SENTENCE_END.search(value) for value in values.values()):
                return filled
            loose = loose or filled
        sentences = SENTENCE_END.split(text)
        if len(sentences) > 1 and (loose is None or all(self.say(sentence) is not None for sentence in sentences)):
            return self._joined(sentences, self.joints[" "])
        return loose or self._of_parts(text)

    def _of_parts(self, text: str) -> str | None:
        for figure in FIGURES:
            if found := figure.fullmatch(text):
                return self._joined(list(found.groups()), " ")
        title, colon, rest = text.partition(": ")
        if title and colon and self.say(title) is not None:
            return self._joined([title, rest], self.joints[": "])
        parts = text.split(", ")
        return self._joined(parts, self.joints[", "]) if len(parts) > 1 else None

    def _joined(self, parts: list[str], joint: str) -> str | None:
        said = [self.say(part) for part in parts]
        if not any(part is not None for part in said):
            return None
        return joint.join(plain if part is None else part for part, plain in zip(said, parts, strict=True))


@dataclass(frozen=True)
class _Template:
    said: str
    letters: int  # of its own
    weak: bool
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, key: str, said: str) -> _Template:
        pattern, seen = "", set[str]()
        for i, piece in enumerate(PLACE.split(key)):
            if i % 2 == 0:
                pattern += re.escape(piece)
            elif piece in seen:
                pattern += f"(?P={piece})"
            else:
                seen.add(piece)
                pattern += f"(?P<{piece}>{'[^A-Za-z]*?' if piece == 'n' else '.*?'})"
        letters = len(re.sub("[^A-Za-z]", "", PLACE.sub("", key)))
        return cls(said, letters, letters <= WEAK and key.startswith("{"), re.compile(pattern, re.DOTALL))

    def values(self, text: str) -> dict[str, str] | None:
        """What stands in its places; None where it does not fit."""
        found = self.pattern.fullmatch(text)
        return None if found is None else found.groupdict()


def files() -> list[Path]:
    """The catalogues that travel with this installation."""
    return sorted(asset("languages").glob("*.json"))


@cache  # the page and every report want it
def catalogue(file: Path) -> Catalogue:
    """A catalogue as it is stored. Raises KeyError for one that lacks a part."""
    found = json.loads(file.read_text("utf-8"))
    return Catalogue(*(found[name] for name in ("code", "name", "joints", "sentences")))


def names() -> list[tuple[str, str]]:
    """Code and name of every language, English first."""
    return [ENGLISH, *((found.code, found.name) for found in map(catalogue, files()))]


def script(*, inline: bool = False) -> str:
    """The program that translates a page in the browser.

    Args:
        inline: with the catalogues inside, for a file without a server; else they are fetched when they are needed.
    """
    listed: list[dict[str, Any]] = [dict(zip(("code", "name"), ENGLISH, strict=True))]
    for file in files():
        found = catalogue(file)
        more = {"joints": found.joints, "sentences": found.sentences} if inline else {"path": str(file)}
        listed.append({"code": found.code, "name": found.name, **more})
    told = json.dumps(listed, ensure_ascii=False).replace("<", "\\u003c")
    return f"const LANGUAGES = {told};\n{asset('languages/language.js').read_text('utf-8')}"
