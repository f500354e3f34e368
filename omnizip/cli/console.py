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


def report_error(sentence: str) -> None:
    """Write one line to standard error, in place of a progress line where one stands."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}omnizip: {' '.join(printable(sentence).split())}\n")


class LiveOutput:
    """Shows work while it is done: progress on a terminal's standard error, answers on standard output as they come."""

    def __init__(self, answers: bool, progress: bool):
        self._answers, self._progress = answers, progress
        self._written = ""  # of the answer that is being shown

    def show_progress(self, text: str) -> None:
        """Show what is being done in one line that the next one replaces; an empty text clears it."""
        if self._progress:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def begin_answer(self, heading: str) -> None:
        """Start an answer below its heading."""
        self.show_progress("")
        self._written = ""
        if self._answers:
            say(f"{heading}\n  ", end="")

    def extend_answer(self, text: str) -> None:
        """Write what is new in an answer, given the whole text so far."""
        if self._answers:
            new = text[len(self._written) :] if text.startswith(self._written) else f"\n{text}"
            say(printable(new).replace("\n", "\n  "), end="")
        self._written = text

    def end_answer(self) -> None:
        """Finish an answer."""
        if self._answers:
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


def check_targets(targets: dict[str, str | None], clip: str | None = None) -> None:
    """Raise before the long work if a file of `targets` (by flag) could not be written, or would be written over another or the clip."""
    taken: dict[Path, str] = {} if clip is None else {Path(clip).resolve(): "the clip"}
    for flag, target in targets.items():
        check_target(flag, target)
        if target not in (None, "-"):
            other = taken.setdefault(Path(target).resolve(), flag)
            if other != flag:
                raise UsageError(f"{flag} {target} would overwrite {other}; give another file's name.")


def write(target: str | None, render: Callable[[], str]) -> None:
    """Render a text and write it to a file, to standard output for "-"; for None nothing is rendered.

    Raises:
        OmniZipError: the file cannot be written. What `render` raises passes as it is: it is not the file's fault.
    """
    if target is None:
        return
    text = render()
    if target == "-":
        say(text, end="")
        return
    try:
        Path(target).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OmniZipError(f"{target} could not be written ({error.strerror}); choose another place.") from None
