"""From a scene to what a camera and a microphone would have recorded: frames, waveform, a real .mp4 file."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from .scene import Actor, Camera, Scene
from .sounds import SAMPLE_RATE_HZ, synthesise

FILE_FPS = 10
LEAD_S = 0.03  # things appear a moment before the instant a frame is sampled, so that rounding of time stamps cannot lose them

TEXTURE = 256  # pixels after which the texture of a filmed backdrop begins anew
HIGHLIGHTS = 24  # bright spots in it, far smaller than any shape
STILL = (0.0, 0.0)

RGB = {
    "red": (215, 35, 40),
    "orange": (245, 140, 20),
    "yellow": (240, 228, 45),
    "green": (35, 165, 60),
    "cyan": (60, 210, 220),
    "blue": (35, 75, 220),
    "purple": (145, 50, 185),
    "white": (245, 245, 245),
}


def _distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Roughly the signed distance to a shape of radius 1, negative inside; u to the right, v down."""
    radius = np.hypot(u, v)
    if shape == "circle":
        return radius - 0.95
    if shape == "ring":
        return np.abs(radius - 0.78) - 0.22
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.8
    if shape == "diamond":
        return (np.abs(u) * 1.25 + np.abs(v)) / 1.6 - 0.64
    if shape == "triangle":
        return np.maximum(v - 0.75, (1.75 * np.abs(u) - 0.97 * (v + 1)) / 2.0)
    if shape == "cross":
        across = np.maximum(np.abs(u) - 1.0, np.abs(v) - 0.3)
        return np.minimum(across, np.maximum(np.abs(v) - 1.0, np.abs(u) - 0.3))
    if shape == "star":
        point, valley, half = 1.05, 0.42, np.pi / 5
        angle = np.abs(np.mod(np.arctan2(u, -v) + half, 2 * half) - half)
        edge = point * valley * np.sin(half) / (point * np.sin(angle) + valley * np.sin(half - angle))
        return (radius - edge) * 0.6
    if shape == "heart":
        return np.hypot(u * 0.95, -v + 0.15 - 0.75 * np.sqrt(np.abs(u))) - 0.78
    raise ValueError(f"There is no shape called {shape!r}.")


def coverage(actor: Actor, time_s: float, width: int, height: int, scale: int = 1, shaken: tuple[float, float] = STILL) -> np.ndarray:
    """How much of each pixel a shape covers at a time, (height * scale, width * scale) float32 in 0 to 1.

    Args:
        shaken: how far the camera has moved the picture, pixels to the right and down.
    """
    x, y = (place + moved for place, moved in zip(actor.centre(time_s, width, height), shaken, strict=True))
    radius = actor.radius * height if height <= width else actor.radius * width
    rows, columns = _pixels(width, height, scale)
    u, v = (columns - x) / radius, (rows - y) / radius
    cos, sin = np.cos(actor.tilt), np.sin(actor.tilt)
    return np.clip(0.5 - _distance(actor.shape, u * cos + v * sin, v * cos - u * sin) * radius * scale, 0, 1).astype(np.float32)


def _pixels(width: int, height: int, scale: int) -> np.ndarray:
    """Row and column of every pixel's middle, in pixels of the frame at its own size."""
    return (np.mgrid[0 : height * scale, 0 : width * scale].astype(np.float32) + 0.5) / scale


def backdrop(scene: Scene, time_s: float, scale: int = 1) -> np.ndarray:
    """The empty stage at a time, (height * scale, width * scale, 3) float32: light from the left, a darker floor, a pattern."""
    rows, columns = _pixels(scene.width, scene.height, scale)
    if scene.camera:
        return _filmed_backdrop(scene, scene.camera, time_s, rows, columns)
    light = 1.25 - 0.5 * columns / scene.width
    light *= np.where(rows > 0.8 * scene.height, 0.7, 1.0)
    shift = np.float32(scene.drift * time_s * 16)
    if scene.pattern == "striped":
        light *= 1 + 0.16 * np.sign(np.sin(2 * np.pi * (columns + shift) / 16))
    elif scene.pattern == "checked":
        light *= 1 + 0.16 * np.sign(np.sin(2 * np.pi * (columns + shift) / 24) * np.sin(2 * np.pi * rows / 24))
    elif scene.pattern == "dotted":
        light *= 1 + 0.4 * (np.hypot(np.mod(columns + shift, 14) - 7, np.mod(rows, 14) - 7) < 3)
    return light[..., None] * np.array(scene.tone, dtype=np.float32)


def _filmed_backdrop(scene: Scene, camera: Camera, time_s: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A textured surface with highlights and a change of light across it, as far as the camera has moved by now."""
    right, down = (p + s for p, s in zip(camera.panned(time_s, scene.height), scene.shaken(time_s), strict=True))
    surface = _sample(_surface(scene.seed), rows - down, columns - right)
    rng = np.random.default_rng([scene.seed, 6])
    angle, reach = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.1, 0.3))
    slope = (columns / scene.width - 0.5) * np.cos(angle) + (rows / scene.height - 0.5) * np.sin(angle)
    light = (1 + 2 * reach * slope)[..., None]
    return np.clip(surface * light * np.array(scene.tone, dtype=np.float32), 0, 255).astype(np.float32)


@lru_cache(4)
def _surface(seed: int) -> np.ndarray:
    """(TEXTURE, TEXTURE, 3) float32 around 1, without seams: noise whose power falls as in photographs, with a few small highlights."""
    rng = np.random.default_rng([seed, 5])
    rate = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None])
    rate[0, 0] = np.inf
    fall = rate ** -float(rng.uniform(1.0, 1.5))
    noise = [np.fft.irfft2(fall * np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE)))) for _ in range(4)]
    bright, *tints = (n / n.std() for n in noise)
    strength, colour = float(rng.uniform(0.15, 0.35)), float(rng.uniform(0.02, 0.1))
    surface = 1 + strength * bright[..., None] + colour * np.stack(tints, axis=-1)
    rows, columns = np.mgrid[0:TEXTURE, 0:TEXTURE]
    for row, column in rng.integers(0, TEXTURE, (HIGHLIGHTS, 2)):
        down, right = ((rows - row + 128) % TEXTURE - 128, (columns - column + 128) % TEXTURE - 128)
        spot = np.exp(-(down**2 + right**2) / (2 * float(rng.uniform(1.0, 2.2)) ** 2))
        surface += float(rng.uniform(0.4, 1.0)) * spot[..., None]
    return np.clip(surface, 0.2, 2.2).astype(np.float32)


def _sample(surface: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A surface without seams at places between its pixels, linear between the four around each."""
    top, left = np.floor(rows), np.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    r0, c0 = top.astype(np.int64) % TEXTURE, left.astype(np.int64) % TEXTURE
    r1, c1 = (r0 + 1) % TEXTURE, (c0 + 1) % TEXTURE
    upper = surface[r0, c0] * (1 - right) + surface[r0, c1] * right
    lower = surface[r1, c0] * (1 - right) + surface[r1, c1] * right
    return upper * (1 - down) + lower * down


def frames(scene: Scene, times_s: np.ndarray, scale: int = 1) -> np.ndarray:
    """What is seen at given times, (N, height * scale, width * scale, 3) uint8, at its own size with a little sensor noise."""
    rng = np.random.default_rng([scene.seed, 1])
    shade = {a: 1 + 0.06 * np.random.default_rng([scene.seed, 2, i]).uniform(-1, 1, 3) for i, a in enumerate(scene.actors)}
    pictures = np.empty((len(times_s), scene.height * scale, scene.width * scale, 3), dtype=np.uint8)
    still = backdrop(scene, 0.0, scale)
    for index, time_s in enumerate(times_s):
        picture = backdrop(scene, time_s, scale) if scene.drift or scene.camera else still.copy()
        actor = scene.actor_at(time_s + LEAD_S)
        if actor:
            picture = paint(picture, actor, time_s, shade[actor], scale, scene.shaken(time_s))
        pictures[index] = photograph(picture, rng) if scale == 1 else np.clip(picture, 0, 255)
    return pictures


def paint(
    picture: np.ndarray, actor: Actor, time_s: float, shade: np.ndarray, scale: int = 1, shaken: tuple[float, float] = STILL
) -> np.ndarray:
    """A picture (H, W, 3) with a shape on top; `shade` (3,) scales its colour a little, `shaken` is as in `coverage`."""
    mask = coverage(actor, time_s, picture.shape[1] // scale, picture.shape[0] // scale, scale, shaken)[..., None]
    return picture * (1 - mask) + mask * (np.array(RGB[actor.colour]) * shade).astype(np.float32)


def photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture as uint8, with a little sensor noise."""
    noise = rng.integers(-5, 6, picture.shape[:2], dtype=np.int8)[..., None]
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def waveform(scene: Scene) -> np.ndarray:
    """What is heard, (duration * 16000,) float32 mono at 16 kHz, peak at most 1."""
    length = round(scene.duration_s * SAMPLE_RATE_HZ)
    wave = scene.ambient_gain * synthesise(scene.ambient, scene.duration_s, np.random.default_rng([scene.seed, 3]))
    for index, sound in enumerate(scene.sounds):
        part = sound.gain * synthesise(sound.name, sound.end_s - sound.start_s, np.random.default_rng([scene.seed, 4, index]))
        first = round(sound.start_s * SAMPLE_RATE_HZ)
        part = part[: length - first]
        wave[first : first + part.size] += part
    return np.clip(wave, -1, 1).astype(np.float32)


def write_mp4(scene: Scene, path: Path | str, scale: int = 1) -> Path:
    """Write the scene as a file any player opens: H.264 at 10 frames a second, AAC mono.

    Args:
        scale: pixels per pixel of the world, per side; more than one makes a picture for people to look at.

    Raises:
        OSError: the folder cannot be written to.
    """
    import av

    path = Path(path)
    times_s = np.arange(round(scene.duration_s * FILE_FPS)) / FILE_FPS
    wave = waveform(scene)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=FILE_FPS, options={"crf": "18", "preset": "veryfast", "threads": "1"})
        picture.width, picture.height, picture.pix_fmt = scene.width * scale, scene.height * scale, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for image in frames(scene, times_s, scale):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(picture.encode(None))
        for first in range(0, wave.size, 1024):
            block = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE_HZ, first, Fraction(1, SAMPLE_RATE_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path
