"""Sounds of the synthetic world, synthesised with numpy: eight events a person can tell apart, and what may lie under them.

Every function takes a length in seconds and a generator and returns mono float32 at 16 kHz, peak at most 1. The
generator varies pitch and rhythm, so that no two bells are the same wave.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE_HZ = 16_000


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE_HZ), dtype=np.float64) / SAMPLE_RATE_HZ


def _since_last(time: np.ndarray, period: float) -> np.ndarray:
    """Seconds since the last of a train of strokes."""
    return np.mod(time, period)


def _sweep(frequency: np.ndarray) -> np.ndarray:
    """A sine whose frequency in Hz follows an array."""
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE_HZ)


def bell(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Inharmonic partials that ring out after a stroke."""
    since = _since_last(_time(seconds), rng.uniform(0.6, 0.9))
    base = rng.uniform(600, 900)
    partials = ((1.0, 1.0, 3.0), (2.0, 0.6, 4.0), (2.76, 0.5, 5.0), (5.4, 0.3, 8.0))
    return sum(gain * np.exp(-decay * since) * np.sin(2 * np.pi * base * ratio * since) for ratio, gain, decay in partials)


def beep(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A pure tone, on and off."""
    time = _time(seconds)
    period = rng.uniform(0.2, 0.3)
    return np.sin(2 * np.pi * rng.uniform(950, 1250) * time) * (_since_last(time, period) < 0.6 * period)


def siren(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A tone that rises and falls."""
    time = _time(seconds)
    swing = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(1.2, 2.0) * time)
    tone = _sweep(rng.uniform(450, 550) + rng.uniform(700, 900) * swing)
    return tone + 0.3 * tone**3


def drum(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Low thumps whose pitch drops."""
    since = _since_last(_time(seconds), rng.uniform(0.22, 0.34))
    pitch = rng.uniform(55, 80)
    thump = np.exp(-12 * since) * np.sin(2 * np.pi * (pitch * since + 3.0 * (1 - np.exp(-25 * since))))
    return thump + 0.25 * np.exp(-120 * since) * rng.standard_normal(since.size)


def whistle(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A high steady tone with a little vibrato and breath."""
    time = _time(seconds)
    tone = _sweep(rng.uniform(2100, 2700) + 40 * np.sin(2 * np.pi * rng.uniform(5, 8) * time))
    return tone + 0.08 * rng.standard_normal(time.size)


def buzz(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A rough sawtooth, as of a machine."""
    time = _time(seconds)
    pitch = rng.uniform(100, 150)
    return sum(np.sin(2 * np.pi * pitch * n * time) / n for n in range(1, 26)) * (0.8 + 0.2 * np.sin(2 * np.pi * 25 * time))


def chirp(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Short upward sweeps, as of a bird."""
    time = _time(seconds)
    period = rng.uniform(0.11, 0.16)
    since = _since_last(time, period) / period
    return _sweep(rng.uniform(2800, 3300) + rng.uniform(1800, 2600) * since) * np.sin(np.pi * np.minimum(since / 0.7, 1.0)) ** 2


def clap(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Bursts of noise without its lowest part."""
    since = _since_last(_time(seconds), rng.uniform(0.2, 0.3))
    noise = rng.standard_normal(since.size + 2)
    return np.diff(noise)[:-1] * np.exp(-rng.uniform(35, 50) * since)


EVENTS = {f.__name__: f for f in (bell, beep, siren, drum, whistle, buzz, chirp, clap)}


def hiss(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """White noise, constant."""
    return rng.standard_normal(_time(seconds).size) / 3.5


def hum(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Mains hum with two harmonics, constant."""
    time = _time(seconds)
    return sum(np.sin(2 * np.pi * 50 * n * time + rng.uniform(0, 6)) / n for n in (1, 2, 4)) / 1.8


def music(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A soft arpeggio that never stops: energy everywhere, an event nowhere."""
    time = _time(seconds)
    beat = rng.uniform(0.22, 0.35)
    note = np.floor(time / beat).astype(int)
    scale = rng.uniform(200, 300) * 2.0 ** (np.array([0, 4, 7, 12, 7, 4, 9, 5]) / 12)
    since = _since_last(time, beat)
    envelope = np.minimum(since / 0.02, 1.0) * np.exp(-2.5 * since)
    phase = 2 * np.pi * scale[note % scale.size] * since
    return envelope * (np.sin(phase) + 0.4 * np.sin(2 * phase)) + 0.3 * np.sin(2 * np.pi * scale[0] / 2 * time)


def silence(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Nothing at all."""
    return np.zeros(_time(seconds).size)


AMBIENTS = {f.__name__: f for f in (silence, hiss, hum, music)}


def synthesise(name: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One event or ambient, faded in and out over 10 ms so that nothing clicks.

    Returns:
        (seconds * 16000,) float32, peak at most 1.
    """
    wave = np.asarray({**EVENTS, **AMBIENTS}[name](seconds, rng))
    wave = wave / max(1.0, float(np.abs(wave).max(initial=0.0)))
    fade = min(160, wave.size // 2)
    if fade:
        ramp = np.linspace(0, 1, fade)
        wave[:fade] *= ramp
        wave[-fade:] *= ramp[::-1]
    return wave.astype(np.float32)
