"""Mode "preview": the clip that was read as H.264 and AAC in mp4, as every browser plays it."""

from __future__ import annotations

import os
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import av

from .messages import Sink
from .pictures import Orientation, Scaler, filtered, scaled_size
from .reader import Reader, Shown
from .sound import Block, Sound
from .survey import shown_until, survey

RATE_HZ = 48_000
CLOCK = Fraction(1, 90_000)
SHORTEST = 1  # tick between two pictures
PICTURES_HZ = 30  # nominally; each has its own instant
LASTS = round(1 / (PICTURES_HZ * CLOCK))  # ticks that the encoder says a picture lasts


def write_preview(job: dict, sink: Sink) -> None:
    """Encode the clip, or its chosen part, into the descriptor `target`, then TAIL."""
    surveyed = survey(job)
    sound = Sound(surveyed.facts, surveyed.sound, RATE_HZ, "stereo") if surveyed.sound else None
    reader = Reader(surveyed, sound)
    with os.fdopen(job["target"], "wb", closefd=False) as target:
        output = av.open(target, "w", format="mp4")
        copy = _Copy(output, reader, job)
        for part in reader:
            if isinstance(part, Shown):
                copy.add_picture(part)
            else:
                copy.add_sound(part)
        copy.finish()
        output.close()
    sink.send_json(b"TAIL", asdict(reader.facts))


class _Copy:
    """The mp4 that is being written."""

    def __init__(self, output: Any, reader: Reader, job: dict):
        self.output, self.reader, self.job = output, reader, job
        self._sound = output.add_stream("aac", rate=RATE_HZ, layout="stereo") if reader.sound is not None else None
        self._picture: Any = None
        self._last: tuple[Any, int] | None = None  # the frame last encoded and its tick

    def add_picture(self, picture: Shown) -> None:
        if self._picture is None:
            self._begin(picture.frame)
        frame = filtered(self._scaler.yuv(picture.frame), self._orientation.filters)
        tick = round(picture.start_s / CLOCK)
        if self._last is not None:
            tick = max(tick, self._last[1] + SHORTEST)
        self._last = frame, tick
        self._encode(frame, tick)

    def add_sound(self, block: Block) -> None:
        frame = av.AudioFrame(format="flt", layout="stereo", samples=len(block.samples) // 2)
        plane = frame.planes[0]
        plane.update(bytes(block.samples).ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.time_base, frame.pts = RATE_HZ, Fraction(1, RATE_HZ), block.start
        self.output.mux(self._sound.encode(frame))

    def finish(self) -> None:
        """Write the rest; the last picture is repeated at its end, so that it stays for as long as it was shown."""
        facts, (frame, tick) = self.reader.facts, self._last
        end = round(shown_until(facts.picture_s, facts.sound_s) / CLOCK) - LASTS
        if end > tick + SHORTEST:
            self._encode(frame, end)
        for stream in (self._picture, self._sound):
            if stream is not None:
                self.output.mux(stream.encode(None))

    def _encode(self, frame: Any, tick: int) -> None:
        frame.time_base, frame.pts, frame.pict_type = CLOCK, tick, 0
        self.output.mux(self._picture.encode(frame))

    def _begin(self, frame: Any) -> None:
        self._orientation = Orientation.of(frame)
        width, height = scaled_size(frame.width, frame.height, self.reader.aspect, self.job["pixels"])
        width, height = max(2, width // 2 * 2), max(2, height // 2 * 2)  # H.264 4:2:0 is even
        self._scaler = Scaler((width, height))
        preset, crf = ("superfast", "29") if self.job["small"] else ("ultrafast", "23")
        out = self.output.add_stream("libx264", rate=PICTURES_HZ, options={"preset": preset, "crf": crf})
        out.width, out.height = (height, width) if self._orientation.turns % 2 else (width, height)
        out.pix_fmt = "yuv420p"
        out.codec_context.time_base = CLOCK
        out.codec_context.gop_size = 60  # so that seeking is quick
        self._picture = out
