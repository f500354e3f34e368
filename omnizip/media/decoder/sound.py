"""Sound at one rate, every sample at its instant, first picture = 0."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av

from .messages import Facts
from .survey import STRAY_S, Track

GAP_S = 0.05  # sound that strays further than this from its timestamps is put back in place


@dataclass(frozen=True)
class Block:
    """Float samples, channels interleaved, that follow the block before."""

    samples: memoryview
    start: int  # instants of samples, counted from the first picture


class Sound:
    """Resamples a track to `rate_hz` and puts its samples in place, silence where there are none."""

    def __init__(self, facts: Facts, track: Track, rate_hz: int, layout: str | None = None):
        """`layout` is the one wanted; None keeps that of the first samples."""
        self.facts, self.track, self.rate_hz = facts, track, rate_hz
        self.layout: Any = layout and av.AudioLayout(layout)
        self.written = 0  # instants of samples that were yielded
        self._origin_s: float | None = None
        self._cut, self._most = False, math.inf  # instants at which the chosen part ends
        self._waiting: list[tuple[float, memoryview]] = []  # until the first picture is known
        self._resampler: Any = None
        self._segment_s = 0.0  # where the stretch without gaps began
        self._fed_s = 0.0
        self._made = 0  # instants of this stretch
        self._format: Any = None

    def add(self, frame: Any) -> Iterator[Block]:
        """Take decoded samples; yield what is in place."""
        instant_s = self._segment_s + self._fed_s if frame.time is None else frame.time
        lasts_s = frame.samples / frame.sample_rate
        if instant_s > self.track.end_s + STRAY_S:
            self.facts.misplaced_sound_s += lasts_s
            return
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._format or abs(instant_s - self._segment_s - self._fed_s) > GAP_S:
            yield from self._flush()
            self.layout = self.layout or frame.layout
            self._resampler = av.AudioResampler(format="flt", layout=self.layout, rate=self.rate_hz)
            self._format, self._segment_s, self._fed_s, self._made = shape, instant_s, 0.0, 0
        self._fed_s += lasts_s
        yield from self._resampled(frame)

    def begin(self, origin_s: float, cut: bool = False, until_s: float = math.inf) -> Iterator[Block]:
        """The first picture is known: yield what was waiting for it. `cut`: what comes before is left out by choice."""
        self._origin_s, self._cut = origin_s, cut
        self._most = math.inf if until_s == math.inf else round((until_s - origin_s) * self.rate_hz)
        for instant_s, samples in self._waiting:
            yield from self._place(instant_s, samples)
        self._waiting.clear()

    def finish(self) -> Iterator[Block]:
        """Yield the rest."""
        yield from self._flush()
        self.facts.sound_s = self.written / self.rate_hz

    def _flush(self) -> Iterator[Block]:
        if self._resampler is not None and self._fed_s:
            yield from self._resampled(None)
        self._resampler = None

    def _resampled(self, frame: Any) -> Iterator[Block]:
        try:
            made = self._resampler.resample(frame)
        except (av.error.FFmpegError, ValueError):  # a layout that cannot be turned into the wanted one
            self.facts.damaged_sound_packets += 1
            self._resampler = None
            return
        for part in made:
            size = part.samples * self.layout.nb_channels * 4
            samples = memoryview(bytes(part.planes[0])[:size]).cast("f")  # a plane is padded
            instant_s = self._segment_s + self._made / self.rate_hz
            self._made += part.samples
            if self._origin_s is None:
                self._waiting.append((instant_s, samples))
            else:
                yield from self._place(instant_s, samples)

    def _place(self, instant_s: float, samples: memoryview) -> Iterator[Block]:
        channels = self.layout.nb_channels
        count = len(samples) // channels
        place = round((instant_s - self._origin_s) * self.rate_hz)
        missing = min(place, self._most) - self.written if place > self.written else place - self.written
        if missing > 0:
            if self.written == 0:
                self.facts.late_sound_s = missing / self.rate_hz
            else:
                self.facts.sound_gaps_s += missing / self.rate_hz
            yield self._block(memoryview(bytes(missing * channels * 4)).cast("f"))
        elif missing < 0:
            cut = min(-missing, count)
            if self.written == 0:
                self.facts.early_sound_s += 0.0 if self._cut else cut / self.rate_hz
            else:
                self.facts.misplaced_sound_s += cut / self.rate_hz
            samples = samples[cut * channels :]
        if len(samples) and self._most < math.inf:
            samples = samples[: max(0, int(self._most) - self.written) * channels]
        if len(samples):
            yield self._block(samples)

    def _block(self, samples: memoryview) -> Block:
        block = Block(samples, self.written)
        self.written += len(samples) // self.layout.nb_channels
        return block
