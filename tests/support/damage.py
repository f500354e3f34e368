"""Damaged files from seeded generators over every container the reader takes, and what became of each.

As a program: `python tests/support/damage.py --count 1500 --minutes 30 --json FILE` reads so many of them and writes the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from ffmpeg import ffmpeg

from omnizip import media
from omnizip.errors import MediaError
from omnizip.settings import Settings

LIMITS = Settings(decode_timeout_s=60, decode_memory_mb=2048, max_clip_s=120)
HANG_S = 2 * LIMITS.decode_timeout_s  # by then even a decoder that ran out of time has been ended

H264, AAC = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "12"), ("-c:a", "aac")
MPEG2 = ("-c:v", "mpeg2video", "-c:a", "mp2")
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": (*H264, *AAC),
    "index_first.mp4": (*H264, *AAC, "-movflags", "+faststart"),
    "fragments.mp4": (*H264, *AAC, "-movflags", "+frag_keyframe+empty_moov"),
    "hevc.mp4": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", *AAC),
    "mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
    "alpha.mov": ("-c:v", "qtrle", "-pix_fmt", "argb", "-c:a", "pcm_s16le"),
    "3gp": ("-c:v", "mpeg4", *AAC),
    "mkv": (*H264, "-c:a", "flac"),
    "webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "gif": ("-an",),
    "avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"),
    "ts": (*H264, *AAC, "-f", "mpegts"),
    "interlaced.ts": ("-flags", "+ilme+ildct", *MPEG2, "-f", "mpegts"),
    "mpg": (*MPEG2, "-f", "vob"),
    "flv": ("-c:v", "flv", "-c:a", "mp3", "-ar", "44100"),
    "wmv": ("-c:v", "wmv2", "-c:a", "wmav2", "-f", "asf"),
    "ogv": ("-c:v", "libtheora", "-c:a", "libvorbis", "-f", "ogg"),
    "ivf": ("-c:v", "libvpx", "-deadline", "realtime", "-an", "-f", "ivf"),
    "mp3": ("-vn", "-c:a", "mp3"),
    "wav": ("-vn", "-c:a", "pcm_s16le"),
    "flac": ("-vn", "-c:a", "flac"),
    "aac": ("-vn", "-c:a", "aac", "-f", "adts"),
}


def make_sources(folder: Path) -> dict[str, bytes]:
    """One whole file of each container: a second and a half of moving picture and a tone."""
    sources = {}
    for name, options in CONTAINERS.items():
        path = folder / f"whole.{name}"
        ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=12:d=1.5", "-f", "lavfi", "-i", "sine=d=1.5:r=48000"),
            *("-pix_fmt", "rgb8" if name == "gif" else "yuv420p", "-threads", 1, *options, path),
        )
        sources[name] = path.read_bytes()
        path.unlink()
    return sources


# ---- damage: (random, whole file, another whole file) -> damaged file


def truncate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(1, len(data))]


def behead(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[chance.randrange(1, len(data)) :]


def flip_bits(chance: random.Random, data: bytes, other: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 10, 100, 1000))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def edit_header(chance: random.Random, data: bytes, other: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 12)):
        damaged[chance.randrange(min(512, len(damaged)))] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(damaged)


MP4_BOXES = b"moov tkhd mdhd stsd stts stsz stsc stco ctts elst avcC esds moof trun tfhd".split()
OTHER_TABLES = (b"avih", b"strh", b"strf", b"idx1", b"movi", b"RIFF", b"fmt ", b"OggS", b"DKIF")
EBML_ELEMENTS = (b"\x1aE\xdf\xa3", b"\x16T\xaek", b"\x1cS\xbbk")
NAMES = (*MP4_BOXES, *OTHER_TABLES, *EBML_ELEMENTS)


def edit_table(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Other numbers in the tables that say what is where; in files without any of NAMES, anywhere."""
    places = [at for name in NAMES for at in _places(data, name)] or [chance.randrange(len(data)) for _ in range(8)]
    damaged = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = max(0, min(chance.choice(places) + chance.randrange(-4, 40), len(data) - 4))
        value = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x0FFFFFF0, 0x01000000, chance.getrandbits(32)))
        damaged[at : at + 4] = value.to_bytes(4, chance.choice(("big", "little")))
    return bytes(damaged)


def _places(data: bytes, name: bytes) -> Iterator[int]:
    at = data.find(name)
    while at >= 0:
        yield at
        at = data.find(name, at + 1)


def erase(chance: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = sorted(chance.choices(range(len(data)), k=2))
    return data[:begin] + chance.choice((bytes(end - begin), chance.randbytes(end - begin), b"")) + data[end:]


def join(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data) // 2, len(data))] + other if chance.random() < 0.5 else data + other


def shuffle(chance: random.Random, data: bytes, other: bytes) -> bytes:
    size = chance.choice((16, 188, 2048))
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    head = chance.choice((0, 1, 4))
    tail = blocks[head:]
    chance.shuffle(tail)
    return b"".join(blocks[:head] + tail)


Damage = Callable[[random.Random, bytes, bytes], bytes]
DAMAGES: tuple[Damage, ...] = (truncate, behead, flip_bits, edit_header, edit_table, edit_table, erase, join, shuffle)


def damaged_files(sources: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """(container, damage, bytes) of `count` files, the same for the same seed; containers and damages take turns."""
    names = list(sources)
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        name, damage = names[number % len(names)], DAMAGES[number // len(names) % len(DAMAGES)]
        other = sources[name if chance.random() < 0.5 else chance.choice(names)]
        yield name, damage.__name__, damage(chance, sources[name], other)


# ---- what became of them


@dataclass
class Table:
    """Outcomes of an attack, counts. `escaped`, `hangs` and what leaked must be nothing."""

    files: int = 0
    seconds: float = 0.0
    clips: int = 0
    sentences: int = 0
    decoder_crashes: int = 0  # contained, among the sentences
    decoder_timeouts: int = 0  # contained, among the sentences
    escaped: list[str] = field(default_factory=list)  # anything but a clip or one sentence
    hangs: list[str] = field(default_factory=list)
    leaked_processes: int = 0
    leaked_descriptors: int = 0
    leaked_files: int = 0
    by_container: dict[str, dict[str, int]] = field(default_factory=dict)
    by_sentence: dict[str, int] = field(default_factory=dict)


def attack(count: int, seed: int, folder: Path, seconds: float = float("inf"), settings: Settings = LIMITS) -> Table:
    """Read damaged files, two at a time, until `count` are done or `seconds` have passed; half of the clips are copied, too."""
    table, sources = Table(), make_sources(folder)
    said: Counter[str] = Counter()
    started, descriptors = time.monotonic(), len(os.listdir("/proc/self/fd"))

    def read(item: tuple[int, tuple[str, str, bytes]]) -> None:
        number, (container, damage, data) = item
        if time.monotonic() - started > seconds:
            return
        path = folder / f"{number}.{container}"
        path.write_bytes(data)
        label, begun = f"{number} {container} {damage}", time.monotonic()
        row = table.by_container.setdefault(container, {"clips": 0, "sentences": 0})
        try:
            _check(media.load(path, settings), settings)
            if number % 2:
                media.transcode_preview(path, folder / f"{number}.copy", settings)
            table.clips += 1
            row["clips"] += 1
        except MediaError as problem:
            sentence = str(problem)
            table.sentences += 1
            row["sentences"] += 1
            table.decoder_crashes += "made the decoder crash" in sentence
            table.decoder_timeouts += "took longer than" in sentence
            said[sentence.replace(path.name, "FILE")] += 1
            if not _is_one_sentence(sentence) or "answered nonsense" in sentence or "did not run" in sentence:
                table.escaped.append(f"{label}: {sentence}")
        except Exception as problem:
            table.escaped.append(f"{label}: {problem!r}")
        finally:
            table.files += 1
            if time.monotonic() - begun > HANG_S:
                table.hangs.append(label)
            path.unlink()
            (folder / f"{number}.copy").unlink(missing_ok=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, enumerate(damaged_files(sources, count, seed))))
    table.seconds = round(time.monotonic() - started, 1)
    table.leaked_processes = len(decoders_of(os.getpid()))
    table.leaked_descriptors = max(0, len(os.listdir("/proc/self/fd")) - descriptors)
    table.leaked_files = len(list(folder.iterdir()))
    table.by_sentence = dict(said.most_common())
    return table


def _check(clip: media.Clip, settings: Settings) -> None:
    """What every clip promises, whatever it came from."""
    count, height, width, colours = clip.frames.shape
    assert 1 <= count <= settings.max_frames and colours == 3 and 0 < height * width <= settings.decode_pixels
    assert clip.frame_times_s[0] == 0 and len(clip.frame_times_s) == count and (np.diff(clip.frame_times_s) >= 0).all()
    assert 0 < clip.duration_s < settings.max_clip_s + 60 and clip.fps > 0 and clip.width > 0 and clip.height > 0
    assert clip.waveform is None or (clip.waveform.ndim == 1 and np.isfinite(clip.waveform).all())
    assert all(map(_is_one_sentence, clip.warnings)), clip.warnings


def _is_one_sentence(text: str) -> bool:
    return text.endswith(".") and ". " not in text and text.isprintable() and "Traceback" not in text


def decoders_of(parent: int) -> list[int]:
    """Process ids of decoders that `parent` has started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, ppid = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if state != "Z" and int(ppid) == parent and b"media/decoder" in command:
                found.append(int(entry.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = attack(arguments.count, arguments.seed, Path(folder), 60 * arguments.minutes)
    arguments.json.write_text(json.dumps(asdict(table), indent=1) + "\n")


if __name__ == "__main__":
    main()
