"""Mode "join": the pictures of one file and the sound of another, copied as they are into one that this program reads."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import av

from .clock import Clock
from .container import clock_of, open_container, packets
from .messages import Sink, Unreadable
from .survey import picture_stamp, survey

MOST_CHANNELS = 16


def write_joined(job: dict, sink: Sink) -> None:
    """Write the picture of `source` with the sound of `sound` into the descriptor `target`, both from their beginnings, then TAIL.

    Nothing is decoded: a copy is as good as its original. The same two files always make the same bytes.
    """
    surveyed = survey(job | {"audio_track": "none", "start_s": 0.0, "end_s": 0.0})
    with (
        open_container(job["source"]) as pictures,
        _opened_sound(job["sound"]) as sounds,
        os.fdopen(job["target"], "wb", closefd=False) as target,
        av.open(target, "w", format="matroska", container_options={"fflags": "+bitexact"}) as output,
    ):
        picture, sound = pictures.streams[surveyed.picture_index], sounds.streams.audio[0]
        try:
            copies = [output.add_stream_from_template(stream, opaque=True) for stream in (picture, sound)]
            output.start_encoding()
        except (av.error.FFmpegError, ValueError):  # matroska takes nearly every codec, but not that of gifs
            raise Unreadable("cannot be joined") from None
        shown = _timed(pictures, picture, copies[0], surveyed.picture.start_s)
        heard = _timed(sounds, sound, copies[1], None)
        for _, _, packet in heapq.merge(shown, heard):  # side by side, so that the muxer holds few
            output.mux(packet)
    sink.send_json(b"TAIL", asdict(surveyed.facts))


def _opened_sound(fd: int) -> Any:
    """The container of the sound. Raises Unreadable where there is none that can be read."""
    try:
        container = open_container(fd)
    except Unreadable:
        raise Unreadable("no sound to join") from None
    heard = list(container.streams.audio)
    if not heard or heard[0].codec_context is None or not 0 < heard[0].codec_context.channels <= MOST_CHANNELS:
        container.close()
        raise Unreadable("no sound to join")
    return container


def _timed(container: Any, stream: Any, copy: Any, origin_s: float | None) -> Iterator[tuple[float, int, Any]]:
    """The packets of a stream for its copy, each with its instant and an order among equals; `origin_s` None is the first instant."""
    clock: Clock = clock_of(container)
    last = None
    for packet in packets(container, [stream], clock=clock):
        if not packet.size or (packet.pts is None and packet.dts is None):
            continue
        stamp, tick_s = picture_stamp(container, packet), float(packet.time_base)
        origin_s = stamp * tick_s if origin_s is None else origin_s
        origin = round(origin_s / tick_s)
        decoding = (stamp if packet.dts is None else packet.dts) - origin
        if last is not None and decoding <= last:
            decoding = last + 1  # no container takes times that go back
        last = decoding
        packet.dts, packet.pts, packet.stream = decoding, max(stamp - origin, decoding), copy
        yield decoding * tick_s, copy.index, packet
