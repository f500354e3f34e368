"""Questions about a scene with one right answer each, by kind, in several wordings.

A question is asked only where the scene leaves no doubt: "the star" only if one star comes, "when the bell rings" only if
one bell is heard. `about` gives every question a scene supports, in an order and wording drawn from the generator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...types import Turn
from .phrasings import COUNTS, Wordings, article, sound_phrases, trained_wordings, vary
from .scene import SOUNDS, Actor, Moment, Scene

CROSS_MODAL = ("colour at sound", "shape at sound", "seen at sound", "sound at shape")
AUDIO_ONLY = ("first sound", "last sound", "sound count", "sound present")
VIDEO_ONLY = ("first shape", "last shape", "shape count", "colour of shape", "where", "motion", "backdrop")
BY_TIME = ("sound at second", "shape at second", "when sound", "when shape")
DESCRIPTION = "description"
WITHOUT_SOUND = (*VIDEO_ONLY, "shape at second", "when shape")  # what may be asked of a clip that has no sound track
KINDS = (*CROSS_MODAL, *AUDIO_ONLY, *VIDEO_ONLY, *BY_TIME, DESCRIPTION)


@dataclass(frozen=True)
class Question:
    """What is asked and the one right answer."""

    kind: str
    text: str
    answer: str
    history: tuple[Turn, ...] = ()  # what was asked and answered before, in the same chat


def about(
    scene: Scene,
    rng: np.random.Generator,
    kinds: tuple[str, ...] = KINDS,
    wordings: Wordings | None = None,
) -> list[Question]:
    """Every question of these kinds that the scene supports, once each, shuffled.

    Args:
        rng: draws wording and order.
        wordings: by kind, used as they are; None draws from the trained ones and varies them further.
    """
    asked: dict[str, Question] = {}
    trained = trained_wordings()
    for kind in kinds:
        for slots, answer in _facts(scene, kind, rng):
            wording = str(rng.choice(wordings[kind])) if wordings else vary(str(rng.choice(trained[kind])), rng)
            capitals = {name.capitalize(): slot[:1].upper() + slot[1:] for name, slot in slots.items()}
            text = wording.format(**slots, **capitals)
            asked.setdefault(text, Question(kind, text, answer))
    found = list(asked.values())
    rng.shuffle(found)
    return found


def description(scene: Scene) -> str:
    """The clip in one sentence: every moment in order, what is seen and what is heard."""
    if not scene.moments:
        return "Nothing happens."
    return f"{', then '.join(_moment_text(m) for m in scene.moments)}.".capitalize()


def _moment_text(moment: Moment) -> str:
    if moment.actor is None:
        return f"a {moment.sound.name} with no shape"
    heard = f"a {moment.sound.name}" if moment.sound else "no sound"
    return f"{article(moment.actor.name)} {moment.actor.name} with {heard}"


def _facts(scene: Scene, kind: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, str], str]]:
    """(slots of the wording, right answer) for everything of a kind that is beyond doubt."""
    if kind in CROSS_MODAL or kind in BY_TIME:
        yield from _facts_in_time(scene, kind, rng)
    elif kind in AUDIO_ONLY:
        yield from _facts_heard(scene, kind, rng)
    elif kind in VIDEO_ONLY:
        yield from _facts_seen(scene, kind, rng)
    else:
        yield {}, description(scene)


def _facts_in_time(scene: Scene, kind: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, str], str]]:
    heard = Counter(s.name for s in scene.sounds)
    for moment in scene.moments:
        actor, sound = moment.actor, moment.sound
        once = sound is not None and heard[sound.name] == 1
        if kind == "seen at sound" and once:
            yield {"sound": str(rng.choice(sound_phrases(sound.name)))}, actor.name if actor else "nothing"
        elif kind == "colour at sound" and once and actor:
            yield {"sound": str(rng.choice(sound_phrases(sound.name)))}, actor.colour
        elif kind == "shape at sound" and once and actor:
            yield {"sound": str(rng.choice(sound_phrases(sound.name)))}, actor.shape
        elif kind == "sound at shape" and actor:
            yield {"shape": _reference(scene, actor, rng)}, sound.name if sound else "none"
        elif kind == "when sound" and once:
            yield {"sound": str(rng.choice(sound_phrases(sound.name)))}, f"second {int(sound.start_s)}"
        elif kind == "when shape" and actor:
            yield {"shape": _reference(scene, actor, rng)}, f"second {int(actor.start_s)}"
    if kind in ("sound at second", "shape at second"):
        yield from _facts_by_second(scene, kind)


def _facts_by_second(scene: Scene, kind: str) -> Iterator[tuple[dict[str, str], str]]:
    """Second n is the stretch from n to n + 1; asked where one thing fills enough of it, or nothing touches it."""
    things = scene.sounds if kind == "sound at second" else scene.actors
    for second in range(int(scene.duration_s)):
        overlaps = [(min(t.end_s, second + 1) - max(t.start_s, second), t.name) for t in things]
        present = [(o, name) for o, name in overlaps if o > 0]
        if not present:
            yield {"second": str(second)}, "nothing"
        elif len(present) == 1 and present[0][0] >= 0.4:
            yield {"second": str(second)}, present[0][1]


def _facts_heard(scene: Scene, kind: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, str], str]]:
    names = [s.name for s in scene.sounds]
    if kind == "sound count":
        yield {}, COUNTS[len(names)]
    elif kind == "sound present":
        absent = [s for s in SOUNDS if s not in names]
        if names:
            yield {"thing": f"a {rng.choice(names)}"}, "yes"
        yield {"thing": f"a {rng.choice(absent)}"} if absent else {"thing": f"a {names[0]}"}, "no" if absent else "yes"
    else:
        yield {}, (names[0] if kind == "first sound" else names[-1]) if names else "none"


def _facts_seen(scene: Scene, kind: str, rng: np.random.Generator) -> Iterator[tuple[dict[str, str], str]]:
    actors = scene.actors
    shapes = Counter(a.shape for a in actors)
    if kind == "backdrop":
        if scene.camera is None:  # what is filmed has no pattern
            yield {}, scene.pattern
    elif kind == "shape count":
        yield {}, COUNTS[len(actors)]
    elif kind in ("first shape", "last shape"):
        yield {}, (actors[0] if kind == "first shape" else actors[-1]).shape if actors else "none"
    for actor in actors:
        if kind == "colour of shape" and shapes[actor.shape] == 1:
            yield {"shape": f"the {actor.shape}"}, actor.colour
        elif kind == "where" and actor.motion == "still" and min(abs(actor.x - 1 / 3), abs(actor.x - 2 / 3)) > 0.05:
            yield {"shape": _reference(scene, actor, rng)}, actor.place
        elif kind == "motion":
            yield {"shape": _reference(scene, actor, rng)}, actor.motion


def _reference(scene: Scene, actor: Actor, rng: np.random.Generator) -> str:
    """A name that fits this shape and no other of the clip."""
    names = [actor.name]
    if sum(a.shape == actor.shape for a in scene.actors) == 1:
        names.append(actor.shape)
    if sum(a.colour == actor.colour for a in scene.actors) == 1:
        names.append(f"{actor.colour} shape")
    return f"the {rng.choice(names)}"
