"""A clock that never jumps: packets of files that were put together or cut get time stamps that go on where the last ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BACKWARD_S = 0.1  # decoding order goes back by less
FORWARD_S = 10.0  # a longer pause is a jump of the clock; shorter ones are pauses


@dataclass
class _Running:
    """One track's clock: what is added to its time stamps, and when its next packet is expected."""

    added_s: float
    next_s: float | None = None
    step_s: float = 0.0


class Clock:
    """Moves packets in time, so that a clock that restarts or jumps goes on evenly.

    Only containers that allow such jumps (transport and program streams, ogg) are touched, by the rule of ffmpeg's own
    program: a decoding time more than BACKWARD_S behind the last one's end, or more than FORWARD_S past it, is a jump. The
    tracks of a file jump together, so what the first one finds is taken over by the others, each when its own stamps jump.
    """

    def __init__(self, jumps_allowed: bool):
        self.jumps_allowed = jumps_allowed
        self.restarts = 0
        self._newest_s = 0.0
        self._tracks: dict[int, _Running] = {}

    def place(self, packet: Any) -> None:
        """Move one packet, the next of the file, to its instant."""
        if not self.jumps_allowed or packet.time_base is None:
            return
        track = self._tracks.setdefault(packet.stream.index, _Running(self._newest_s))
        tick_s = float(packet.time_base)
        if packet.dts is not None and packet.size:
            self._follow(track, packet.dts * tick_s, (packet.duration or 0) * tick_s)
        ticks = round(track.added_s / tick_s)
        if ticks:
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks

    def _follow(self, track: _Running, stamp_s: float, lasts_s: float) -> None:
        if track.next_s is not None:
            ours, newest = (stamp_s + added - track.next_s for added in (track.added_s, self._newest_s))
            if abs(newest) <= abs(ours):
                track.added_s, ours = self._newest_s, newest
            if not -BACKWARD_S <= ours <= FORWARD_S:
                track.added_s = self._newest_s = track.next_s - stamp_s
                self.restarts += 1
        instant_s = stamp_s + track.added_s
        if track.next_s is not None and not lasts_s:
            track.step_s = min(max(instant_s - track.next_s + track.step_s, 0.0), 1.0)
        track.next_s = instant_s + (lasts_s or track.step_s)
