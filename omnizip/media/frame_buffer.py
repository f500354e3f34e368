"""Frames that one thread decodes and another already works with.

`load_while` reads a clip in a thread of its own and meanwhile lets its caller take frames as they come: encoding the first
minute needs not wait for the last.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Condition, Thread
from time import perf_counter
from typing import TypeVar

import numpy as np

from .. import media
from ..settings import Settings
from .clip import Clip
from .decoder_process import Cancelled

T = TypeVar("T")


class FrameBuffer:
    """An array of frames that one thread fills and another reads as far as it is filled."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._frames: np.ndarray | None = None
        self._there = 0
        self._complete = self._abandoned = False

    def announce(self, frames: np.ndarray) -> None:
        """Take the array (N, H, W, 3) the frames will be in; fewer than N may come."""
        with self._changed:
            self._frames = frames
            self._changed.notify_all()

    def count(self, there: int) -> None:
        """Note that so many frames are in place. Raises Cancelled where nobody waits for more."""
        with self._changed:
            if self._abandoned:
                raise Cancelled
            self._there = there
            self._changed.notify_all()

    def complete(self) -> None:
        """Note that no more will come."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Have the next `count` raise, and the decoder end."""
        with self._changed:
            self._abandoned = True

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for more."""
        with self._changed:
            return self._abandoned

    @property
    def frames(self) -> np.ndarray | None:
        """The array, once it is announced; None if there will be none. Waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames is not None or self._complete)
            return self._frames

    def wait_for(self, count: int) -> bool:
        """Wait until so many frames are in place or no more will come; return whether they are."""
        with self._changed:
            self._changed.wait_for(lambda: self._there >= count or self._complete)
            return self._there >= count


def load_while(
    path: str | os.PathLike,
    settings: Settings,
    meanwhile: Callable[[FrameBuffer], T],
    on_progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Clip, T, float]:
    """Run `media.load` in a thread, `meanwhile` in this one.

    Returns:
        the clip, what `meanwhile` returned, and the milliseconds reading took.

    Raises:
        MediaError, Cancelled: as `media.load` does. Whatever `meanwhile` raises ends the reading, and the decoder with it.
    """
    arriving, read, problems = FrameBuffer(), [], []

    def unwanted() -> bool:
        return arriving.abandoned or bool(cancelled and cancelled())

    def work() -> None:
        started = perf_counter()
        try:
            clip = media.load(path, settings, on_progress, arriving, unwanted)
            read.append((clip, 1000 * (perf_counter() - started)))
        except BaseException as problem:  # raised again by the thread that waits
            problems.append(problem)
        finally:
            arriving.complete()

    thread = Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        made = meanwhile(arriving)
    except BaseException:
        arriving.abandon()
        raise
    finally:
        thread.join()
    if problems:
        raise problems[0]
    ((clip, took_ms),) = read
    return clip, made, took_ms
