"""A file -> raw frames and waveform on standard output. A separate program: `python -I decoder_main.py JOB`.

Files from strangers are decoded by C code that may crash, hang or eat memory; here that ends this process and nothing
else. It imports nothing but av and the standard library (numpy alone would add a third to its start). JOB is one JSON object:

    {"mode": "frames" | "preview", "source": fd, "packages": folder of av, "cpu_s": s, "memory_bytes": n,
     "fps": hz, "max_frames": n, "pixels": n, "max_clip_s": s, "target": fd of the preview}

Files come as open descriptors and ffmpeg may use no protocol but `fd`, no container but those of CONTAINERS: a playlist
that names other files or the network opens nothing. The answer is a sequence of messages, each a tag of 4 bytes, the
payload's length as 8 bytes little-endian, and the payload:

    HEAD  JSON {frames, height, width, row_bytes, turns, fps}: at most `frames` pictures follow, sampled at `fps`; `turns` of
          90 degrees counterclockwise bring them upright
    FRAM  float64 seconds since the first picture, then `height` rows of `row_bytes`, whose first 3 * width are RGB
    SOUN  float32 samples, 16 kHz mono; the first belongs to the instant of the first picture
    TAIL  JSON facts (see `Facts`): everything was read
    FAIL  JSON {kind, ...}: nothing can be had; media.py has the sentence for each kind

Everything goes by timestamps, never by index. A first pass reads packets without decoding, which costs milliseconds and
tells the true length (headers lie, cut files end early), so the sampling instants are known before the first picture is
decoded, a handful of pictures is held at a time, and only those that are kept are converted.
"""

from __future__ import annotations

import json
import math
import os
import queue
import resource
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

_JOB = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
if _JOB.get("packages"):  # -I hides the user's own site-packages, where av may live
    sys.path.append(_JOB["packages"])

import av  # noqa: E402
from av.video.reformatter import VideoReformatter  # noqa: E402

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,flv,asf,ogg,ivf,mp3,wav,flac,aac"
SAMPLE_RATE_HZ = 16_000
CONTAINER_ROUNDING_S = 0.0005  # matroska stores whole milliseconds
GAP_S = 0.05  # sound that strays further than this from its timestamps is put back in place
ALIGNED = 16  # a width of whole vectors
QUEUED = 4  # pictures waiting to be scaled
STRAY_S = 10.0  # no codec reorders pictures over such a span: the timestamp is damaged
READ_ERRORS = 50  # in a row, after which the rest of the file is given up
HDR_TRANSFERS = (16, 18)  # PQ and HLG, ITU-T H.273
PREVIEW_CLOCK = Fraction(1, 90_000)


class Unreadable(Exception):
    """Nothing can be had from the file. `kind` and the keyword facts become a FAIL message."""

    def __init__(self, kind: str, **facts: Any):
        super().__init__(kind)
        self.report = {"kind": kind, **facts}


@dataclass
class Facts:
    """What was found and what was lost on the way; seconds, counts, names."""

    width: int = 0  # of the upright picture as players show it
    height: int = 0
    container: str = ""
    brand: str = ""  # "qt" for QuickTime, "webm" for WebM
    video_codec: str = ""
    pixel_format: str = ""
    audio_codec: str | None = None  # None: no sound track
    picture_s: float = 0.0  # from the first picture to the end of the last
    sound_s: float = 0.0  # from the first picture to the last sample
    announced_s: float | None = None  # what the file's header says
    pictures: int = 0
    damaged_pictures: int = 0  # decoded, but patched up by the decoder
    damaged_packets: int = 0
    damaged_sound_packets: int = 0
    early_sound_s: float = 0.0  # cut, since it comes before the first picture
    late_sound_s: float = 0.0  # silence put before the first sample
    sound_gaps_s: float = 0.0  # silence put between samples
    size_changes: bool = False
    hdr: bool = False
    sound_tracks: int = 0
    picture_tracks: int = 0


@dataclass
class Track:
    """What a stream's packets say: instants in seconds on the container's own clock."""

    start_s: float = 0.0
    end_s: float = 0.0
    packets: int = 0
    step_s: float = 0.04  # usual distance of two packets, for those that do not say how long they last


class Sink:
    """Writes messages to a file descriptor, whole ones, whichever thread they come from."""

    def __init__(self, fd: int):
        self.fd = fd
        self._lock = threading.Lock()

    def send(self, tag: bytes, *parts: Any) -> None:
        views = [memoryview(part).cast("B") for part in parts]
        with self._lock:
            for view in (memoryview(tag + struct.pack("<Q", sum(v.nbytes for v in views))), *views):
                while view.nbytes:
                    view = view[os.write(self.fd, view) :]

    def send_json(self, tag: bytes, content: dict) -> None:
        self.send(tag, json.dumps(content).encode())


# ---- opening and surveying


def open_container(fd: int) -> Any:
    """Open the descriptor from its beginning, allowing ffmpeg nothing but reading it."""
    os.lseek(fd, 0, os.SEEK_SET)
    options = {"fd": str(fd), "protocol_whitelist": "fd", "format_whitelist": CONTAINERS}
    try:
        return av.open("fd:", options=options, metadata_errors="replace")
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError):
        raise Unreadable("no index" if os.pread(fd, 8, 0)[4:] == b"ftyp" else "not a video") from None


def choose(container: Any) -> tuple[Any, Any | None]:
    """The picture stream and the sound stream (None without one) a player would choose."""
    pictures = _moving(container)
    if not pictures:
        raise Unreadable("sound only" if container.streams.audio else "no picture")
    best = container.streams.best("video")
    picture = best if best in pictures else pictures[0]
    sound = container.streams.best("audio", related=picture) if container.streams.audio else None
    if picture.codec_context is None:
        raise Unreadable("unknown codec")
    for stream in (picture, sound):
        if stream is not None and stream.codec_context is not None:
            stream.thread_type = "AUTO"
    return picture, sound if sound is not None and sound.codec_context is not None else None


def _moving(container: Any) -> list:
    """The video streams that are not a cover picture."""
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def packets(container: Any, streams: list, facts: Facts | None = None) -> Iterator[Any]:
    """Packets of `streams` as long as any can be read, damaged stretches skipped."""
    errors = 0
    while errors < READ_ERRORS:
        try:
            for packet in container.demux(streams):
                if facts is not None:
                    facts.damaged_packets += errors  # those at the very end are an early end, not damage
                errors = 0
                yield packet
            return
        except (av.error.FFmpegError, OSError, LookupError):
            # LookupError: a track that turned up in the middle. ffmpeg's own "no memory" here is a damaged packet's absurd size.
            errors += 1


def survey(fd: int) -> tuple[Track, Track | None]:
    """First pass: when each track begins and ends, from every packet that is really there. Decodes nothing."""
    with open_container(fd) as container:
        streams = [stream for stream in choose(container) if stream is not None]
        seen: dict[int, list[tuple[int, int]]] = {stream.index: [] for stream in streams}
        for packet in packets(container, streams):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and packet.size and not packet.is_discard:
                seen[packet.stream.index].append((stamp, packet.duration or 0))
        tracks = [_track(seen[stream.index], float(stream.time_base)) for stream in streams]
    return tracks[0], tracks[1] if len(tracks) > 1 else None


def _track(spans: list[tuple[int, int]], tick_s: float) -> Track:
    """spans: start and duration of each packet, in ticks, as the file orders them."""
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


# ---- pictures


class Pictures:
    """Shows at each sampling instant the picture of that instant. A thread scales and sends them while the next are decoded;
    it is at most QUEUED pictures behind, so that few are held."""

    def __init__(self, sink: Sink, facts: Facts, stream: Any, track: Track, job: dict):
        self.sink, self.facts, self.stream, self.job = sink, facts, stream, job
        self.track = track
        length = max(track.end_s - track.start_s, track.step_s)
        self.fps = min(job["fps"], job["max_frames"] / length)
        self.planned = max(1, min(job["max_frames"], math.ceil(length * self.fps - 1e-6)))
        self.origin: float | None = None  # instant of the first picture
        self.end = 0.0  # seconds since the first picture
        self.due = 0  # sampling instants that have passed
        self._shown: Any = None
        self._shown_s = 0.0
        self._scaler, self._converter = VideoReformatter(), VideoReformatter()  # each remembers its tables
        self._queue: queue.Queue = queue.Queue(QUEUED)
        self._failure: BaseException | None = None
        self._sender = threading.Thread(target=self._send_queued, daemon=True)
        self._sender.start()

    def add(self, frame: Any) -> None:
        """Take the next decoded frame; a picture whose instants have passed is sent."""
        if self._failure is not None:
            raise self._failure
        instant = frame.time
        if instant is None:  # raw streams carry no clock
            instant = self.track.start_s + self.facts.pictures * self.track.step_s
        self.facts.pictures += 1
        self.facts.damaged_pictures += bool(frame.is_corrupt)
        if self.origin is None:
            self._begin(frame, instant)
        since = instant - self.origin
        if self._shown is not None and (since <= self._shown_s or instant > self.track.end_s + STRAY_S):
            return
        self._show_until(since - CONTAINER_ROUNDING_S)
        self._shown, self._shown_s = frame, since
        lasts = float((frame.duration or 0) * frame.time_base) if frame.time_base else 0.0
        self.end = since + (lasts or self.track.step_s)

    def finish(self) -> None:
        """Send what is still to be shown of the last picture."""
        if self._shown is None:
            raise Unreadable("no picture")
        self._show_until(max(self.end - CONTAINER_ROUNDING_S, 1e-9))
        self._queue.put(None)
        self._sender.join()
        if self._failure is not None:
            raise self._failure
        self.facts.picture_s = self.end

    def _begin(self, frame: Any, instant: float) -> None:
        self.origin = instant
        turns = round((frame.rotation or 0) / 90) % 4
        aspect = float(self.stream.sample_aspect_ratio or 1) or 1.0
        self.size = scaled_size(frame.width, frame.height, aspect, self.job["pixels"])
        shown = (round(frame.width * aspect), frame.height)
        self.facts.width, self.facts.height = shown[::-1] if turns % 2 else shown
        self.source_size = (frame.width, frame.height)
        plane = self._scaled(frame).planes[0]
        head = {"frames": self.planned, "height": plane.height, "width": plane.width, "row_bytes": plane.line_size}
        self.sink.send_json(b"HEAD", head | {"turns": turns, "fps": self.fps})

    def _show_until(self, until_s: float) -> None:
        times = 0
        while self.due < self.planned and self.due / self.fps < until_s:
            self.due += 1
            times += 1
        if times:
            self.facts.size_changes |= (self._shown.width, self._shown.height) != self.source_size
            self.facts.hdr |= int(self._shown.color_trc or 0) in HDR_TRANSFERS
            self._queue.put((self._shown, self._shown_s, times))

    def _send_queued(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # keep emptying the queue, or the decoding thread would wait for ever
            frame, shown_s, times = item
            try:
                plane = self._scaled(frame).planes[0]
                for _ in range(times):
                    self.sink.send(b"FRAM", struct.pack("<d", shown_s), plane)
            except BaseException as failure:  # raised again where the decoding thread sees it
                self._failure = failure

    def _scaled(self, frame: Any) -> Any:
        """`frame` at self.size in RGB. Scaling within 4:2:0 and converting afterwards is three times as fast as both in one
        go. One thread, since the others are busy decoding; AREA averages all source pixels, so nothing aliases."""
        how = {"src_color_range": frame.color_range, "threads": 1, "interpolation": "AREA"}
        if frame.format.name == "yuv420p" and (frame.width, frame.height) != self.size and self.size[0] % ALIGNED == 0:
            frame = self._scaler.reformat(frame, *self.size, dst_color_range=frame.color_range, **how)
        return self._converter.reformat(frame, *self.size, "rgb24", **how)


def scaled_size(width: int, height: int, aspect: float, pixels: int) -> tuple[int, int]:
    """Width and height of at most `pixels` in the shape players show. No axis is ever enlarged: where pixels are not square
    (`aspect` is width by height of one), the other axis shrinks. A size that shrinks is one that scales quickly."""
    shown_w, shown_h = (float(width), height / aspect) if aspect > 1 else (width * aspect, float(height))
    scale = min(1.0, math.sqrt(pixels / (shown_w * shown_h)))
    fitted_w, fitted_h = shown_w * scale, shown_h * scale
    if scale < 1 and fitted_w >= 10 * ALIGNED:
        fitted_w -= fitted_w % ALIGNED
        fitted_h = round(fitted_w * shown_h / shown_w / 2) * 2
    whole_w = max(1, min(width, round(fitted_w), pixels))
    return whole_w, max(1, min(height, round(fitted_h), pixels // whole_w))


# ---- sound


class Sound:
    """Resamples to 16 kHz mono and puts every sample at its instant, first picture = 0."""

    def __init__(self, sink: Sink, facts: Facts, track: Track):
        self.sink, self.facts, self.track = sink, facts, track
        self.origin: float | None = None
        self.written = 0  # samples sent
        self._waiting: list[tuple[float, memoryview]] = []  # until the first picture is known
        self._ready: list[memoryview] = []  # placed, not yet sent
        self._ready_samples = 0
        self._resampler: Any = None
        self._segment_s = 0.0  # where the stretch without gaps began
        self._fed_s = 0.0
        self._made = 0  # samples of this stretch
        self._format: Any = None

    def add(self, frame: Any) -> None:
        instant = self._segment_s + self._fed_s if frame.time is None else frame.time
        if instant > self.track.end_s + STRAY_S:
            return
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._format or abs(instant - self._segment_s - self._fed_s) > GAP_S:
            self._flush()
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
            self._format, self._segment_s, self._fed_s, self._made = shape, instant, 0.0, 0
        self._fed_s += frame.samples / frame.sample_rate
        self._take(self._resampler.resample(frame))

    def begin(self, origin: float) -> None:
        """The first picture is known: send what was waiting."""
        self.origin = origin
        for instant, samples in self._waiting:
            self._place(instant, samples)
        self._waiting.clear()

    def finish(self) -> None:
        self._flush()
        self._send()
        self.facts.sound_s = self.written / SAMPLE_RATE_HZ

    def _flush(self) -> None:
        if self._resampler is not None and self._fed_s:
            self._take(self._resampler.resample(None))
        self._resampler = None

    def _take(self, frames: list) -> None:
        for frame in frames:
            samples = memoryview(bytes(frame.planes[0])[: frame.samples * 4]).cast("f")  # a plane is padded
            instant = self._segment_s + self._made / SAMPLE_RATE_HZ
            self._made += len(samples)
            if self.origin is None:
                self._waiting.append((instant, samples))
            else:
                self._place(instant, samples)

    def _place(self, instant: float, samples: memoryview) -> None:
        start = round((instant - self.origin) * SAMPLE_RATE_HZ)
        missing = start - self.written
        if missing > 0:
            if self.written == 0:
                self.facts.late_sound_s = missing / SAMPLE_RATE_HZ
            else:
                self.facts.sound_gaps_s += missing / SAMPLE_RATE_HZ
            self._write(memoryview(bytes(missing * 4)).cast("f"))
        elif missing < 0:
            if self.written == 0:
                self.facts.early_sound_s += min(-missing, len(samples)) / SAMPLE_RATE_HZ
            samples = samples[-missing:]
        if len(samples):
            self._write(samples)

    def _write(self, samples: memoryview) -> None:
        self.written += len(samples)
        self._ready.append(samples)
        self._ready_samples += len(samples)
        if self._ready_samples >= SAMPLE_RATE_HZ:  # a message a second
            self._send()

    def _send(self) -> None:
        if self._ready_samples:
            self.sink.send(b"SOUN", *self._ready)
        self._ready, self._ready_samples = [], 0


# ---- the two modes


def send_frames(job: dict, sink: Sink) -> None:
    """Mode "frames": HEAD, then FRAM and SOUN as they are decoded, then TAIL."""
    picture_track, sound_track = survey(job["source"])
    length = max(picture_track.end_s, sound_track.end_s if sound_track and sound_track.packets else 0) - picture_track.start_s
    if length > job["max_clip_s"] + 0.05:
        raise Unreadable("too long", seconds=length)
    facts = Facts()
    with open_container(job["source"]) as container:
        stream, sound_stream = choose(container)
        _describe(container, stream, sound_stream, facts, job["source"])
        announced = _announced_end(container, stream, sound_stream)
        facts.announced_s = announced - picture_track.start_s if announced is not None else None
        pictures = Pictures(sink, facts, stream, picture_track, job)
        sound = Sound(sink, facts, sound_track) if sound_stream is not None else None
        for packet in packets(container, [s for s in (stream, sound_stream) if s is not None], facts):
            is_picture = packet.stream.index == stream.index  # a flushing packet's own stream_index is unset
            for frame in decoded(packet, facts, is_picture):
                if is_picture:
                    pictures.add(frame)
                    if sound is not None and sound.origin is None:
                        sound.begin(pictures.origin)
                else:
                    sound.add(frame)
        pictures.finish()
        if sound is not None:
            sound.finish()
    sink.send_json(b"TAIL", asdict(facts))


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
    return frames or []


def _describe(container: Any, picture: Any, sound: Any | None, facts: Facts, fd: int) -> None:
    facts.container = container.format.name
    start = os.pread(fd, 64, 0)
    facts.brand = "qt" if start[4:12] == b"ftypqt  " or start[4:8] != b"ftyp" else "mp4"
    if b"webm" in start:
        facts.brand = "webm"
    facts.video_codec = picture.codec_context.codec.canonical_name
    facts.pixel_format = picture.codec_context.pix_fmt or ""
    facts.audio_codec = sound.codec_context.codec.canonical_name if sound is not None else None
    facts.sound_tracks, facts.picture_tracks = len(container.streams.audio), len(_moving(container))


def _announced_end(container: Any, *streams: Any) -> float | None:
    """The instant at which the headers say the tracks end; None where they say nothing."""
    ends = [float(((s.start_time or 0) + s.duration) * s.time_base) for s in streams if s is not None and s.duration]
    if not ends and container.duration:
        ends = [((container.start_time or 0) + container.duration) / av.time_base]
    return max(ends, default=None)


def write_preview(job: dict, sink: Sink) -> None:
    """Mode "preview": the whole clip as H.264 and AAC in mp4, as every browser plays it, into the descriptor `target`."""
    track, _ = survey(job["source"])
    with open_container(job["source"]) as container, os.fdopen(job["target"], "wb", closefd=False) as target:
        stream, sound = choose(container)
        output = av.open(target, "w", format="mp4")
        facts, picture_out, waiting = Facts(), None, []
        sound_out = output.add_stream("aac", rate=48_000, layout="stereo") if sound is not None else None
        for packet in packets(container, [s for s in (stream, sound) if s is not None], facts):
            for frame in decoded(packet, facts, packet.stream.index == stream.index):
                instant = -1.0 if frame.time is None else frame.time - track.start_s
                if instant < 0:
                    continue
                if packet.stream.index != stream.index:
                    frame.time_base, frame.pts = Fraction(1, frame.sample_rate), round(instant * frame.sample_rate)
                    waiting.append((sound_out, frame))
                else:
                    picture_out = picture_out or _preview_stream(output, stream, frame, job)
                    size = (picture_out.width, picture_out.height)
                    frame = frame.reformat(*size, "yuv420p", src_color_range=frame.color_range, dst_color_range="MPEG")
                    frame.time_base, frame.pts, frame.pict_type = PREVIEW_CLOCK, round(instant / PREVIEW_CLOCK), 0
                    waiting.append((picture_out, frame))
                while picture_out is not None and waiting:  # the header needs the first picture's rotation
                    out, ready = waiting.pop(0)
                    output.mux(out.encode(ready))
        if picture_out is None:
            raise Unreadable("no picture")
        for out in (picture_out, sound_out):
            if out is not None:
                output.mux(out.encode(None))
        output.close()
    sink.send_json(b"TAIL", asdict(facts))


def _preview_stream(output: Any, stream: Any, frame: Any, job: dict) -> Any:
    width, height = scaled_size(frame.width, frame.height, float(stream.sample_aspect_ratio or 1) or 1.0, job["pixels"])
    preset, crf = ("superfast", "29") if job["small"] else ("ultrafast", "23")
    out = output.add_stream("libx264", rate=30, options={"preset": preset, "crf": crf})
    out.width, out.height, out.pix_fmt = max(2, width // 2 * 2), max(2, height // 2 * 2), "yuv420p"  # H.264 4:2:0 is even
    out.codec_context.time_base = PREVIEW_CLOCK
    out.codec_context.gop_size = 60  # so that seeking is quick
    if frame.rotation:
        out.set_display_rotation(frame.rotation)
    return out


# ---- the program


def limit_resources(job: dict) -> None:
    """Memory, processor time and files written are limited before the file is touched; no core dump."""
    for which, value in (
        (resource.RLIMIT_AS, job["memory_bytes"]),
        (resource.RLIMIT_CPU, math.ceil(job["cpu_s"])),
        (resource.RLIMIT_FSIZE, job.get("target_bytes", 0)),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (wanted, wanted))


def main(job: dict) -> int:
    """Run one job; its answer is what was sent."""
    sink = Sink(os.dup(1))
    os.dup2(2, 1)  # what a library prints must not end up between the messages
    failure = None
    try:
        limit_resources(job)
        {"frames": send_frames, "preview": write_preview}[job["mode"]](job, sink)
    except Unreadable as unreadable:
        failure = unreadable.report
    except MemoryError:
        failure = {"kind": "memory"}
    except BrokenPipeError:
        return 1  # nobody listens any more
    except Exception as error:  # the sentence is media.py's; the name is for whoever reports a bug
        failure = {"kind": "broken", "error": type(error).__name__}
    if failure is not None:
        sink.send_json(b"FAIL", failure)
    return int(failure is not None)


if __name__ == "__main__":
    sys.exit(main(_JOB))
