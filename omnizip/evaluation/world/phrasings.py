"""How the world's questions are put into words: wordings by kind from JSON files, and what people say instead.

- phrasings.json: the first wordings, which the tokenizer was trained on, synonyms, openings, and ways to say that a sound is heard
- more_phrasings.json: wordings written by hand later, trained on too; the tokenizer does not know all their words whole
- paraphrases.json: sixty more, written without sight of the others and never trained on; they measure whether a person's own
  phrasing is understood
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from .scene import COLOURS, MOTIONS, PATTERNS, PLACES, SHAPES, SOUNDS

COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen")
VARIED = 0.08  # share of words that are replaced; of questions that get an opening, or lose their capital and their mark
Wordings = Mapping[str, tuple[str, ...]]  # by kind of question, with {slots}


@cache
def _read(name: str) -> dict[str, Any]:
    return json.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def first_wordings() -> Wordings:
    """The wordings that the tokenizer was trained on."""
    return {kind: tuple(several) for kind, several in _read("phrasings.json")["wordings"].items()}


@cache
def trained_wordings() -> Wordings:
    """All wordings that the model is trained on."""
    more = _read("more_phrasings.json")
    return {kind: (*few, *more[kind]) for kind, few in first_wordings().items()}


@cache
def paraphrases() -> Wordings:
    """The wordings that are never trained on."""
    return {kind: tuple(several) for kind, several in _read("paraphrases.json").items()}


@cache
def synonyms() -> Wordings:
    """What people say instead of a word; some come with any question, so that a person's own phrasing has a chance."""
    return {word: tuple(several) for word, several in _read("phrasings.json")["synonyms"].items()}


def vary(wording: str, rng: np.random.Generator) -> str:
    """Replace some words of a wording, at times put an opening before it, at times write it as people type."""
    known = synonyms()
    words = wording.split(" ")
    for place, word in enumerate(words):
        bare = word.rstrip(".,?:")
        if bare in known and rng.random() < VARIED:
            words[place] = str(rng.choice(known[bare])) + word[len(bare) :]
    wording = " ".join(words)
    if rng.random() < VARIED and wording[0] != "{":
        opening = str(rng.choice(_read("phrasings.json")["openings"]))
        wording = opening[0].upper() + opening[1:] + wording[0].lower() + wording[1:]
    if rng.random() < VARIED and wording[0] != "{":
        wording = wording[0].lower() + wording[1:].rstrip("?.")
    return wording


def sound_phrases(name: str) -> tuple[str, ...]:
    """The ways to say that a sound is heard."""
    phrases = _read("phrasings.json")
    return (*phrases["spoken"][name], *(pattern.format(name) for pattern in phrases["spoken_of_any"]))


def article(name: str) -> str:
    """a or an."""
    return "an" if name[0] in "aeiou" else "a"


def corpus() -> Iterator[str]:
    """Every sentence of the world in the first wordings, roughly: what the tokenizer is trained on, so more wordings do not change it."""
    actors = [f"{c} {s}" for c in COLOURS for s in SHAPES]
    for kind, wordings in first_wordings().items():
        for wording in wordings:
            if kind == "sound present":
                yield from (wording.format(thing=f"a {s}") for s in SOUNDS)
            elif "ound}" in wording:
                heard = [phrase for s in SOUNDS for phrase in sound_phrases(s)]
                yield from (wording.format(sound=s, Sound=s[0].upper() + s[1:]) for s in heard)
            elif "{shape}" in wording:
                yield from (wording.format(shape=f"the {a}") for a in (*actors, *SHAPES, *(f"{c} shape" for c in COLOURS)))
            else:
                yield from (wording.format(second=n) for n in range(24))
    yield from (*actors, *SHAPES, *COLOURS, *SOUNDS, *MOTIONS, *PATTERNS, *PLACES, *COUNTS, "nothing", "none", "yes", "no")
    for a in actors:
        shown = f"{article(a)} {a}"
        yield from (f"{shown.capitalize()} with a {s}, then a {s} with no shape, then {shown} with no sound." for s in SOUNDS)
    yield from (f"second {n}" for n in range(24))
    words = [word for several in synonyms().values() for word in several]
    yield from (f"{opening}what {word} {word}" for opening in _read("phrasings.json")["openings"] for word in words)
