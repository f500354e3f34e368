"""A file -> Clip: decoded in a process of its own, under a time and a memory limit."""

from .clip import Clip, digest, load, transcode_preview

__all__ = ["Clip", "digest", "load", "transcode_preview"]
