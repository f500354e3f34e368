"""What is true of every token the encoders make: labels per video token and per audio token, for training them alone."""

from __future__ import annotations

import numpy as np

from .model import PATCH
from .render import coverage
from .world import COLOURS, MOTIONS, PATTERNS, PLACES, SHAPES, SOUNDS, Scene

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
MOMENT_LABELS = {"shape": len(SHAPES) + 1, "colour": len(COLOURS) + 1, "sound": len(SOUNDS) + 1}


def degraded(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Roughly what a video codec does to pixels: colour at half the resolution, brightness in coarser levels."""
    levels = float(rng.uniform(1, 5))
    picture = frames.astype(np.float32)
    bright = picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    tint = picture - bright[..., None]
    count, height, width, _ = frames.shape
    tint = tint.reshape(count, height // 2, 2, width // 2, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    return np.clip(np.round(bright / levels)[..., None] * levels + tint, 0, 255).astype(np.uint8)


def video_labels(scene: Scene, step: int) -> dict[str, np.ndarray]:
    """What each video token of a step shows, per label (rows * columns,) int64; IGNORE where a shape barely touches it."""
    rows, columns = scene.height // CELL, scene.width // CELL
    seen = np.zeros((rows, columns), dtype=np.float32)
    actor = scene.actor_at(step) or scene.actor_at(step + 0.5)
    for time_s in (step, step + 0.5):
        shown = scene.actor_at(time_s)
        if shown is not None and shown == actor:
            mask = coverage(shown, time_s, scene.width, scene.height)
            seen += mask.reshape(rows, CELL, columns, CELL).mean((1, 3)) / 2
    none = {"shape": len(SHAPES), "colour": len(COLOURS), "place": len(PLACES), "motion": len(MOTIONS)}
    labels = {name: np.where(seen < 0.004, value, IGNORE) for name, value in none.items()}
    if actor:
        mean_x = actor.centre(step + 0.25, scene.width, scene.height)[0] / scene.width
        truth = {
            "shape": SHAPES.index(actor.shape),
            "colour": COLOURS.index(actor.colour),
            "place": min(2, int(mean_x * 3)),
            "motion": MOTIONS.index(actor.motion) if scene.actor_at(step) == scene.actor_at(step + 0.5) else IGNORE,
        }
        labels = {name: np.where(seen > 0.08, truth[name], value) for name, value in labels.items()}
    labels["pattern"] = np.where(seen < 0.3, PATTERNS.index(scene.pattern), IGNORE)
    return {name: value.reshape(-1).astype(np.int64) for name, value in labels.items()}


def moment_labels(scene: Scene) -> dict[str, np.ndarray]:
    """What is seen and heard during each audio token, per label (25 * duration,) int64."""
    times = (np.arange(round(scene.duration_s / TOKEN_S)) + 0.5) * TOKEN_S
    actors = [scene.actor_at(t) for t in times]
    sounds = [scene.sound_at(t) for t in times]
    return {
        "shape": np.array([SHAPES.index(a.shape) if a else len(SHAPES) for a in actors]),
        "colour": np.array([COLOURS.index(a.colour) if a else len(COLOURS) for a in actors]),
        "sound": np.array([SOUNDS.index(s.name) if s else len(SOUNDS) for s in sounds]),
    }
