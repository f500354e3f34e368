"""First pass: which tracks are read, and when each begins and ends, from every packet that is really there."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import av

from .container import clock_of, decoded, moving, open_container, packets
from .messages import Facts, Unreadable

TITLES = 8  # of tracks, told where another was asked for
MAX_CHANNELS = 16  # third-order ambisonics; what has more is no recording of a scene
STRAY_S = 10.0  # no codec reorders pictures over such a span: the timestamp is damaged
PADDING_S = 0.15  # by which encoders let sound outlast the picture: a frame of AAC at 8 kHz
ENTRY_MARGIN_S = 0.5  # before the chosen start: some decoders need a little to come to whole pictures
TRIAL_PACKETS = 64  # of each track, to see whether any of it can be decoded


@dataclass(frozen=True)
class Track:
    """What a stream's packets say: instants in seconds on the file's clock."""

    start_s: float = 0.0
    end_s: float = 0.0
    packets: int = 0
    step_s: float = 0.04  # usual distance of two packets, for those that do not say how long they last


@dataclass(frozen=True)
class Survey:
    """The tracks that are read, by their index in the file, and how long they are. `facts` holds what is known so far."""

    fd: int
    picture_index: int
    sound_index: int | None
    picture: Track
    sound: Track | None
    facts: Facts = field(default_factory=Facts)
    begin_s: float | None = None  # of the chosen part, on the file's clock; None for the first picture
    until_s: float = math.inf
    entry_s: float = -math.inf  # the picture's decoding begins at the key picture of this instant

    @property
    def end_s(self) -> float:
        """When the last of the tracks, or the chosen part, ends, on the file's clock."""
        end_s = shown_until(self.picture.end_s, self.sound.end_s if self.sound and self.sound.packets else 0.0)
        return min(end_s, self.until_s)

    def open(self) -> tuple[Any, Any, Any | None]:
        """The container anew, its picture stream and its sound stream."""
        container = open_container(self.fd)
        picture = container.streams[self.picture_index]
        sound = None if self.sound_index is None else container.streams[self.sound_index]
        for stream in (picture, sound):
            if stream is not None:
                stream.thread_type = "AUTO"
        return container, picture, sound


def shown_until(picture_s: float, sound_s: float) -> float:
    """When the last picture leaves the screen: it stays while there is sound, though not for an encoder's padding."""
    return sound_s if sound_s > picture_s + PADDING_S else picture_s


def survey(job: dict) -> Survey:
    """Read all packets of the job's source once. Raises Unreadable where there is no picture to decode, or not what was chosen."""
    facts, fd = Facts(), job["source"]
    with open_container(fd) as container:
        picture, sound = _choose(container, fd, facts, job.get("audio_track", "main"))
        _describe(container, picture, sound, facts, fd)
        streams = [stream for stream in (picture, sound) if stream is not None]
        seen: dict[int, list[tuple[int, int]]] = {stream.index: [] for stream in streams}
        clock, entries = clock_of(container), []
        for packet in packets(container, streams, clock=clock):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.size and not packet.is_discard:
                seen[packet.stream.index].append((stamp, packet.duration or 0))
                if packet.is_keyframe and packet.stream.index == picture.index:
                    entries.append(picture_stamp(container, packet) * float(packet.time_base))
        facts.restarts = clock.restarts
        tracks = [track_of(seen[stream.index], float(stream.time_base)) for stream in streams]
        whole = Survey(fd, picture.index, sound.index if sound else None, tracks[0], tracks[1] if sound else None, facts)
        origin_s = min(entries) if has_decoding_times(container) and entries else whole.picture.start_s
        return _part(whole, origin_s, job.get("start_s", 0.0), job.get("end_s", 0.0), entries)


def has_decoding_times(container: Any) -> bool:
    """Whether pictures go by decoding times: avi stores no others, and guesses go back and forth."""
    return container.format.name == "avi"


def picture_stamp(container: Any, packet: Any) -> int:
    """When the picture of a packet is shown, in ticks, by the times the reader goes by."""
    by_decoding = packet.dts is not None and (packet.pts is None or has_decoding_times(container))
    return packet.dts if by_decoding else packet.pts


def _part(whole: Survey, origin_s: float, start_s: float, end_s: float, entries: list[float]) -> Survey:
    """The survey of the part from `start_s` to `end_s`, seconds from the first picture, 0 for the file's own end."""
    length_s = whole.end_s - origin_s
    if start_s and start_s >= length_s:
        raise Unreadable("starts behind the end", seconds=length_s)
    if not start_s and not end_s:
        return whole
    begin_s = origin_s + start_s if start_s else None
    until_s = origin_s + end_s if end_s else math.inf
    before = [instant for instant in entries if begin_s is not None and instant <= begin_s - ENTRY_MARGIN_S]
    return replace(whole, begin_s=begin_s, until_s=until_s, entry_s=max(before, default=-math.inf))


def track_of(spans: list[tuple[int, int]], tick_s: float) -> Track:
    """The track whose packets start and last so many ticks each, in the file's order."""
    good, earliest = [], math.inf
    for start, duration in reversed(spans):  # a stamp far ahead of later ones is damage and does not count
        earliest = min(earliest, start)
        if (start - earliest) * tick_s <= STRAY_S:
            good.append((start, duration))
    if not good:
        return Track()
    starts = sorted(start for start, _ in good)
    step = median(b - a for a, b in pairwise(starts)) if len(starts) > 1 else 0
    end = max(start + (duration or step) for start, duration in good)
    return Track(starts[0] * tick_s, end * tick_s, len(good), max(step * tick_s, 0.001) if step else 0.04)


# ---- which tracks


def _choose(container: Any, fd: int, facts: Facts, audio_track: str) -> tuple[Any, Any | None]:
    """The picture stream and the sound stream (None without one) a player would choose among those that can be decoded.

    `audio_track` names another: a number, counted from 1, or "none".
    """
    pictures, sounds = moving(container), list(container.streams.audio)
    facts.picture_tracks, facts.sound_tracks = len(pictures), len(sounds)
    if not pictures:
        raise Unreadable("sound only" if sounds else "no picture")
    ordered = _preferred_first(pictures, container.streams.best("video"))
    picture, facts.skipped_picture_tracks = _first_decodable(ordered, fd)
    if picture is None:
        raise Unreadable("unknown codec")
    if audio_track == "none":
        return picture, None
    if audio_track != "main":
        if int(audio_track) > len(sounds):
            raise Unreadable("no such track", tracks=[title_of(sound) for sound in sounds[:TITLES]], count=len(sounds))
        sounds = [sounds[int(audio_track) - 1]]
    few = [s for s in sounds if s.codec_context is None or s.codec_context.channels <= MAX_CHANNELS]
    ordered = _preferred_first(few, container.streams.best("audio", related=picture) if sounds else None)
    sound, facts.skipped_sound_tracks = _first_decodable(ordered, fd)
    if sound is None and len(few) < len(sounds):
        facts.refused_channels = max(s.codec_context.channels for s in sounds if s.codec_context is not None)
    return picture, sound


def title_of(stream: Any) -> str:
    """What the file says of a track: language and title."""
    words = (stream.metadata.get("language", ""), stream.metadata.get("title", ""))
    return " ".join("".join(c for c in word if c.isprintable())[:40] for word in words if word and word != "und")


def _preferred_first(streams: list, best: Any | None) -> list:
    return sorted(streams, key=lambda stream: (stream is not best, stream.index)) if best in streams else streams


def _first_decodable(streams: list, fd: int) -> tuple[Any | None, int]:
    """The first stream of which something can be decoded, and how many before it were passed over.

    A track that is alone is taken if there is a decoder for it: what is wrong with it is seen when it is read.
    """
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        return None, 0
    yielding = _yielding(fd, [stream.index for stream in known]) if len(known) > 1 else {known[0].index}
    chosen = next((stream for stream in known if stream.index in yielding), known[0])
    return chosen, streams.index(chosen)


def _yielding(fd: int, indices: list[int]) -> set[int]:
    """Which of the streams yield a frame within their first packets."""
    tried, found = dict.fromkeys(indices, 0), set()
    with open_container(fd) as container:
        for packet in packets(container, [container.streams[index] for index in indices]):
            index = packet.stream.index
            if index in found or tried[index] >= TRIAL_PACKETS:
                if found | {i for i, count in tried.items() if count >= TRIAL_PACKETS} >= set(indices):
                    break
                continue
            tried[index] += 1
            if decoded(packet, Facts(), True):
                found.add(index)
    return found


# ---- what the headers say


def _describe(container: Any, picture: Any, sound: Any | None, facts: Facts, fd: int) -> None:
    facts.container = container.format.name
    start = os.pread(fd, 64, 0)
    facts.brand = "qt" if start[4:12] == b"ftypqt  " or start[4:8] != b"ftyp" else "mp4"
    if b"webm" in start:
        facts.brand = "webm"
    facts.video_codec = picture.codec_context.codec.canonical_name
    facts.unread_alpha = picture.metadata.get("alpha_mode") == "1"  # of VP8 and VP9 in WebM, whose decoders here read colours alone
    facts.pixel_format = picture.codec_context.pix_fmt or ""
    facts.audio_codec = sound.codec_context.codec.canonical_name if sound is not None else None


def announced_end(container: Any, *streams: Any) -> float | None:
    """The instant at which the headers say the tracks end; None where they say nothing, as in streams without an index."""
    if container.format.flags & av.format.Flags.ts_discont.value:
        return None  # ffmpeg estimates it from the last time stamps
    ends = [float(((s.start_time or 0) + s.duration) * s.time_base) for s in streams if s is not None and s.duration]
    if not ends and container.duration:
        ends = [((container.start_time or 0) + container.duration) / av.time_base]
    return max(ends, default=None)
