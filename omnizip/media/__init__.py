"""A file -> Clip: decoded in a process of its own, under a time and a memory limit."""

from .clip import SUFFIXES, Clip, digest, join_sound, load, transcode_preview
from .decoder_process import Cancelled

__all__ = ["SUFFIXES", "Cancelled", "Clip", "digest", "join_sound", "load", "transcode_preview"]
