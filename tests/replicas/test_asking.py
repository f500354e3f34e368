"""Asking again: once, and only while no word was shown."""

import pytest

from omnizip.engine import Piece, Stage
from omnizip.errors import ModelError
from omnizip.replicas.asking import ReplicaLost, ask_again


def asking(*tries):
    """A question whose tries say these things; ReplicaLost among them is raised."""
    left, closed = list(tries), []

    def ask():
        try:
            for what in left.pop(0):
                if what is ReplicaLost:
                    raise ReplicaLost
                yield what
        finally:
            closed.append(True)

    return ask, left, closed


def test_a_question_without_a_word_shown_is_asked_once_more():
    ask, left, closed = asking([Stage("decode"), Piece(0, " "), ReplicaLost], [Stage("decode"), Piece(0, "red")])
    assert list(ask_again(ask)) == [Stage("decode"), Piece(0, " "), Stage("decode"), Piece(0, "red")]
    assert not left and len(closed) == 2


def test_words_that_were_shown_are_not_written_anew():
    ask, left, _ = asking([Piece(0, "red"), ReplicaLost], [Piece(0, "blue")])
    said = ask_again(ask)
    assert next(said) == Piece(0, "red")
    with pytest.raises(ModelError, match="has gone; ask again"):
        next(said)
    assert len(left) == 1


def test_two_ends_in_a_row_are_told():
    ask, left, _ = asking([ReplicaLost], [Stage("decode"), ReplicaLost], [Piece(0, "red")])
    with pytest.raises(ModelError, match="^Two copies .*ask again"):
        list(ask_again(ask))
    assert len(left) == 1


def test_nobody_is_asked_for_who_has_wished_to_stop():
    ask, left, _ = asking([Stage("decode"), ReplicaLost], [Piece(0, "red")])
    assert list(ask_again(ask, lambda: True)) == [Stage("decode")]
    assert len(left) == 1


def test_whoever_closes_it_closes_the_question():
    ask, _, closed = asking([Piece(0, "red"), Piece(0, "red and blue")])
    said = ask_again(ask)
    next(said)
    said.close()
    assert closed == [True]
