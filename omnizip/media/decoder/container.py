"""Opening a file under ffmpeg's own limits, its packets, and their frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

import av

from .clock import Clock
from .messages import Facts, Unreadable

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,flv,asf,ogg,ivf,mp3,wav,flac,aac"
READ_ERRORS = 50  # in a row, after which the rest of the file is given up


def open_container(fd: int) -> Any:
    """Open the descriptor from its beginning, allowing ffmpeg nothing but reading it."""
    os.lseek(fd, 0, os.SEEK_SET)
    options = {"fd": str(fd), "protocol_whitelist": "fd", "format_whitelist": CONTAINERS}
    try:
        return av.open("fd:", options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError):
        raise Unreadable(_reason(fd)) from None


def _reason(fd: int) -> str:
    """Why a file cannot be opened: an mp4 (ISO 14496-12) says by its boxes whether its index is there."""
    at, seen = 0, []
    while len(seen) < 1000 and len(head := os.pread(fd, 16, at)) >= 8:
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        seen.append(kind)
        if length < 8:
            break
        at += length
    if seen[:1] != [b"ftyp"]:
        return "not a video"
    return "damaged index" if b"moov" in seen else "no index"


def clock_of(container: Any) -> Clock:
    """The clock for one reading of `container` from its beginning."""
    return Clock(jumps_allowed=bool(container.format.flags & av.format.Flags.ts_discont.value))


def moving(container: Any) -> list:
    """The video streams that are not a cover picture."""
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def packets(container: Any, streams: list, facts: Facts | None = None, clock: Clock | None = None) -> Iterator[Any]:
    """Packets of `streams` as long as any can be read, damaged stretches skipped, each at its instant on `clock`."""
    errors = 0
    clock = clock or clock_of(container)
    while errors < READ_ERRORS:
        try:
            for packet in container.demux(streams):
                if facts is not None:
                    facts.damaged_packets += errors  # those at the very end are an early end, not damage
                errors = 0
                clock.place(packet)
                yield packet
            return
        except LookupError:  # a packet of a track that turned up in the middle
            if facts is not None:
                facts.late_tracks += 1
        except (av.error.FFmpegError, OSError):
            # ffmpeg's own "no memory" here is a damaged packet's absurd size
            errors += 1


def decoded(packet: Any, facts: Facts, is_picture: bool) -> list:
    """The packet's frames; none where it is damaged beyond decoding."""
    try:
        frames = packet.decode()
    except (MemoryError, av.error.BlockingIOError):  # BlockingIOError: no thread could be started within the limit
        raise MemoryError from None
    except (av.error.FFmpegError, OSError, ValueError):
        frames = None
    if frames is None or packet.is_corrupt:
        lost = int(packet.size > 0)  # a packet without bytes only flushes the decoder
        facts.damaged_packets += lost * is_picture
        facts.damaged_sound_packets += lost * (not is_picture)
        facts.flagged_packets += lost * is_picture * bool(frames)
    return frames or []
