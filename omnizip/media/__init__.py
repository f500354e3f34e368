"""A file -> Clip: decoded in a process of its own, under a time and a memory limit."""

from .clip import SUFFIXES, Clip, digest, load, transcode_preview
from .decoder_process import Cancelled

__all__ = ["SUFFIXES", "Cancelled", "Clip", "digest", "load", "transcode_preview"]
