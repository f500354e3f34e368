"""A file -> Clip: decoded in a process of its own, under a time and a memory limit."""

from .clip import SUFFIXES, Clip, digest, join_sound, load, transcode_preview
from .decoder_process import Cancelled
from .part import AS_SET, Part
from .tracks import Tracks, tracks

__all__ = ["AS_SET", "SUFFIXES", "Cancelled", "Clip", "Part", "Tracks", "digest", "join_sound", "load", "tracks", "transcode_preview"]
