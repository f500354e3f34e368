"""Sixty more ways to ask, written by hand and never trained on: they measure whether a person's own phrasing is understood."""

from __future__ import annotations

PARAPHRASES: dict[str, tuple[str, ...]] = {
    "colour at sound": (
        "{Sound}. What colour was the shape at that point?",
        "Could you give me the colour of the shape at the instant {sound}?",
        "What hue is on display as soon as {sound}?",
    ),
    "shape at sound": (
        "{Sound}. What was the shape at that point?",
        "I hear something: {sound}. Which shape accompanies it?",
        "Could you give me the name of the shape at the instant {sound}?",
    ),
    "seen at sound": (
        "{Sound}. What was on screen at that point?",
        "What is in front of the camera when {sound}?",
        "Could you tell what is visible at the instant {sound}?",
    ),
    "sound at shape": (
        "{Shape} comes up. What sound was that?",
        "What would I hear if I listened while {shape} is on screen?",
        "Could you name the sound that {shape} makes?",
    ),
    "first sound": ("Of all sounds, which is the earliest?", "Which sound opens the clip?", "Before all others, what sound is heard?"),
    "last sound": ("Of all sounds, which is the latest?", "Which sound closes the clip?", "After all others, what sound is heard?"),
    "sound count": ("What is the total of sounds?", "Tell me how many sounds you heard.", "How many sounds does this clip have in all?"),
    "sound present": ("Did you hear {thing} anywhere?", "Could there be {thing} among the sounds?", "Have you heard {thing} in the clip?"),
    "first shape": ("Of all shapes, which is the earliest?", "Which shape opens the clip?", "Before all others, what shape is shown?"),
    "last shape": ("Of all shapes, which is the latest?", "Which shape closes the clip?", "After all others, what shape is shown?"),
    "shape count": ("What is the total of shapes?", "Tell me how many shapes you saw.", "How many shapes does this clip have in all?"),
    "colour of shape": ("{Shape} has which colour?", "Could you say what colour {shape} is?", "In what colour is {shape} painted?"),
    "where": (
        "Would I find {shape} left, right or in the middle?",
        "Point me to {shape}: which side?",
        "{Shape} is in which part of the picture?",
    ),
    "motion": ("{Shape} goes which way?", "Could you say which direction {shape} moves in?", "Is {shape} still, or which way does it go?"),
    "backdrop": (
        "Which pattern fills the background?",
        "Could you say what pattern the background has?",
        "Behind everything, what pattern is there?",
    ),
    "sound at second": (
        "Listen at second {second}: what is it?",
        "During second {second}, which sound is heard?",
        "Second {second}: what do you hear?",
    ),
    "shape at second": (
        "Look at second {second}: what is it?",
        "During second {second}, what is seen?",
        "Second {second}: what do you see?",
    ),
    "when sound": ("What second is it when {sound}?", "Give me the second at which {sound}.", "{Sound}. At which second was that?"),
    "when shape": (
        "What second is it when {shape} appears?",
        "Give me the second at which {shape} appears.",
        "{Shape} comes up. At which second was that?",
    ),
    "description": ("Could you walk me through the clip?", "So what did you see and hear?", "Put the whole clip into words."),
}
