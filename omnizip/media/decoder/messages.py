"""What the decoder says: messages on a descriptor, the facts about a file, and why nothing can be had from it."""

from __future__ import annotations

import json
import os
import struct
import threading
from dataclasses import dataclass
from typing import Any


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
    announced_s: float | None = None  # what the file's header says, from the first picture on
    unread_start_s: float = 0.0  # of the picture track, before the first picture that can be decoded
    restarts: int = 0  # how often the file's clock starts anew or jumps
    pictures: int = 0
    damaged_pictures: int = 0  # decoded, but patched up by the decoder
    misplaced_pictures: int = 0  # left out, since their time stamps contradict the others'
    damaged_packets: int = 0  # of the picture, lost
    damaged_sound_packets: int = 0
    flagged_packets: int = 0  # of the picture, among the lost: decoded, though the container had something missing there
    misplaced_sound_s: float = 0.0  # left out, since its time stamps contradict the others'
    early_sound_s: float = 0.0  # cut, since it came before the first picture
    late_sound_s: float = 0.0  # silence put before the sound
    sound_gaps_s: float = 0.0  # silence put between
    sound_tracks: int = 0
    picture_tracks: int = 0
    skipped_sound_tracks: int = 0  # preferred to the one that was read, but cannot be decoded
    skipped_picture_tracks: int = 0
    refused_channels: int = 0  # of a sound track that has too many
    late_tracks: int = 0  # packets of tracks that turn up in the middle
    size_changes: bool = False
    hdr: bool = False
    interlaced: bool = False
    alpha: bool = False
    unread_alpha: bool = False  # the track says it is transparent in places, in a way the decoder does not read


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
