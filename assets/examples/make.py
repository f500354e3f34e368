"""Make the example clips of the page: synthetic pictures and sounds, drawn here from nothing.

    python assets/examples/make.py

Each shows moments that can be seen and heard at once between stretches in which little happens, which is what audio-guided
compression lives on. Everything is seeded; the files are H.264 with AAC sound, some hundred kilobytes each.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
FPS, RATE_HZ = 24, 44_100
AMBER, RED, GREEN, BLUE, CREAM = (240, 173, 46), (213, 66, 40), (38, 160, 110), (58, 134, 203), (250, 243, 224)


def write(name: str, seconds: float, size: tuple[int, int], draw: Callable[[float], Image.Image], sound: np.ndarray) -> None:
    """Write a clip of `draw(t)` pictures and `sound` (S,) at RATE_HZ."""
    with av.open(HERE / name, "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream("libx264", rate=FPS, options={"crf": "25", "preset": "slow"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono", bit_rate=64_000)
        for index in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_image(draw(index / FPS))
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = (0.9 * sound / np.abs(sound).max()).astype(np.float32)
        for start in range(0, samples.size, 1024):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def clock(seconds: float) -> np.ndarray:
    """(S,) instants in seconds."""
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def bell(t: np.ndarray, at: float, pitch_hz: float) -> np.ndarray:
    """A struck bell: partials that are not harmonic, dying away."""
    since = np.clip(t - at, 0, None)
    partials = ((1, 1, 1.1), (2.0, 0.6, 1.6), (2.76, 0.45, 2.6), (5.4, 0.2, 5.0))
    ring = sum(a * np.sin(2 * np.pi * pitch_hz * k * since) * np.exp(-d * since) for k, a, d in partials)
    return np.where(t >= at, ring * np.minimum(1, since * 400), 0)


def voice(t: np.ndarray, start: float, end: float, pitch_hz: float, vowels: tuple[tuple[float, float], ...], seed: int) -> np.ndarray:
    """Something like speech: a buzzing pitch shaped by two moving resonances, in syllables. It says nothing."""
    inside = (t >= start) & (t < end)
    pitch = pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 2.1 * t) - 0.12 * (t - start) / (end - start))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    place = np.clip((t - start) / (end - start), 0, 0.999) * len(vowels)
    low = np.interp(place, np.arange(len(vowels)), [v[0] for v in vowels])
    high = np.interp(place, np.arange(len(vowels)), [v[1] for v in vowels])
    out = np.zeros_like(t)
    for k in range(1, 24):
        f = k * pitch
        gain = np.exp(-(((f - low) / 160) ** 2)) + 0.6 * np.exp(-(((f - high) / 260) ** 2)) + 0.03 / k
        out += gain * np.sin(k * phase)
    syllable = np.abs(np.sin(np.pi * place)) ** 0.6
    breath = np.random.default_rng(seed).normal(0, 0.02, t.size)
    return np.where(inside, syllable * out + breath, 0)


def murmur(t: np.ndarray, level: float, seed: int, smooth: int = 90) -> np.ndarray:
    """Wind or sea: low noise that swells slowly."""
    noise = np.convolve(np.random.default_rng(seed).normal(0, 1, t.size), np.ones(smooth) / smooth, "same")
    return level * noise / noise.std() * (0.7 + 0.3 * np.sin(2 * np.pi * t / 7))


def gradient(size: tuple[int, int], top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    """A sky: one colour flowing into another from top to bottom."""
    mix = np.linspace(0, 1, size[1])[:, None, None]
    column = np.array(top) * (1 - mix) + np.array(bottom) * mix
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).astype(np.uint8))


def disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: tuple[int, ...]) -> None:
    """A filled circle."""
    draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def falling_notes() -> None:
    """12 s, landscape: a ball drops into the picture whenever a bell is struck, each with its own colour and pitch."""
    seconds, size = 12.0, (640, 360)
    strikes = (
        (1.0, 110, AMBER, 392.0),
        (3.2, 250, RED, 494.0),
        (5.0, 390, GREEN, 587.3),
        (5.6, 500, BLUE, 784.0),
        (9.4, 310, CREAM, 440.0),
    )
    back = gradient(size, (28, 40, 66), (92, 82, 110))
    hills = ImageDraw.Draw(back)
    hills.polygon([(0, 300), (110, 236), (230, 292), (360, 220), (520, 300), (640, 250), (640, 360), (0, 360)], fill=(38, 46, 62))
    hills.rectangle((0, 326, 640, 360), fill=(26, 30, 40))

    def picture(t: float) -> Image.Image:
        image = back.copy()
        draw = ImageDraw.Draw(image)
        for at, x, colour, _ in strikes:
            since = t - at
            if since < 0:
                continue
            if since < 0.7:
                y = 40 + (300 - 40) * (since / 0.7) ** 2
            else:
                y = 300 - 90 * abs(np.sin((since - 0.7) * 4.5)) * np.exp(-1.6 * (since - 0.7))
            glow = max(0.0, 1 - since / 0.5)
            if glow:
                disc(draw, x, y, 30 + 22 * glow, tuple(int(c * 0.45 + 40) for c in colour))
            disc(draw, x, y, 26, colour)
            disc(draw, x - 8, y - 9, 7, tuple(min(255, c + 60) for c in colour))
        return image

    t = clock(seconds)
    sound = sum(bell(t, at, pitch) for at, _, _, pitch in strikes) + murmur(t, 0.012, 1)
    write("falling-notes.mp4", seconds, size, picture, sound)


def two_speakers() -> None:
    """12 s, landscape: two faces that take turns at something like speech; the one speaking moves its mouth."""
    seconds, size = 12.0, (640, 360)
    low = ((700, 1150), (400, 2000), (500, 900), (650, 1700), (350, 800))
    high = ((800, 1400), (450, 2300), (300, 2600), (600, 1000))
    turns = ((0.8, 3.4, 0, 118.0, low), (4.6, 6.6, 1, 208.0, high), (8.8, 10.8, 0, 112.0, low[::-1]))
    t = clock(seconds)
    parts = [voice(t, a, b, pitch, vowels, i) for i, (a, b, _, pitch, vowels) in enumerate(turns)]
    sound = sum(parts) + murmur(t, 0.01, 4, 30)
    step = RATE_HZ // FPS
    loudness = [np.abs(p[: p.size // step * step]).reshape(-1, step).max(1) / np.abs(p).max() for p in parts]
    back = gradient(size, (226, 218, 202), (198, 188, 172))
    room = ImageDraw.Draw(back)
    room.rectangle((0, 290, 640, 360), fill=(150, 122, 96))
    room.rectangle((270, 40, 370, 150), fill=(150, 190, 214), outline=(120, 100, 84), width=6)

    def picture(now: float) -> Image.Image:
        image = back.copy()
        draw = ImageDraw.Draw(image)
        for who, (x, skin, coat) in enumerate(((160, (222, 170, 130), BLUE), (480, (150, 104, 76), GREEN))):
            index = int(now * FPS)
            mouth = max((loudness[i][index] for i, turn in enumerate(turns) if turn[2] == who and index < loudness[i].size), default=0)
            nod = 3 * np.sin(now * 6) if mouth > 0.05 else 0
            draw.rounded_rectangle((x - 84, 240, x + 84, 380), 40, fill=coat)
            disc(draw, x, 160 + nod, 74, skin)
            for eye in (-26, 26):
                disc(draw, x + eye, 146 + nod, 7, (40, 34, 32))
            draw.ellipse((x - 22, 190 + nod - 3 - 16 * mouth, x + 22, 190 + nod + 3 + 16 * mouth), fill=(110, 40, 40))
        return image

    write("two-speakers.mp4", seconds, size, picture, sound)


def lighthouse() -> None:
    """10 s, portrait 9:16: a lighthouse at night; a horn sounds while its lamp sweeps the sea, a gull crosses unheard."""
    seconds, size = 10.0, (360, 640)
    blasts = ((1.5, 2.9), (6.2, 7.6))
    back = gradient(size, (14, 22, 44), (44, 68, 96))
    scene = ImageDraw.Draw(back)
    for x, y in np.random.default_rng(5).uniform((0, 0), (360, 300), (60, 2)):
        scene.point((x, y), fill=(200, 206, 220))
    scene.rectangle((0, 470, 360, 640), fill=(20, 46, 66))
    scene.polygon([(40, 520), (110, 452), (206, 446), (270, 520)], fill=(40, 40, 44))
    scene.polygon([(128, 456), (138, 240), (182, 240), (192, 456)], fill=(232, 228, 220))
    for k in range(3):
        scene.polygon(
            [(131 + 2 * k, 410 - 66 * k), (133 + 2 * k, 378 - 66 * k), (187 - 2 * k, 378 - 66 * k), (189 - 2 * k, 410 - 66 * k)], fill=RED
        )
    scene.rectangle((132, 206, 188, 240), fill=(60, 56, 52))

    def picture(t: float) -> Image.Image:
        image = back.copy()
        draw = ImageDraw.Draw(image)
        for k in range(7):
            shift = 18 * np.sin(t * 0.8 + k)
            draw.line((20 + shift, 496 + 20 * k, 340 + shift, 496 + 20 * k), fill=(34, 66, 88), width=2)
        lit = next((t - a for a, b in blasts if a <= t < b), None)
        if lit is not None:
            beam = Image.new("RGBA", size, (0, 0, 0, 0))
            angle = -0.5 + lit * 0.9
            far = [(160 + 420 * np.cos(angle + d), 222 + 420 * np.sin(angle + d)) for d in (-0.13, 0.13)]
            ImageDraw.Draw(beam).polygon([(160, 222), *far], fill=(255, 232, 150, 170))
            image.paste(beam, mask=beam.filter(ImageFilter.GaussianBlur(4)))
            draw = ImageDraw.Draw(image)
        disc(draw, 160, 222, 15, (255, 236, 160) if lit is not None else (120, 112, 90))
        x = -30 + 42 * t
        wing = 8 * np.sin(t * 9)
        draw.line((x - 14, 120 - wing, x, 126, x + 14, 120 - wing), fill=(210, 214, 220), width=3)
        return image

    t = clock(seconds)
    horn = np.zeros_like(t)
    for start, end in blasts:
        swell = np.clip(np.minimum(t - start, end - t) * 8, 0, 1)
        horn += swell * sum(np.sin(2 * np.pi * 110 * k * t) / k for k in (1, 2, 3, 4, 5))
    write("lighthouse.mp4", seconds, size, picture, horn + murmur(t, 0.05, 8, 60))


if __name__ == "__main__":
    falling_notes()
    two_speakers()
    lighthouse()
