"""Held-out clips of the world with a fixed choice of questions about each, read back from real .mp4 files, and the controls.

The standard clip is 8 s with 64-72 video tokens a step. Seeds count up from the first held-out one, or from another that is given; the
model's own check during training counts down from the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import media
from ..model.encoders import EncodedClip
from ..model.qwen import QwenOmni
from ..settings import Settings
from .world import render
from .world import scene as world
from .world.questions import AUDIO_ONLY, BY_TIME, CROSS_MODAL, DESCRIPTION, VIDEO_ONLY, Question, about

COUNTING = ("sound count", "shape count")
GROUPS = {
    "cross-modal": CROSS_MODAL,
    "audio only": tuple(kind for kind in AUDIO_ONLY if kind not in COUNTING),
    "video only": tuple(kind for kind in VIDEO_ONLY if kind not in COUNTING),
    "counting": COUNTING,
}
LISTED = tuple(kind for kinds in GROUPS.values() for kind in kinds)
AUXILIARY = BY_TIME
UNCHANGED = "unchanged"
BLANK, OTHER_SOUND, OTHER_PICTURE = "media blanked", "sound of another clip", "picture of another clip"
HALF = "picture of half the width and height"  # a quarter of the picture's tokens, all of them read: what choosing competes with
CONTROLS = (BLANK, OTHER_SOUND, OTHER_PICTURE, HALF)
PARTNERS = 500_000_000  # a clip is paired with the one so many seeds later, which is not measured itself


@dataclass(frozen=True)
class Choice:
    """Which clips are made and what is asked about them; everything an item depends on besides its number."""

    seconds: float = world.STANDARD_S
    per_clip: int = 10  # questions with short answers, at most
    describe_every: int = 1  # of so many clips one is described; 0 for none
    auxiliary: bool = False  # one question of each kind about time, besides
    ambient: str | None = None
    pattern: str | None = None
    footage: str = world.FOOTAGE[0]
    clips_from: int = world.HELD_OUT_SEEDS.start  # the first clip's seed
    seed: int = 0  # of the choice of questions and wordings

    def scene(self, number: int) -> world.Scene:
        """The scene of a clip, counted from 0."""
        return self._scene(self.clips_from + number)

    def partner(self, number: int) -> world.Scene:
        """Another clip of the same length and kind."""
        return self._scene(self.clips_from + PARTNERS + number)

    def _scene(self, seed: int) -> world.Scene:
        return world.scene(seed, self.seconds, ambient=self.ambient, pattern=self.pattern, footage=self.footage)

    def questions(self, number: int) -> list[Question]:
        """What is asked: every cross-modal kind the scene supports, then other kinds drawn at random, then second ones."""
        scene = self.scene(number)
        rng = np.random.default_rng([self.seed, scene.seed, round(2 * self.seconds)])
        by_kind: dict[str, list[Question]] = {}
        for question in about(scene, rng, LISTED):
            by_kind.setdefault(question.kind, []).append(question)
        kinds = [*(kind for kind in by_kind if kind in CROSS_MODAL), *(kind for kind in by_kind if kind not in CROSS_MODAL)]
        rounds = range(max((len(found) for found in by_kind.values()), default=0))
        chosen = [by_kind[kind][turn] for turn in rounds for kind in kinds if turn < len(by_kind[kind])][: self.per_clip]
        if self.describe_every and number % self.describe_every == 0:
            chosen += about(scene, rng, (DESCRIPTION,))
        if self.auxiliary:
            chosen += {question.kind: question for question in about(scene, rng, AUXILIARY)}.values()
        return chosen


def encode(model: QwenOmni, scene: world.Scene, folder: Path, settings: Settings) -> EncodedClip:
    """Write a scene as .mp4, read it the way a person's file is read, and run the encoders. Raises MediaError as they do."""
    path = render.write_mp4(scene, folder / f"{scene.seed}-{scene.duration_s:g}.mp4")
    try:
        return model.encode(media.load(path, settings))
    finally:
        path.unlink()


def blank(model: QwenOmni, encoded: EncodedClip) -> EncodedClip:
    """Replace picture and sound of a clip by black frames and silence of the same length."""
    clip = encoded.clip
    sound = None if clip.waveform is None else np.zeros_like(clip.waveform)
    return model.encode(replace(clip, frames=np.zeros_like(clip.frames), waveform=sound, silent=sound is not None))


def halve(model: QwenOmni, encoded: EncodedClip) -> EncodedClip:
    """Encode the clip with every 2x2 square of pixels as one; an odd last row or column is left out."""
    clip = encoded.clip
    count, height, width = clip.frames.shape[0], clip.frames.shape[1] // 2, clip.frames.shape[2] // 2
    squares = clip.frames[:, : 2 * height, : 2 * width].reshape(count, height, 2, width, 2, 3)
    frames = np.rint(squares.mean((2, 4))).astype(np.uint8)
    return model.encode(replace(clip, frames=frames))


def mix(picture: EncodedClip, sound: EncodedClip) -> EncodedClip:
    """Combine the picture of one clip with the sound of another; the encoders do not look at each other."""
    heard = ("audio", "saliency", "saliency_windowed", "saliency_ms", "saliency_windowed_ms", "saliency_kind", "audio_ms", "log_mel")
    clip = replace(picture.clip, waveform=sound.clip.waveform, silent=sound.clip.silent)
    return replace(picture, clip=clip, **{name: getattr(sound, name) for name in heard})


def candidates(scene: world.Scene, kind: str, heard: bool) -> int | None:
    """Answers to a cross-modal question that one medium alone leaves open: what is heard, or what is seen. None: it leaves all.

    Whoever knows only what is seen may still guess a colour among those on screen; a control has to fall to one in so many.
    """
    if heard:
        return len({s.name for s in scene.sounds}) + 1 if kind == "sound at shape" else None
    seen = {
        "colour at sound": {a.colour for a in scene.actors},
        "shape at sound": {a.shape for a in scene.actors},
        "seen at sound": {a.name for a in scene.actors} | {"nothing"},
    }
    return len(seen[kind]) if kind in seen else None


def prior(answers: Sequence[str]) -> float:
    """How often the best constant answer is right."""
    return max(answers.count(answer) for answer in set(answers)) / len(answers) if answers else float("nan")
