"""Questions about a scene with one right answer each, by kind, in several wordings.

A question is asked only where the scene leaves no doubt: "the star" only if one star comes, "when the bell rings" only if
one bell is heard. `about` gives every question a scene supports, in an order and wording drawn from the generator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..run import Turn
from .world import COLOURS, SOUNDS, Actor, Moment, Scene

COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen")

CROSS_MODAL = ("colour at sound", "shape at sound", "seen at sound", "sound at shape")
AUDIO_ONLY = ("first sound", "last sound", "sound count", "sound present")
VIDEO_ONLY = ("first shape", "last shape", "shape count", "colour of shape", "where", "motion", "backdrop")
BY_TIME = ("sound at second", "shape at second", "when sound", "when shape")
DESCRIPTION = "description"
WITHOUT_SOUND = (*VIDEO_ONLY, "shape at second", "when shape")  # what may be asked of a clip that has no sound track
KINDS = (*CROSS_MODAL, *AUDIO_ONLY, *VIDEO_ONLY, *BY_TIME, DESCRIPTION)

WORDINGS: dict[str, tuple[str, ...]] = {
    "colour at sound": (
        "What colour is the shape when {sound}?",
        "Which colour do you see when {sound}?",
        "When {sound}, what colour is on screen?",
        "What is the colour of the shape that is there while {sound}?",
        "Tell me the colour of the object as {sound}.",
        "What color is the thing shown when {sound}?",
    ),
    "shape at sound": (
        "Which shape is there when {sound}?",
        "What shape do you see when {sound}?",
        "When {sound}, which shape is on screen?",
        "What kind of shape is shown while {sound}?",
        "Name the shape that is visible as {sound}.",
        "What figure appears when {sound}?",
    ),
    "seen at sound": (
        "What is seen when {sound}?",
        "What do you see when {sound}?",
        "When {sound}, what is on screen?",
        "What is visible while {sound}?",
        "What can be seen as {sound}?",
        "What appears when {sound}?",
    ),
    "sound at shape": (
        "What sound plays when {shape} appears?",
        "Which sound goes with {shape}?",
        "What do you hear while {shape} is there?",
        "When {shape} is on screen, what is heard?",
        "What is the sound that comes with {shape}?",
        "What noise is made when {shape} shows up?",
        "Which sound can be heard as {shape} appears?",
    ),
    "first sound": (
        "Which sound comes first?",
        "What is the first sound?",
        "What do you hear first?",
        "What sound is heard at the beginning?",
        "Name the first sound in the clip.",
    ),
    "last sound": (
        "Which sound comes last?",
        "What is the last sound?",
        "What do you hear last?",
        "What sound is heard at the end?",
        "Name the final sound in the clip.",
    ),
    "sound count": (
        "How many sounds are there?",
        "How many sounds do you hear?",
        "How many sounds can be heard in the clip?",
        "Count the sounds.",
        "What is the number of sounds?",
    ),
    "sound present": (
        "Is there {thing}?",
        "Do you hear {thing}?",
        "Can {thing} be heard?",
        "Is {thing} heard in the clip?",
        "Does {thing} sound at any time?",
    ),
    "first shape": (
        "Which shape comes first?",
        "What is the first shape?",
        "What shape appears first?",
        "Which shape do you see at the beginning?",
        "Name the first shape in the clip.",
    ),
    "last shape": (
        "Which shape comes last?",
        "What is the last shape?",
        "What shape appears last?",
        "Which shape do you see at the end?",
        "Name the final shape in the clip.",
    ),
    "shape count": (
        "How many shapes appear?",
        "How many shapes are there?",
        "How many shapes do you see?",
        "Count the shapes.",
        "How many objects are shown in the clip?",
    ),
    "colour of shape": (
        "What colour is {shape}?",
        "Which colour does {shape} have?",
        "What is the colour of {shape}?",
        "Tell me the colour of {shape}.",
        "What color is {shape}?",
    ),
    "where": (
        "Where is {shape}?",
        "On which side is {shape}?",
        "Where does {shape} appear?",
        "In which part of the picture is {shape}?",
        "Is {shape} left, right or in the middle?",
    ),
    "motion": (
        "Which way does {shape} move?",
        "How does {shape} move?",
        "In which direction does {shape} go?",
        "Does {shape} move, and where to?",
        "Where is {shape} moving?",
    ),
    "backdrop": (
        "What pattern is in the background?",
        "What does the background look like?",
        "What is the background like?",
        "How is the background patterned?",
        "What is behind the shapes?",
    ),
    "sound at second": (
        "What is heard at second {second}?",
        "Which sound plays at second {second}?",
        "What do you hear in second {second}?",
        "What sound is there {second} seconds in?",
    ),
    "shape at second": (
        "What is seen at second {second}?",
        "Which shape is there at second {second}?",
        "What do you see in second {second}?",
        "What is on screen {second} seconds in?",
    ),
    "when sound": (
        "When is it that {sound}?",
        "At which second can you tell that {sound}?",
        "At what time is it that {sound}?",
        "In which second is it that {sound}?",
    ),
    "when shape": (
        "When does {shape} appear?",
        "At which second does {shape} appear?",
        "At what time does {shape} come?",
        "In which second does {shape} show up?",
    ),
    "description": (
        "Describe the clip.",
        "What happens in the clip?",
        "Tell me what happens.",
        "What is going on here?",
        "Describe what you see and hear.",
        "Summarise the video.",
        "Give a description of the video.",
    ),
}

SPOKEN = {
    "bell": ("the bell rings", "a bell is rung"),
    "beep": ("the beep sounds", "something beeps"),
    "siren": ("the siren wails", "a siren goes off"),
    "drum": ("the drum beats", "someone drums"),
    "whistle": ("the whistle blows", "someone whistles"),
    "buzz": ("the buzz sounds", "something buzzes"),
    "chirp": ("the chirp sounds", "a bird chirps"),
    "clap": ("the clap sounds", "someone claps"),
}
SPOKEN_OF_ANY = ("the {0} is heard", "you hear the {0}", "the {0} sounds", "a {0} is heard", "there is a {0}", "the {0} plays")


@dataclass(frozen=True)
class Question:
    """What is asked and the one right answer."""

    kind: str
    text: str
    answer: str
    history: tuple[Turn, ...] = ()  # what was asked and answered before, in the same chat


def about(scene: Scene, rng: np.random.Generator, kinds: tuple[str, ...] = KINDS) -> list[Question]:
    """Every question of these kinds that the scene supports, once each, shuffled, in wordings drawn from `rng`."""
    asked: dict[str, Question] = {}
    for kind in kinds:
        for slots, answer in _facts(scene, kind, rng):
            wording = str(rng.choice(WORDINGS[kind]))
            question = Question(kind, wording.format(**slots), answer)
            asked.setdefault(question.text, question)
    found = list(asked.values())
    rng.shuffle(found)
    return found


def description(scene: Scene) -> str:
    """The clip in one sentence: every moment in order, what is seen and what is heard."""
    if not scene.moments:
        return "Nothing happens."
    return f"{', then '.join(_told(m) for m in scene.moments)}.".capitalize()


def _told(moment: Moment) -> str:
    if moment.actor is None:
        return f"a {moment.sound.name} with no shape"
    heard = f"a {moment.sound.name}" if moment.sound else "no sound"
    return f"{_article(moment.actor.name)} {moment.actor.name} with {heard}"


def _article(name: str) -> str:
    return "an" if name[0] in "aeiou" else "a"


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
            yield {"sound": _spoken(sound.name, rng)}, actor.name if actor else "nothing"
        elif kind == "colour at sound" and once and actor:
            yield {"sound": _spoken(sound.name, rng)}, actor.colour
        elif kind == "shape at sound" and once and actor:
            yield {"sound": _spoken(sound.name, rng)}, actor.shape
        elif kind == "sound at shape" and actor:
            yield {"shape": _called(scene, actor, rng)}, sound.name if sound else "none"
        elif kind == "when sound" and once:
            yield {"sound": _spoken(sound.name, rng)}, f"second {int(sound.start_s)}"
        elif kind == "when shape" and actor:
            yield {"shape": _called(scene, actor, rng)}, f"second {int(actor.start_s)}"
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
        yield {}, scene.pattern
    elif kind == "shape count":
        yield {}, COUNTS[len(actors)]
    elif kind in ("first shape", "last shape"):
        yield {}, (actors[0] if kind == "first shape" else actors[-1]).shape if actors else "none"
    for actor in actors:
        if kind == "colour of shape" and shapes[actor.shape] == 1:
            yield {"shape": f"the {actor.shape}"}, actor.colour
        elif kind == "where" and actor.motion == "still" and min(abs(actor.x - 1 / 3), abs(actor.x - 2 / 3)) > 0.05:
            yield {"shape": _called(scene, actor, rng)}, actor.place
        elif kind == "motion":
            yield {"shape": _called(scene, actor, rng)}, actor.motion


def _spoken(name: str, rng: np.random.Generator) -> str:
    return str(rng.choice((*SPOKEN[name], *(p.format(name) for p in SPOKEN_OF_ANY))))


def _called(scene: Scene, actor: Actor, rng: np.random.Generator) -> str:
    """A name that fits this shape and no other of the clip."""
    names = [actor.name]
    if sum(a.shape == actor.shape for a in scene.actors) == 1:
        names.append(actor.shape)
    if sum(a.colour == actor.colour for a in scene.actors) == 1:
        names.append(f"{actor.colour} shape")
    return f"the {rng.choice(names)}"


def corpus() -> Iterator[str]:
    """Every sentence of the world, roughly: what the tokenizer is trained on."""
    from .world import MOTIONS, PATTERNS, PLACES, SHAPES

    actors = [f"{c} {s}" for c in COLOURS for s in SHAPES]
    for kind, wordings in WORDINGS.items():
        for wording in wordings:
            if kind == "sound present":
                yield from (wording.format(thing=f"a {s}") for s in SOUNDS)
            elif "{sound}" in wording:
                spoken = [p for s in SOUNDS for p in (*SPOKEN[s], *(q.format(s) for q in SPOKEN_OF_ANY))]
                yield from (wording.format(sound=s) for s in spoken)
            elif "{shape}" in wording:
                yield from (wording.format(shape=f"the {a}") for a in (*actors, *SHAPES, *(f"{c} shape" for c in COLOURS)))
            else:
                yield from (wording.format(second=n) for n in range(24))
    yield from (*actors, *SHAPES, *COLOURS, *SOUNDS, *MOTIONS, *PATTERNS, *PLACES, *COUNTS, "nothing", "none", "yes", "no")
    for a in actors:
        told = f"{_article(a)} {a}"
        yield from (f"{told.capitalize()} with a {s}, then a {s} with no shape, then {told} with no sound." for s in SOUNDS)
    yield from (f"second {n}" for n in range(24))
