"""What is true of every token the encoders make: labels per video token and per audio token, for training them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from omnizip.evaluation.world.phrasings import COUNTS
from omnizip.evaluation.world.render import STILL, coverage
from omnizip.evaluation.world.scene import COLOURS, MOTIONS, PATTERNS, PLACES, SHAPES, SOUNDS, Actor, Scene

from .model import PATCH

CELL = 2 * PATCH  # pixels a video token spans
TOKEN_S = 0.04  # seconds an audio token spans
IGNORE = -100
VIDEO_LABELS = {
    "shape": len(SHAPES) + 1,  # one more than there are, for nothing
    "colour": len(COLOURS) + 1,
    "place": len(PLACES) + 1,
    "motion": len(MOTIONS) + 1,
    "pattern": len(PATTERNS),
}
AUDIO_LABELS = {"sound": len(SOUNDS) + 1}
MOMENT_LABELS = {
    "shape": len(SHAPES) + 1,
    "colour": len(COLOURS) + 1,
    "sound": len(SOUNDS) + 1,
    "place": len(PLACES) + 1,
    "motion": len(MOTIONS) + 1,
    "heard": len(SOUNDS) + 1,  # with the shape that is on screen, up to now
}
SO_FAR_LABELS = {"sounds": len(COUNTS), "shapes": len(COUNTS)}


def degrade(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Roughly what a video codec does to pixels: colour at half the resolution, brightness in coarser levels."""
    levels = float(rng.uniform(1, 5))
    picture = frames.astype(np.float32)
    bright = picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    tint = picture - bright[..., None]
    count, height, width, _ = frames.shape
    tint = tint.reshape(count, height // 2, 2, width // 2, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    return np.clip(np.round(bright / levels)[..., None] * levels + tint, 0, 255).astype(np.uint8)


def video_labels(scene: Scene, step: int) -> dict[str, np.ndarray]:
    """`token_labels` of one step of a scene."""
    times = (step, step + 0.5)
    shown = {actor: [t for t in times if scene.actor_at(t) == actor] for t in times if (actor := scene.actor_at(t))}
    return token_labels(shown, scene.width, scene.height, None if scene.camera else scene.pattern, scene.shaken)


def token_labels(
    shown: Mapping[Actor, Sequence[float]],
    width: int,
    height: int,
    pattern: str | None,
    shaken: Callable[[float], tuple[float, float]] = lambda time_s: STILL,
) -> dict[str, np.ndarray]:
    """What each video token of a step shows, per label (rows * columns,) int64; IGNORE where a shape barely touches it.

    Args:
        shown: the shapes of the step and at which of its two frames' times each is there.
        width, height: of the frame, pixels.
        pattern: of the backdrop; None where it has none, as in a filmed scene.
        shaken: how far the camera has moved the picture at a time, pixels.

    Returns:
        the labels of VIDEO_LABELS, and "thing": the number of the shape a token shows, IGNORE for none.
    """
    rows, columns = height // CELL, width // CELL
    names = ("shape", "colour", "place", "motion", "thing")
    labels = {name: np.full((rows, columns), VIDEO_LABELS[name] - 1 if name in VIDEO_LABELS else IGNORE) for name in names}
    touched = np.zeros((rows, columns), dtype=np.float32)
    for number, (actor, times) in enumerate(shown.items()):
        mask = sum(coverage(actor, t, width, height, shaken=shaken(t)) for t in times)
        seen = mask.reshape(rows, CELL, columns, CELL).mean((1, 3)) / 2
        middle = sum(actor.centre(t, width, height)[0] for t in times) / len(times)
        truth = {
            "shape": SHAPES.index(actor.shape),
            "colour": COLOURS.index(actor.colour),
            "place": min(2, int(middle / width * 3)),
            "motion": MOTIONS.index(actor.motion) if len(times) == 2 else IGNORE,
            "thing": number,
        }
        alone = touched < 0.004  # a place two shapes have in turn has no one answer
        for name, found in labels.items():
            found[seen >= 0.004] = IGNORE
            found[(seen > 0.08) & alone] = truth[name]
        touched = np.maximum(touched, seen)
    labels["pattern"] = np.where(touched < 0.3, PATTERNS.index(pattern) if pattern else IGNORE, IGNORE)
    return {name: found.reshape(-1).astype(np.int64) for name, found in labels.items()}


def _times(scene: Scene) -> np.ndarray:
    """The middle of each audio token, seconds."""
    return (np.arange(round(scene.duration_s / TOKEN_S)) + 0.5) * TOKEN_S


def moment_labels(scene: Scene) -> dict[str, np.ndarray]:
    """What is seen and heard during each audio token, per label of MOMENT_LABELS (25 * duration,) int64.

    Place is the third of the picture in which the shape appeared; "heard" stays from a sound to the end of its shape's stay.
    """
    times = _times(scene)
    actors = [scene.actor_at(t) for t in times]
    sounds = [scene.sound_at(t) for t in times]
    with_shape = {m.actor: m.sound for m in scene.moments if m.actor and m.sound}
    heard = [s.name if (s := with_shape.get(a)) and s.start_s <= t else None for a, t in zip(actors, times, strict=True)]
    return {
        "shape": np.array([SHAPES.index(a.shape) if a else len(SHAPES) for a in actors]),
        "colour": np.array([COLOURS.index(a.colour) if a else len(COLOURS) for a in actors]),
        "sound": np.array([SOUNDS.index(s.name) if s else len(SOUNDS) for s in sounds]),
        "place": np.array([PLACES.index(a.place) if a else len(PLACES) for a in actors]),
        "motion": np.array([MOTIONS.index(a.motion) if a else len(MOTIONS) for a in actors]),
        "heard": np.array([SOUNDS.index(name) if name else len(SOUNDS) for name in heard]),
    }


def so_far_labels(scene: Scene) -> dict[str, np.ndarray]:
    """How many sounds and shapes have begun by each audio token, per label of SO_FAR_LABELS (25 * duration,) int64."""
    times = _times(scene)[:, None]
    begun = {"sounds": [s.start_s for s in scene.sounds], "shapes": [a.start_s for a in scene.actors]}
    return {name: (np.array(starts)[None] <= times).sum(1) for name, starts in begun.items()}
