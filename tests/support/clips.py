"""Files for tests, written with PyAV: clips that carry their own truth, and every kind of file that has to be survived.

Each picture shows its own time as a bar code and a red block in its top left corner; the sound beeps at known instants. So a
test can read off a decoded frame which instant it shows and which way up it is, without believing the decoder.

UNREADABLE and READABLE_WITH_DEFECTS map the name of a kind of file to a function (folder) -> path that makes one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

CLOCK = Fraction(1, 90_000)
BITS = 16
TICKS_PER_S = 100  # the bar code counts hundredths of a second, up to 655 s
BEEP_S = 0.1
ENCODERS = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "8", "crf": "20"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"},
}


def picture(size: tuple[int, int], time_s: float) -> np.ndarray:
    """(H, W, 3) RGB: moving stripes above, a red block at the top left, the time as a bar code below."""
    width, height = size
    stripes = ((np.arange(width) + 40 * time_s) % 64 + 60).astype(np.uint8)
    bars = round(time_s * TICKS_PER_S) >> (BITS - 1 - np.arange(width) * BITS // width) & 1
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2] = stripes.repeat(3).reshape(width, 3)
    image[height // 2 :] = np.where(bars, 235, 16).astype(np.uint8).repeat(3).reshape(width, 3)
    image[: height // 4, : width // 4] = (230, 20, 20)
    return image


def time_shown(frame: np.ndarray) -> float:
    """Seconds that the bar code of a decoded `picture` says, to a hundredth."""
    height, width = frame.shape[:2]
    columns = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    lit = frame[height * 6 // 10 : height * 9 // 10, columns].mean(axis=(0, 2)) > 125
    return float(lit @ (1 << np.arange(BITS)[::-1])) / TICKS_PER_S


def red_corner(frame: np.ndarray) -> str:
    """Which corner of a decoded `picture` is red, as "top left"."""
    height, width = frame.shape[:2]
    tall, wide = max(height // 8, 1), max(width // 8, 1)
    corners = {"top left": frame[:tall, :wide], "top right": frame[:tall, -wide:]}
    corners |= {"bottom left": frame[-tall:, :wide], "bottom right": frame[-tall:, -wide:]}
    return max(corners, key=lambda name: float((corners[name].astype(int) @ [2, -1, -1]).mean()))


def beeps(seconds: float, at_s: Sequence[float] = (0.5,), rate_hz: int = 48_000) -> np.ndarray:
    """(S,) float32: a tone of 1 kHz lasting BEEP_S at each instant of `at_s`, silence elsewhere."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    on = sum(((time_s >= at) & (time_s < at + BEEP_S)).astype(np.float32) for at in at_s)
    return (0.5 * np.sin(2 * np.pi * 1000 * time_s) * on).astype(np.float32)


def beep_starts(waveform: np.ndarray, rate_hz: int = 16_000) -> list[float]:
    """Instants at which a decoded waveform becomes loud, seconds."""
    loud = np.flatnonzero(np.abs(waveform) > 0.1)
    first = np.diff(loud, prepend=-rate_hz) > rate_hz // 50  # the wave itself crosses zero, but never for 20 ms
    return [float(start) / rate_hz for start in loud[first]]


def make_clip(
    path: str | Path,
    *,
    seconds: float = 2.0,
    size: tuple[int, int] = (320, 240),
    fps: float = 30,
    times_s: Sequence[float] | None = None,
    picture_starts_s: float = 0.0,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    sound: np.ndarray | str | None = "beep",
    sound_codec: str = "aac",
    sound_starts_s: float = 0.0,
    layout: str = "mono",
    rotation: int = 0,
    sample_aspect: Fraction | None = None,
    grain: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip whose pictures are `picture(size, t)` at k / fps (or at `times_s`, for variable rates).

    `sound` is "beep" (one at 0.5 s), "silence", None for no track, or (S,) float32 samples at 48 kHz, put on every channel of
    `layout`. `size` is upright: a clip with `rotation` is stored turned, with a display matrix. The container follows from the
    path's suffix; `options` are the muxer's. `grain` is the amplitude of noise on the upper half, which gives a codec as much to
    do as a real picture."""
    path = Path(path)
    if isinstance(sound, str):
        sound = beeps(seconds, (0.5,) if sound == "beep" else ())
    times_s = np.arange(round(seconds * fps)) / fps if times_s is None else times_s
    with av.open(path, "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=round(fps), options=ENCODERS.get(codec, {}))
        turns = rotation // 90  # counterclockwise, by players
        video.width, video.height, video.pix_fmt = *(size[::-1] if turns % 2 else size), pixel_format
        video.codec_context.time_base = Fraction(1, 100) if codec == "gif" else CLOCK
        if rotation:
            video.set_display_rotation(rotation)
        if sample_aspect:
            video.codec_context.sample_aspect_ratio = sample_aspect
        track = _SoundTrack(container, sound, sound_codec, layout, sound_starts_s) if sound is not None else None
        convert = VideoReformatter()
        noise = np.random.default_rng(3).integers(0, grain + 1, (size[1] // 2 + 97, size[0], 3), np.uint8)
        for time_s in times_s:
            shown = picture(size, time_s)
            if grain:
                row = round(time_s * 1000) % 97  # another part of the noise for each picture
                shown[: size[1] // 2] += noise[row : row + size[1] // 2]
            stored = np.ascontiguousarray(np.rot90(shown, -turns))
            frame = av.VideoFrame.from_ndarray(stored, "rgb24")
            frame = convert.reformat(frame, format=pixel_format)
            frame.time_base = video.codec_context.time_base
            frame.pts = round((time_s + picture_starts_s) / frame.time_base)
            container.mux(video.encode(frame))
            if track:
                track.write_until(time_s)
        container.mux(video.encode(None))
        if track:
            track.finish()
    return path


class _SoundTrack:
    """Feeds samples to the encoder as far as the pictures have come, so that the file is interleaved as real ones are."""

    def __init__(self, container, samples: np.ndarray, codec: str, layout: str, starts_s: float):
        self.container, self.samples, self.layout = container, samples, layout
        self.stream = container.add_stream(codec, rate=48_000, layout=layout)
        self.offset, self.done = round(starts_s * 48_000), 0
        self.channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]

    def write_until(self, time_s: float) -> None:
        while self.done < min(len(self.samples), time_s * 48_000):
            block = self.samples[self.done : self.done + 1024]
            frame = av.AudioFrame.from_ndarray(np.tile(block, (self.channels, 1)), "fltp", self.layout)
            frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), self.done + self.offset
            self.container.mux(self.stream.encode(frame))
            self.done += len(block)

    def finish(self) -> None:
        self.write_until(np.inf)
        self.container.mux(self.stream.encode(None))


def set_display_matrix(path: Path, clockwise: int) -> None:
    """Rewrite the video track's display matrix in an mp4, as ISO 14496-12 (8.3.2) has it: players turn the stored picture by
    `clockwise` degrees. Written here by hand, so that it is independent of the library that reads it."""
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[clockwise]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the video track is written first; version and times come before the matrix
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def mdat_range(data: bytes) -> tuple[int, int]:
    """Where the media data of an mp4 begin and end."""
    at = 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"mdat":
            return at + 8, at + length
        at += length
    raise ValueError("no mdat box")


# ---- files that cannot be read


def empty(folder: Path) -> Path:
    return _written(folder / "empty.mp4", b"")


def text(folder: Path) -> Path:
    return _written(folder / "text.mp4", b"This is a letter, not a film.\n" * 40)


def random_bytes(folder: Path) -> Path:
    return _written(folder / "random.mp4", np.random.default_rng(0).bytes(20_000))


def cut_before_index(folder: Path) -> Path:
    data = make_clip(folder / "whole.mp4").read_bytes()  # the index is written last
    return _written(folder / "cut_before_index.mp4", data[: len(data) * 6 // 10])


def directory(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir(exist_ok=True)
    return path


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def sound_only(folder: Path) -> Path:
    path = folder / "sound_only.mp4"
    with av.open(path, "w") as container:
        _SoundTrack(container, beeps(1.0), "aac", "mono", 0.0).finish()
    return path


def zero_frames(folder: Path) -> Path:
    """A video track is declared, but only the sound has packets."""
    return make_clip(folder / "zero_frames.mkv", times_s=(), sound_codec="libopus")


def too_long(folder: Path) -> Path:
    """601 s; the default limit is 600."""
    return make_clip(folder / "too_long.mp4", seconds=601, size=(64, 64), fps=1, sound=None)


def too_large(folder: Path) -> Path:
    """600 MB, of which the disk holds none; the default limit is 512."""
    path = make_clip(folder / "too_large.mp4", seconds=0.5)
    with path.open("ab") as file:
        file.truncate(600_000_000)
    return path


# ---- files that can be read, though something is odd


def variable_frame_rate(folder: Path) -> Path:
    """Quick at first, then one picture for most of a second."""
    times = [0, 0.03, 0.06, 0.09, 0.4, 0.48, 0.52, 0.9, 1.7, 1.72, 2.6]
    return make_clip(folder / "variable_frame_rate.mp4", seconds=3, times_s=times, sound=beeps(3))


def rotated(folder: Path) -> Path:
    """Stored lying down with a display matrix, as phones do."""
    return make_clip(folder / "rotated.mp4", size=(240, 320), rotation=90)


def gif(folder: Path) -> Path:
    return make_clip(folder / "animated.gif", fps=10, codec="gif", pixel_format="rgb8", sound=None)


def surround(folder: Path) -> Path:
    return make_clip(folder / "surround.mp4", layout="5.1")


def no_sound(folder: Path) -> Path:
    return make_clip(folder / "no_sound.mp4", sound=None)


def late_sound(folder: Path) -> Path:
    return make_clip(folder / "late_sound.mp4", seconds=3, sound=beeps(1.5), sound_starts_s=1.5)


def flipped_bits(folder: Path) -> Path:
    data = bytearray(make_clip(folder / "unflipped.mp4", seconds=4, sound=_noise(4)).read_bytes())
    begin, end = mdat_range(data)
    where = np.random.default_rng(1).choice(np.arange(begin + (end - begin) // 5, end), 200, replace=False)
    for at in where:
        data[at] ^= 0xFF
    return _written(folder / "flipped_bits.mp4", bytes(data))


def cut_after_index(folder: Path) -> Path:
    data = make_clip(folder / "index_first.mp4", seconds=4, options={"movflags": "faststart"}).read_bytes()
    begin, end = mdat_range(data)
    return _written(folder / "cut_after_index.mp4", data[: (begin + end) // 2])


def odd_size(folder: Path) -> Path:
    return make_clip(folder / "odd_size.mp4", size=(321, 181), pixel_format="yuv444p")


def one_frame(folder: Path) -> Path:
    return make_clip(folder / "one_frame.mp4", times_s=(0.0,), sound=None)


def hevc(folder: Path) -> Path:
    return make_clip(folder / "hevc.mp4", codec="libx265")


def av1(folder: Path) -> Path:
    return make_clip(folder / "av1.webm", codec="libsvtav1", sound_codec="libopus")


def pcm_mov(folder: Path) -> Path:
    return make_clip(folder / "pcm.mov", sound_codec="pcm_s16le")


def mkv(folder: Path) -> Path:
    return make_clip(folder / "matroska.mkv", sound_codec="libopus")


def webm(folder: Path) -> Path:
    return make_clip(folder / "vp9.webm", codec="libvpx-vp9", sound_codec="libopus", layout="stereo")


def silent_track(folder: Path) -> Path:
    return make_clip(folder / "silent.mp4", sound="silence")


def early_sound(folder: Path) -> Path:
    return make_clip(folder / "early_sound.mp4", picture_starts_s=1.0, sound=beeps(3, (0.5, 1.5)))


def thirty_seconds(folder: Path) -> Path:
    """The clip of the measurements: 30 s of 1280 x 720 at 30 per second, with sound."""
    return make_clip(folder / "thirty_seconds.mp4", seconds=30, size=(1280, 720), sound=_noise(30), grain=14)


def _noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(2).uniform(-0.3, 0.3, round(seconds * 48_000)).astype(np.float32)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


Maker = Callable[[Path], Path]
UNREADABLE: dict[str, Maker] = {
    "empty": empty,
    "text": text,
    "random bytes": random_bytes,
    "cut before its index": cut_before_index,
    "directory": directory,
    "missing": missing,
    "sound only": sound_only,
    "zero frames": zero_frames,
    "too long": too_long,
    "too large": too_large,
}
READABLE_WITH_DEFECTS: dict[str, Maker] = {
    "variable frame rate": variable_frame_rate,
    "rotated": rotated,
    "gif": gif,
    "5.1 sound": surround,
    "no sound": no_sound,
    "late sound": late_sound,
    "flipped bits": flipped_bits,
    "cut after its index": cut_after_index,
    "odd size": odd_size,
    "one frame": one_frame,
    "HEVC": hevc,
    "AV1": av1,
}
READABLE: dict[str, Maker] = {"PCM in mov": pcm_mov, "mkv": mkv, "webm": webm, "silent track": silent_track, "early sound": early_sound}
