"""How the world's questions are put into words: several wordings per kind, and what people say instead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .scene import COLOURS, MOTIONS, PATTERNS, PLACES, SHAPES, SOUNDS

COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen")

WORDINGS: dict[str, tuple[str, ...]] = {
    "colour at sound": (
        "What colour is the shape when {sound}?",
        "Which colour do you see when {sound}?",
        "When {sound}, what colour is on screen?",
        "What is the colour of the shape that is there while {sound}?",
        "Tell me the colour of the object as {sound}.",
        "What color is the thing shown when {sound}?",
        "At the moment {sound}, which colour is shown?",
        "{Sound}: which colour has the shape on screen?",
        "The shape that is visible when {sound} has which colour?",
        "Say the colour of what is on screen while {sound}.",
    ),
    "shape at sound": (
        "Which shape is there when {sound}?",
        "What shape do you see when {sound}?",
        "When {sound}, which shape is on screen?",
        "What kind of shape is shown while {sound}?",
        "Name the shape that is visible as {sound}.",
        "What figure appears when {sound}?",
        "At the moment {sound}, which shape is shown?",
        "{Sound}: which shape is on screen?",
        "Is it a circle, a star or another shape that is there when {sound}?",
        "Which of the shapes is present as {sound}?",
    ),
    "seen at sound": (
        "What is seen when {sound}?",
        "What do you see when {sound}?",
        "When {sound}, what is on screen?",
        "What is visible while {sound}?",
        "What can be seen as {sound}?",
        "What appears when {sound}?",
        "At the moment {sound}, what is shown?",
        "{Sound}: what is on screen?",
        "What is being shown as {sound}?",
        "Which colour and shape are on screen when {sound}?",
    ),
    "sound at shape": (
        "What sound plays when {shape} appears?",
        "Which sound goes with {shape}?",
        "What do you hear while {shape} is there?",
        "When {shape} is on screen, what is heard?",
        "What is the sound that comes with {shape}?",
        "What noise is made when {shape} shows up?",
        "Which sound can be heard as {shape} appears?",
        "While {shape} is visible, which sound plays?",
        "What accompanies {shape}?",
        "As {shape} shows up, what can you hear?",
        "Name the sound heard with {shape}.",
    ),
    "first sound": (
        "Which sound comes first?",
        "What is the first sound?",
        "What do you hear first?",
        "What sound is heard at the beginning?",
        "Name the first sound in the clip.",
        "At the start, which sound do you hear?",
        "The first thing you hear is what?",
    ),
    "last sound": (
        "Which sound comes last?",
        "What is the last sound?",
        "What do you hear last?",
        "What sound is heard at the end?",
        "Name the final sound in the clip.",
        "At the end, which sound do you hear?",
        "The last thing you hear is what?",
    ),
    "sound count": (
        "How many sounds are there?",
        "How many sounds do you hear?",
        "How many sounds can be heard in the clip?",
        "Count the sounds.",
        "What is the number of sounds?",
        "How often is a sound heard?",
        "How many different moments have a sound?",
    ),
    "sound present": (
        "Is there {thing}?",
        "Do you hear {thing}?",
        "Can {thing} be heard?",
        "Is {thing} heard in the clip?",
        "Is {thing} audible at any time?",
        "Was there {thing} in it?",
    ),
    "first shape": (
        "Which shape comes first?",
        "What is the first shape?",
        "What shape appears first?",
        "Which shape do you see at the beginning?",
        "Name the first shape in the clip.",
        "At the start, which shape do you see?",
        "The first shape on screen is which?",
    ),
    "last shape": (
        "Which shape comes last?",
        "What is the last shape?",
        "What shape appears last?",
        "Which shape do you see at the end?",
        "Name the final shape in the clip.",
        "At the end, which shape do you see?",
        "The last shape on screen is which?",
    ),
    "shape count": (
        "How many shapes appear?",
        "How many shapes are there?",
        "How many shapes do you see?",
        "Count the shapes.",
        "How many objects are shown in the clip?",
        "How many things come and go on screen?",
        "What is the number of shapes?",
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
        "Which third of the picture is {shape} in?",
        "What is the position of {shape}?",
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
        "Is the background plain or does it have a pattern?",
        "Describe the background.",
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
        "What do you see and hear, in order?",
        "List everything that happens.",
        "Please describe what is going on.",
    ),
}

# What people say instead, for words of a wording; some come with any question, so that a person's own phrasing has a chance.
SYNONYMS = {
    "shape": ("object", "figure", "thing", "form"),
    "shapes": ("objects", "figures", "things"),
    "sound": ("noise",),
    "sounds": ("noises",),
    "colour": ("color",),
    "clip": ("video", "recording", "film"),
    "picture": ("frame", "image"),
    "background": ("backdrop",),
    "screen": ("display",),
    "appears": ("turns up", "comes into view", "is shown"),
    "visible": ("in view", "to be seen"),
    "when": ("at the time", "just as"),
    "while": ("during the time", "whilst"),
    "see": ("notice", "observe"),
    "hear": ("notice", "listen to"),
    "move": ("travel",),
}
OPENINGS = (
    "in this clip, ",
    "in the video, ",
    "tell me: ",
    "please say: ",
    "can you tell me: ",
    "i would like to know: ",
    "quick question: ",
)
LOOSE = 0.08  # share of words that are replaced; of questions that get an opening, or lose their capital and their mark

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


def loosened(wording: str, rng: np.random.Generator) -> str:
    """A wording with some words replaced, at times with an opening, at times as people type."""
    words = wording.split(" ")
    for place, word in enumerate(words):
        bare = word.rstrip(".,?:")
        if bare in SYNONYMS and rng.random() < LOOSE:
            words[place] = str(rng.choice(SYNONYMS[bare])) + word[len(bare) :]
    wording = " ".join(words)
    if rng.random() < LOOSE and wording[0] != "{":
        opening = str(rng.choice(OPENINGS))
        wording = opening[0].upper() + opening[1:] + wording[0].lower() + wording[1:]
    if rng.random() < LOOSE and wording[0] != "{":
        wording = wording[0].lower() + wording[1:].rstrip("?.")
    return wording


def spoken(name: str, rng: np.random.Generator) -> str:
    """A way to say that a sound is heard."""
    return str(rng.choice((*SPOKEN[name], *(p.format(name) for p in SPOKEN_OF_ANY))))


def article(name: str) -> str:
    """a or an."""
    return "an" if name[0] in "aeiou" else "a"


def corpus() -> Iterator[str]:
    """Every sentence of the world in these wordings, roughly: what the tokenizer is trained on, so more wordings do not change it."""
    actors = [f"{c} {s}" for c in COLOURS for s in SHAPES]
    for kind, wordings in WORDINGS.items():
        for wording in wordings:
            if kind == "sound present":
                yield from (wording.format(thing=f"a {s}") for s in SOUNDS)
            elif "ound}" in wording:
                spoken = [p for s in SOUNDS for p in (*SPOKEN[s], *(q.format(s) for q in SPOKEN_OF_ANY))]
                yield from (wording.format(sound=s, Sound=s[0].upper() + s[1:]) for s in spoken)
            elif "{shape}" in wording:
                yield from (wording.format(shape=f"the {a}") for a in (*actors, *SHAPES, *(f"{c} shape" for c in COLOURS)))
            else:
                yield from (wording.format(second=n) for n in range(24))
    yield from (*actors, *SHAPES, *COLOURS, *SOUNDS, *MOTIONS, *PATTERNS, *PLACES, *COUNTS, "nothing", "none", "yes", "no")
    for a in actors:
        told = f"{article(a)} {a}"
        yield from (f"{told.capitalize()} with a {s}, then a {s} with no shape, then {told} with no sound." for s in SOUNDS)
    yield from (f"second {n}" for n in range(24))
    yield from (f"{opening}what {said} {said}" for opening in OPENINGS for said in (t for several in SYNONYMS.values() for t in several))
