"""Where the command line writes: standard output, progress on a terminal's standard error, files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import OmniZipError, UsageError
from .plain_text import printable


def say(text: str = "", end: str = "\n") -> None:
    """Write to standard output, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


class Shown:
    """What has been written while the engine works: progress on a terminal's standard error, answers as they come."""

    def __init__(self, streams: bool, progress: bool):
        self._streams, self._progress = streams, progress
        self._text = ""

    def stage(self, text: str) -> None:
        """Show what is being done in one line that the next one replaces; an empty text clears it."""
        if self._progress:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def begin(self, heading: str) -> None:
        """Start an answer."""
        self.stage("")
        self._text = ""
        if self._streams:
            say(f"{heading}\n  ", end="")

    def piece(self, text: str) -> None:
        """Show what is new in an answer, given the whole text so far."""
        if self._streams:
            new = text[len(self._text) :] if text.startswith(self._text) else f"\n{text}"
            say(printable(new).replace("\n", "\n  "), end="")
        self._text = text

    def end(self) -> None:
        """Finish an answer."""
        if self._streams:
            say("\n")


def check_target(flag: str, target: str | None) -> None:
    """Raise before the long work if `target` could not be written afterwards."""
    if target in (None, "-"):
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{flag} {target} is a folder; give a file's name.")
    if not path.parent.is_dir():
        raise UsageError(f"{flag}: there is no folder {path.parent}; create it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag}: {target} cannot be written; choose another place.")


def write(target: str | None, make: Callable[[], str]) -> None:
    """Write what `make` gives to a file, to standard output for "-", nowhere for None."""
    if target == "-":
        say(make(), end="")
    elif target is not None:
        try:
            Path(target).write_text(make(), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OmniZipError(f"{target} could not be written ({error.strerror}); choose another place.") from None
