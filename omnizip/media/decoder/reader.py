"""Second pass: the pictures and samples of a file in order, each at its instant, first picture = 0.

What is sent to the caller and what is encoded again for the page both come from here, so the copy on the page is the clip
that was read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .container import decoded, packets
from .deinterlacing import Deinterlacer
from .messages import Unreadable
from .sound import Block, Sound
from .survey import STRAY_S, Survey, announced_end, has_decoding_times, picture_stamp

ROUNDING_S = 0.0005  # matroska stores whole milliseconds
SOUND_MARGIN_S = 1.0  # decoded before the chosen start, so that codecs that build on what came before sound right there


@dataclass(frozen=True)
class Shown:
    """A decoded picture, when it appears and when it would end by itself; seconds since the first picture."""

    frame: Any
    start_s: float
    end_s: float


class Reader:
    """One reading of a surveyed file. Iterating yields `Shown` pictures and `Block`s of sound; the first is a picture."""

    def __init__(self, surveyed: Survey, sound: Sound | None = None):
        """`sound` places the samples; None where the file has none or they are not wanted."""
        self.survey, self.sound, self.facts = surveyed, sound, surveyed.facts
        self.container, self.stream, self._sound_stream = surveyed.open()
        self.aspect = float(self.stream.sample_aspect_ratio or 1) or 1.0  # width by height of one pixel
        self.origin_s: float | None = None  # of the first picture, on the file's clock
        self._last_s = 0.0
        self._latest_s: float | None = None  # instant of the picture last decoded, on the file's clock
        self._entered = surveyed.entry_s == -math.inf  # whether the picture's decoding has begun
        self._held: Any = None  # the newest picture before the chosen part: it is on screen as the part begins
        self._deinterlacer = Deinterlacer()
        self._decoding_times = has_decoding_times(self.container)

    @property
    def length_s(self) -> float:
        """How long the longer of the tracks lasts from the first picture on, by the survey."""
        return max(self.survey.end_s - (self.origin_s or 0.0), self.survey.picture.step_s)

    def __iter__(self) -> Iterator[Shown | Block]:
        """Raises Unreadable where no picture can be decoded."""
        streams = [self.stream] if self.sound is None else [self.stream, self._sound_stream]
        with self.container:
            for packet in packets(self.container, streams, self.facts):
                is_picture = packet.stream.index == self.stream.index  # a flushing packet's own stream_index is unset
                if not self._wanted(packet, is_picture):
                    continue
                for frame in decoded(packet, self.facts, is_picture):
                    if is_picture:
                        yield from self._pictures(frame)
                    else:
                        yield from self.sound.add(frame)
            for frame in self._deinterlacer.flush():
                yield from self._placed(frame)
            if self._held is not None:
                yield from self._release()
            if self.origin_s is None:
                raise Unreadable("no picture")
            self.facts.damaged_packets -= min(self.facts.flagged_packets, self.facts.restarts)  # where files were joined
            if self.survey.picture.end_s >= self.survey.until_s:
                self.facts.picture_s = self.survey.until_s - self.origin_s
            if self.sound is not None:
                yield from self.sound.finish()

    def _wanted(self, packet: Any, is_picture: bool) -> bool:
        """Whether the packet is decoded: what is needed for the chosen part alone. One without bytes flushes its decoder."""
        stamp = packet.dts if packet.pts is None else packet.pts
        if not packet.size or stamp is None:
            return self._entered or not is_picture
        tick_s = float(packet.time_base)
        if is_picture:
            self._entered |= packet.is_keyframe and picture_stamp(self.container, packet) * tick_s >= self.survey.entry_s
            first = stamp if packet.dts is None else min(stamp, packet.dts)  # a picture is decoded before those that need it
            return self._entered and first * tick_s <= self.survey.until_s
        begin_s = -math.inf if self.survey.begin_s is None else self.survey.begin_s - SOUND_MARGIN_S
        return begin_s <= stamp * tick_s <= self.survey.until_s

    def _pictures(self, frame: Any) -> Iterator[Shown | Block]:
        stamp = frame.dts if self._decoding_times else frame.pts
        if stamp is not None and frame.time_base:
            instant_s = float(stamp * frame.time_base)
        elif self._latest_s is not None:  # raw streams carry no clock, and the last pictures of others none either
            instant_s = self._latest_s + self.survey.picture.step_s
        else:
            instant_s = self.survey.picture.start_s
        self._latest_s = instant_s
        before = self.survey.begin_s is not None and instant_s <= self.survey.begin_s + ROUNDING_S
        self.facts.pictures += not before
        self.facts.damaged_pictures += bool(frame.is_corrupt) and not before
        self.facts.interlaced |= bool(frame.interlaced_frame)
        for ready in self._deinterlacer.add(frame, instant_s):
            yield from self._placed(ready)

    def _placed(self, frame: Any) -> Iterator[Shown | Block]:
        instant_s = frame.time
        if instant_s >= self.survey.until_s - ROUNDING_S and (self.origin_s is not None or self._held is not None):
            return
        if self.survey.begin_s is not None and self.origin_s is None:
            if instant_s <= self.survey.begin_s + ROUNDING_S:
                self._held = frame
                return
            if self._held is not None:
                yield from self._release()
        yield from self._show(frame, instant_s)

    def _release(self) -> Iterator[Shown | Block]:
        """Show the picture that is on screen when the chosen part begins, from there on."""
        frame, self._held = self._held, None
        self.facts.pictures += 1
        yield from self._show(frame, self.survey.begin_s)

    def _show(self, frame: Any, instant_s: float) -> Iterator[Shown | Block]:
        if self.origin_s is None:
            self._begin(instant_s)
        elif instant_s <= self.origin_s + self._last_s or instant_s > self.survey.picture.end_s + STRAY_S:
            self.facts.misplaced_pictures += 1
            return
        first = self.facts.picture_s == 0.0
        self._last_s = instant_s - self.origin_s
        lasts_s = float((frame.duration or 0) * frame.time_base)
        if frame.time < instant_s:  # shown since before the part began
            lasts_s = max(frame.time + lasts_s - instant_s, ROUNDING_S)
        self.facts.picture_s = self._last_s + (lasts_s or self.survey.picture.step_s)
        yield Shown(frame, self._last_s, self.facts.picture_s)
        if first and self.sound is not None:
            yield from self.sound.begin(self.origin_s, self.survey.begin_s is not None, self.survey.until_s)

    def _begin(self, instant_s: float) -> None:
        self.origin_s = instant_s
        begin_s = self.survey.picture.start_s if self.survey.begin_s is None else self.survey.begin_s
        self.facts.unread_start_s = max(0.0, instant_s - begin_s)
        if self.facts.unread_start_s:
            self.facts.damaged_packets = self.facts.flagged_packets = 0  # they are that start
        announced = announced_end(self.container, self.stream, self._sound_stream)
        self.facts.announced_s = None if announced is None or self.survey.until_s < math.inf else announced - instant_s
