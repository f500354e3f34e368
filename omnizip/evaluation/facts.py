"""A description as facts: what it leaves out and what it makes up.

A description tells moments in order; a moment has at most a colour, a shape and a sound. Those are the facts; that a moment
has no sound is none, but a sound said in its place is made up. Described and true moments are paired in order, so that as many
facts as possible agree; a thing said at the wrong place in the order, or of the wrong shape, is missed once and invented once.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from .world.scene import COLOURS, SHAPES, SOUNDS, Scene

Facts = Counter  # of one moment: words, each a colour, a shape or a sound
WORDS = frozenset((*COLOURS, *SHAPES, *SOUNDS))


@dataclass(frozen=True)
class FactCounts:
    """How a description compares with what happened."""

    facts: int  # true ones
    missed: int
    invented: int


def scene_moments(scene: Scene) -> list[Facts]:
    """What happened, moment by moment."""
    moments = []
    for moment in scene.moments:
        seen = (moment.actor.colour, moment.actor.shape) if moment.actor else ()
        moments.append(Counter((*seen, *((moment.sound.name,) if moment.sound else ()))))
    return moments


def described_moments(text: str) -> list[Facts]:
    """What a description says, moment by moment; words that are no fact of the world say nothing."""
    found = (Counter(w for w in re.findall(r"[a-z]+", part) if w in WORDS) for part in re.split(r",|;|\.|\bthen\b", text.lower()))
    return [facts for facts in found if facts]


def compare_facts(text: str, scene: Scene) -> FactCounts:
    """Count the facts that `text` misses and invents."""
    true, described = scene_moments(scene), described_moments(text)
    agreed = _most_agreed(true, described)
    facts = sum(sum(moment.values()) for moment in true)
    return FactCounts(facts, facts - agreed, sum(sum(moment.values()) for moment in described) - agreed)


def _most_agreed(true: list[Facts], described: list[Facts]) -> int:
    """The most facts that agree over all ways to pair moments in order."""
    best = [0] * (len(described) + 1)
    for moment in true:
        row = [0]
        for j, said in enumerate(described):
            row.append(max(row[j], best[j + 1], best[j] + sum((moment & said).values())))
        best = row
    return best[-1]
