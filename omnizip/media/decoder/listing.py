"""What the headers tell of a file's length and sound tracks, without reading its packets."""

from __future__ import annotations

from .container import moving, open_container
from .messages import Sink
from .survey import TITLES, announced_end, title_of


def send_tracks(job: dict, sink: Sink) -> None:
    """Send TAIL {duration_s: seconds or null, sounds: language and title of each sound track}."""
    with open_container(job["source"]) as container:
        pictures, sounds = moving(container), list(container.streams.audio)
        end_s = announced_end(container, *pictures[:1], *sounds)
        start_s = float((pictures[0].start_time or 0) * pictures[0].time_base) if pictures else 0.0
        found = {"duration_s": None if end_s is None else end_s - start_s, "sounds": [title_of(sound) for sound in sounds[:TITLES]]}
    sink.send_json(b"TAIL", found)
