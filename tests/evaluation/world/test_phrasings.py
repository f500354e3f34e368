"""Phrasings are data: what is drawn from them for a seed stays what it was when the model was trained and measured."""

import hashlib

import numpy as np
import pytest

from omnizip.evaluation import dataset
from omnizip.evaluation.world import phrasings, questions
from omnizip.evaluation.world import scene as world


def digest(lines):
    found = hashlib.sha256()
    for line in lines:
        found.update(f"{line}\n".encode())
    return found.hexdigest()[:16]


def trained():
    for seed in range(60):
        yield from (q.text + q.answer for q in questions.about(world.scene(seed), np.random.default_rng(seed)))


def held_out():
    for number in range(60):
        yield from (q.text + q.answer for q in dataset.Choice(auxiliary=True).questions(number))


def paraphrased():
    for seed in range(world.HELD_OUT_SEEDS.stop - 30, world.HELD_OUT_SEEDS.stop):
        found = questions.about(world.scene(seed), np.random.default_rng(seed), wordings=phrasings.paraphrases())
        yield from (q.text + q.answer for q in found)


@pytest.mark.parametrize(
    ("drawn", "known"),
    [
        (phrasings.corpus, "bb6b2e843fe1f952"),
        (trained, "a628dfffb5ea2dd5"),
        (held_out, "6500bd72b58df187"),
        (paraphrased, "73d3fa4688783231"),
    ],
)
def test_what_is_drawn_is_what_it_was(drawn, known):
    """The digests were taken of the code that the embedded model was trained and measured with."""
    assert digest(drawn()) == known


def test_every_kind_has_wordings_of_each_sort():
    for wordings in (phrasings.first_wordings(), phrasings.trained_wordings(), phrasings.paraphrases()):
        assert set(wordings) == set(questions.KINDS)
        assert all(len(set(several)) == len(several) >= 3 for several in wordings.values())
    for kind, few in phrasings.first_wordings().items():
        assert phrasings.trained_wordings()[kind][: len(few)] == few


def test_a_sound_is_said_in_its_own_ways_and_the_common_ones():
    assert phrasings.sound_phrases("bell")[:3] == ("the bell rings", "a bell is rung", "the bell is heard")
    assert len({phrasings.sound_phrases(name) for name in world.SOUNDS}) == len(world.SOUNDS)
