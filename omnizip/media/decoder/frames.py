"""Mode "frames": the pictures shown at even instants, upright in RGB, and all of the sound."""

from __future__ import annotations

import math
import queue
import struct
import threading
from dataclasses import asdict
from typing import Any

from .messages import Sink, Unreadable
from .pictures import Orientation, Scaler, scaled_size
from .reader import Reader, Shown
from .sound import Block, Sound
from .survey import shown_until, survey

SAMPLE_RATE_HZ = 16_000
CONTAINER_ROUNDING_S = 0.0005  # matroska stores whole milliseconds
DAMAGED_S = 7 * 24 * 3600  # no file within the limit of bytes lasts a week: its time stamps are damaged
QUEUED = 4  # pictures waiting to be scaled
HDR_TRANSFERS = (16, 18)  # PQ and HLG, ITU-T H.273


def send_frames(job: dict, sink: Sink) -> None:
    """HEAD, then FRAM and SOUN as they are decoded, then TAIL."""
    surveyed = survey(job)
    begin_s = surveyed.picture.start_s if surveyed.begin_s is None else surveyed.begin_s
    length_s = surveyed.end_s - begin_s
    if length_s > DAMAGED_S:
        raise Unreadable("damaged times")
    if length_s > job["max_clip_s"] + 0.05:
        raise Unreadable("too long", seconds=length_s)
    sound = Sound(surveyed.facts, surveyed.sound, SAMPLE_RATE_HZ) if surveyed.sound else None
    reader = Reader(surveyed, sound)
    sampler, sender = Sampler(sink, reader, job), SoundSender(sink)
    for part in reader:
        if isinstance(part, Shown):
            sampler.add(part)
        else:
            sender.add(part, sound.layout)
    sender.finish()
    sampler.finish()
    sink.send_json(b"TAIL", asdict(reader.facts))


class Sampler:
    """Sends for each sampling instant the picture of that instant. A thread scales and sends them while the next are decoded;
    it is at most QUEUED pictures behind, so that few are held."""

    def __init__(self, sink: Sink, reader: Reader, job: dict):
        self.sink, self.reader, self.facts, self.job = sink, reader, reader.facts, job
        self.fps, self.planned = 0.0, 0
        self.due = 0  # sampling instants that have passed
        self._last: Shown | None = None
        self._source_size = (0, 0)
        self._queue: queue.Queue = queue.Queue(QUEUED)
        self._failure: BaseException | None = None
        self._sender = threading.Thread(target=self._send_queued, daemon=True)
        self._sender.start()

    def add(self, picture: Shown) -> None:
        """Take the next picture; the one before is sent for the instants that have passed."""
        if self._failure is not None:
            raise self._failure
        if self._last is None:
            self._begin(picture.frame)
        else:
            self._show_until(picture.start_s)
        self._last = picture

    def finish(self) -> None:
        """Send the last picture for the instants until the end: it stays as long as there is sound."""
        self._show_until(shown_until(self.facts.picture_s, self.facts.sound_s))
        self._queue.put(None)
        self._sender.join()
        self.facts.alpha = self._scaler.composed
        if self._failure is not None:
            raise self._failure

    def _begin(self, frame: Any) -> None:
        length_s = self.reader.length_s
        self.fps = min(self.job["fps"], self.job["max_frames"] / length_s)
        self.planned = max(1, min(self.job["max_frames"], math.ceil(length_s * self.fps - 1e-6)))
        aspect, orientation = self.reader.aspect, Orientation.of(frame)
        self._scaler = Scaler(scaled_size(frame.width, frame.height, aspect, self.job["pixels"]))
        shown = (round(frame.width * aspect), frame.height)
        self.facts.width, self.facts.height = shown[::-1] if orientation.turns % 2 else shown
        self._source_size = (frame.width, frame.height)
        plane = self._scaler.rgb(frame).planes[0]
        head = {"frames": self.planned, "height": plane.height, "width": plane.width, "row_bytes": plane.line_size}
        head |= {"turns": orientation.turns, "mirrored": orientation.mirrored, "fps": self.fps}
        self.sink.send_json(b"HEAD", head)

    def _show_until(self, until_s: float) -> None:
        times = 0
        until_s = max(until_s - CONTAINER_ROUNDING_S, 1e-9)
        while self.due < self.planned and self.due / self.fps < until_s:
            self.due += 1
            times += 1
        if times:
            frame = self._last.frame
            self.facts.size_changes |= (frame.width, frame.height) != self._source_size
            self.facts.hdr |= int(frame.color_trc or 0) in HDR_TRANSFERS
            self._queue.put((frame, self._last.start_s, times))

    def _send_queued(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # keep emptying the queue, or the decoding thread would wait for ever
            frame, start_s, times = item
            try:
                plane = self._scaler.rgb(frame).planes[0]
                for _ in range(times):
                    self.sink.send(b"FRAM", struct.pack("<d", start_s), plane)
            except BaseException as failure:  # raised again where the decoding thread sees it
                self._failure = failure


class SoundSender:
    """Sends sound about a second at a time."""

    def __init__(self, sink: Sink):
        self.sink = sink
        self._ready: list[memoryview] = []
        self._begun = False

    def add(self, block: Block, layout: Any) -> None:
        if not self._begun:
            self._begun = True
            self.sink.send_json(b"CHAN", {"channels": [channel.name for channel in layout.channels]})
        self._ready.append(block.samples)
        if sum(map(len, self._ready)) >= SAMPLE_RATE_HZ * layout.nb_channels:
            self.finish()

    def finish(self) -> None:
        if self._ready:
            self.sink.send(b"SOUN", *self._ready)
        self._ready = []
