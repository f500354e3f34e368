"""Interlaced pictures made whole; progressive ones pass untouched."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

CLOCK = Fraction(1, 720_000)  # fine enough for any frame rate and for the halves between two fields


class Deinterlacer:
    """Passes pictures on as they are until the first interlaced one; from then on all go through ffmpeg's bwdif, which
    touches only the interlaced. A filter looks one picture ahead, so pictures come out one later."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._shape: tuple = ()

    def add(self, frame: Any, instant_s: float) -> Iterator[Any]:
        """Take one picture, which belongs to `instant_s`; yield those that are ready, their `time` on the file's clock."""
        lasts_s = float((frame.duration or 0) * frame.time_base) if frame.time_base else 0.0
        frame.time_base, frame.pts, frame.duration = CLOCK, round(instant_s / CLOCK), round(lasts_s / CLOCK)
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and shape != self._shape:
            yield from self.flush()
        if self._graph is None and frame.interlaced_frame:
            self._start(shape)
        if self._graph is None:
            yield frame
            return
        self._graph.vpush(frame)
        yield from self._pull()

    def flush(self) -> Iterator[Any]:
        """Yield what the filter still holds, and begin anew."""
        if self._graph is not None:
            graph = self._graph
            graph.vpush(None)
            yield from self._pull()
            self._graph = None

    def _start(self, shape: tuple) -> None:
        width, height, pixel_format = shape
        graph = av.filter.Graph()
        source = graph.add_buffer(width=width, height=height, format=pixel_format, time_base=CLOCK)
        filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        end = graph.add("buffersink")
        source.link_to(filtered)
        filtered.link_to(end)
        graph.configure()
        self._graph, self._shape = graph, shape

    def _pull(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
