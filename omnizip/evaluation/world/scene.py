"""A small world that knows the truth about itself: coloured shapes come and go, sounds come with them or without.

A `Scene` is everything that happens in one clip, drawn from one seed. It is what `render` turns into pixels and sound, and
what `questions` asks about, so an answer is right by construction and not by anybody's label.

Rules of the world:
- at most one shape is on screen at a time and at most one sound event is heard at a time;
- shapes appear on half seconds and stay at least 1.5 s; some glide, most stand still;
- a sound comes with a shape, later during its stay, or while nothing is there (misleading); some shapes stay silent;
- light falls from the left and there is a floor, so a picture shows where something is without counting pixels;
- under everything there may be silence, hiss, hum or music; the backdrop may be plain or patterned, and the pattern may drift;
- a scene is "drawn", as above, or "filmed": the same events before a textured backdrop with highlights, through a camera that pans
  after the shape and shakes. Places and movements are those in the frame, as ever.

Seeds: `TRAINING_SEEDS`, `HELD_OUT_SEEDS` and `REPORT_SEEDS` never meet, and 64 of the 512 combinations of shape, colour and sound are
left out of every training scene. Methods are tuned on held-out clips; those of `REPORT_SEEDS` are for tables alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .sounds import AMBIENTS, EVENTS

SHAPES = ("circle", "ring", "square", "diamond", "triangle", "star", "cross", "heart")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SOUNDS = tuple(EVENTS)
PATTERNS = ("plain", "striped", "dotted", "checked")
MOTIONS = ("still", "left", "right", "up", "down")
PLACES = ("left", "middle", "right")

TRAINING_SEEDS = range(0, 10**9)
HELD_OUT_SEEDS = range(10**9, 2 * 10**9)
REPORT_SEEDS = range(2 * 10**9, 3 * 10**9)
FOOTAGE = ("drawn", "filmed")

SIZES = ((128, 128), (144, 128), (128, 144), (160, 112), (112, 160), (176, 96), (192, 96))  # width, height; 64-72 tokens a step
SMALL = (96, 96)  # 36 tokens a step: for training only, where it makes a clip cheaper
STANDARD_S = 8.0
LONGEST_S = 24.0
SPEED = (0.08, 0.13)  # frame heights per second of a shape that glides
PAN = 0.25  # frame heights per second that a filmed backdrop moves past, at most
SHAKE = 0.02  # frame heights that the hand moves a filmed picture, at most


@dataclass(frozen=True)
class Actor:
    """One stay of one shape on screen. Lengths are fractions of the frame's height, x from the left, y from the top."""

    shape: str
    colour: str
    start_s: float
    end_s: float
    x: float  # where its middle is when it appears, as a fraction of the width
    y: float
    radius: float
    motion: str
    speed: float  # frame heights per second; 0 where it stands still
    tilt: float  # radians, small

    def centre(self, time_s: float, width: int, height: int) -> tuple[float, float]:
        """Where its middle is at a time, in pixels."""
        moved = self.speed * (time_s - self.start_s) * height
        dx, dy = {"still": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[self.motion]
        return self.x * width + dx * moved, self.y * height + dy * moved

    @property
    def place(self) -> str:
        """The third of the frame it appears in."""
        return PLACES[min(2, int(self.x * 3))]

    @property
    def name(self) -> str:
        """Colour and shape, as people say it."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class SoundEvent:
    """One sound event."""

    name: str
    start_s: float
    end_s: float
    gain: float


@dataclass(frozen=True)
class Moment:
    """A stretch of the clip in which one thing happens: a shape, a sound, or both."""

    actor: Actor | None
    sound: SoundEvent | None
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Camera:
    """How a filmed picture moves. It pans after the shape, so that the backdrop alone moves past; the hand shakes both."""

    pan: tuple[float, float]  # frame heights per second to the right and down
    shake: tuple[tuple[float, float, float, float], ...]  # right and down (frame heights), times a second, phase (radians)

    def panned(self, time_s: float, height: int) -> tuple[float, float]:
        """How far the backdrop has moved past at a time, pixels to the right and down."""
        return self.pan[0] * time_s * height, self.pan[1] * time_s * height

    def shaken(self, time_s: float, height: int) -> tuple[float, float]:
        """How far the hand has moved everything at a time, pixels to the right and down."""
        swing = [np.sin(2 * np.pi * rate * time_s + phase) for _, _, rate, phase in self.shake]
        right = sum(wave * s for wave, (s, _, _, _) in zip(swing, self.shake, strict=True))
        down = sum(wave * s for wave, (_, s, _, _) in zip(swing, self.shake, strict=True))
        return float(right * height), float(down * height)


@dataclass(frozen=True)
class Scene:
    """Everything that happens in one clip."""

    seed: int
    duration_s: float
    width: int
    height: int
    pattern: str
    tone: tuple[float, float, float]  # 0-255, the backdrop's colour
    drift: float  # pattern periods per second; 0 stands still
    ambient: str
    ambient_gain: float
    moments: tuple[Moment, ...]
    camera: Camera | None = None  # of a filmed scene; None for a drawn one

    @property
    def footage(self) -> str:
        """One of FOOTAGE."""
        return "filmed" if self.camera else "drawn"

    def shaken(self, time_s: float) -> tuple[float, float]:
        """How far the hand has moved the picture at a time, pixels to the right and down; nothing in a drawn scene."""
        return self.camera.shaken(time_s, self.height) if self.camera else (0.0, 0.0)

    @property
    def actors(self) -> tuple[Actor, ...]:
        """Shapes in the order they appear."""
        return tuple(m.actor for m in self.moments if m.actor)

    @property
    def sounds(self) -> tuple[SoundEvent, ...]:
        """Sound events in the order they are heard."""
        return tuple(m.sound for m in self.moments if m.sound)

    def actor_at(self, time_s: float) -> Actor | None:
        """The shape on screen at a time."""
        return next((a for a in self.actors if a.start_s <= time_s < a.end_s), None)

    def sound_at(self, time_s: float) -> SoundEvent | None:
        """The sound event heard at a time."""
        return next((s for s in self.sounds if s.start_s <= time_s < s.end_s), None)


def is_reserved(shape: str, colour: str, sound: str) -> bool:
    """Whether this combination is kept out of training: an eighth of all, spread so that every word is seen elsewhere."""
    return (SHAPES.index(shape) + 3 * COLOURS.index(colour) + 5 * SOUNDS.index(sound)) % 8 == 0


def scene(
    seed: int,
    duration_s: float = STANDARD_S,
    size: tuple[int, int] | None = None,
    *,
    ambient: str | None = None,
    pattern: str | None = None,
    footage: str = "drawn",
) -> Scene:
    """Draw one scene. The same arguments give the same scene, everywhere.

    Args:
        seed: from TRAINING_SEEDS (reserved combinations do not occur), HELD_OUT_SEEDS or REPORT_SEEDS (they do).
        duration_s: a whole number of seconds, 2 to 24.
        size: width and height in pixels, multiples of 16; None draws one of SIZES.
        ambient, pattern: fix what lies under the events and the backdrop; None draws them.
        footage: one of FOOTAGE; events, sizes and sounds of a seed are the same in both.

    Raises:
        ValueError: a seed outside the ranges, a length outside 2 to 24 s, or footage that does not exist.
    """
    if not 0 <= seed < REPORT_SEEDS.stop:
        raise ValueError(f"Seed {seed} lies outside the world's ranges; give one from 0 to {REPORT_SEEDS.stop - 1}.")
    if footage not in FOOTAGE:
        raise ValueError(f"There is no footage called {footage!r}; give one of {', '.join(FOOTAGE)}.")
    if not 2 <= duration_s <= LONGEST_S:
        raise ValueError(f"A clip of {duration_s} s; give 2 to {LONGEST_S:.0f} s.")
    rng = np.random.default_rng([seed, round(duration_s * 2)])
    drawn_size = SIZES[rng.integers(len(SIZES))]
    drawn_ambient = str(rng.choice(tuple(AMBIENTS), p=(0.4, 0.2, 0.2, 0.2)))
    drawn_pattern = str(rng.choice(PATTERNS, p=(0.4, 0.2, 0.2, 0.2)))
    level = rng.uniform(55, 120)
    width, height = size or drawn_size
    return Scene(
        seed=seed,
        duration_s=duration_s,
        width=width,
        height=height,
        pattern=pattern or drawn_pattern,
        tone=tuple(float(np.clip(level + rng.uniform(-22, 22), 40, 140)) for _ in range(3)),
        drift=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.3 else 0.0,
        ambient=ambient or drawn_ambient,
        ambient_gain=float(rng.uniform(0.03, 0.12)),
        moments=_moments(rng, duration_s, training=seed in TRAINING_SEEDS),
        camera=_camera(np.random.default_rng([seed, round(duration_s * 2), 1])) if footage == "filmed" else None,
    )


def _camera(rng: np.random.Generator) -> Camera:
    """A camera that pans in two of three scenes and is held by a hand in two of three, never neither."""
    kind = int(rng.integers(3))
    speed, angle = float(rng.uniform(0.3, 1.0)) * PAN, float(rng.uniform(0, 2 * np.pi))
    pan = (speed * float(np.cos(angle)), speed * float(np.sin(angle))) if kind != 1 else (0.0, 0.0)
    size = float(rng.uniform(0.3, 1.0)) * SHAKE / 3
    shake = [(*(size * rng.uniform(-1, 1, 2)), rng.uniform(0.4, 2.5), rng.uniform(0, 2 * np.pi)) for _ in range(3)]
    return Camera(pan, tuple(tuple(map(float, wave)) for wave in shake) if kind != 0 else ())


def _moments(rng: np.random.Generator, duration_s: float, training: bool) -> tuple[Moment, ...]:
    """Fill the clip with moments, one after the other, with gaps of 0 to 1 s."""
    moments: list[Moment] = []
    clock = float(rng.choice((0.0, 0.5, 1.0), p=(0.5, 0.3, 0.2))) if duration_s > 2 else 0.0
    while clock + 1.5 <= duration_s:
        end_s = min(clock + float(rng.choice((1.5, 2.0, 2.5, 3.0), p=(0.4, 0.3, 0.2, 0.1))), duration_s)
        kind = rng.choice(("both", "shape", "sound"), p=(0.62, 0.19, 0.19))
        used_sounds = {m.sound.name for m in moments if m.sound}
        used_names = {m.actor.name for m in moments if m.actor}
        sound = _sound(rng, clock, end_s, used_sounds, late=kind == "both" and rng.random() < 0.2) if kind != "shape" else None
        actor = draw_actor(rng, clock, end_s, used_names, sound if training else None) if kind != "sound" else None
        moments.append(Moment(actor, sound, clock, end_s))
        clock = end_s + float(rng.choice((0.0, 0.5, 1.0), p=(0.5, 0.3, 0.2)))
    return tuple(moments)


def _sound(rng: np.random.Generator, start_s: float, end_s: float, used: set[str], late: bool) -> SoundEvent:
    """A sound inside the moment; mostly one that has not been heard yet, sometimes a repetition."""
    fresh = [s for s in SOUNDS if s not in used]
    name = str(rng.choice(fresh if fresh and rng.random() < 0.85 else SOUNDS))
    onset = start_s + (float(rng.uniform(0.5, 0.7)) if late else float(rng.uniform(0.0, 0.25)))
    return SoundEvent(name, onset, min(onset + float(rng.uniform(0.6, 1.1)), end_s), float(rng.uniform(0.35, 0.8)))


def draw_actor(rng: np.random.Generator, start_s: float, end_s: float, used: set[str], avoid: SoundEvent | None = None) -> Actor:
    """A shape that is not in `used` with this colour, and whose combination with the sound `avoid` is not reserved."""
    while True:
        shape, colour = str(rng.choice(SHAPES)), str(rng.choice(COLOURS))
        if f"{colour} {shape}" not in used and not (avoid and is_reserved(shape, colour, avoid.name)):
            break
    motion = str(rng.choice(MOTIONS, p=(0.6, 0.1, 0.1, 0.1, 0.1)))
    x, y = float(rng.uniform(0.18, 0.82)), float(rng.uniform(0.3, 0.7))
    if motion in ("left", "right"):
        x = float(rng.uniform(0.55, 0.8)) if motion == "left" else float(rng.uniform(0.2, 0.45))
    if motion in ("up", "down"):
        y = float(rng.uniform(0.6, 0.75)) if motion == "up" else float(rng.uniform(0.25, 0.4))
    speed = 0.0 if motion == "still" else float(rng.uniform(*SPEED))
    return Actor(shape, colour, start_s, end_s, x, y, float(rng.uniform(0.16, 0.22)), motion, speed, float(rng.uniform(-0.15, 0.15)))
