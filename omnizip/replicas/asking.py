"""When a question is asked again: once, elsewhere, and only while its visitor has seen no word of an answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from ..engine import ArmDone, Piece
from ..errors import ModelError
from .crossing import Said

TRIES = 2
LOST_MIDWAY = "The copy of the model that was answering has gone; ask again, and another one answers."
LOST_TWICE = "Two copies of the model went while they worked on this, one after the other; ask again, perhaps about a shorter clip."


class ReplicaLost(Exception):
    """The replica that was asked is no more; never leaves this package."""


def ask_again(ask: Callable[[], Iterator[Said]], stop: Callable[[], bool] = lambda: False) -> Generator[Said, None, None]:
    """Yield what is said to a question; where its replica goes before a word was shown, ask once more.

    Args:
        ask: asks, each time anew; what it returns is closed here, and raises ReplicaLost.
        stop: nobody who has wished to stop is asked for again.

    Raises:
        ModelError: words were shown already, or the second replica went, too; in one sentence.
    """
    for left in reversed(range(TRIES)):
        shown = False
        said = ask()
        try:
            for what in said:
                shown = shown or isinstance(what, ArmDone) or (isinstance(what, Piece) and bool(what.text.strip()))
                yield what
            return
        except ReplicaLost:
            if stop():
                return
            if shown:
                raise ModelError(LOST_MIDWAY) from None
            if not left:
                raise ModelError(LOST_TWICE) from None
        finally:
            if isinstance(said, Generator):
                said.close()
