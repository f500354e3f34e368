"""Descriptions as facts: the truth told back, and every way to leave out or make up."""

from itertools import combinations

import numpy as np
import pytest

from omnizip.evaluation import facts
from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.questions import description


@pytest.mark.parametrize("seconds", [2.0, 8.0, 24.0])
def test_the_worlds_own_description_is_read_back_whole(seconds):
    for seed in range(60):
        scene = world.scene(world.HELD_OUT_SEEDS.start + seed, seconds)
        assert facts.described_moments(description(scene)) == facts.scene_moments(scene)
        told = facts.compare_facts(description(scene), scene)
        assert (told.missed, told.invented) == (0, 0)
        assert told.facts == sum(2 * (m.actor is not None) + (m.sound is not None) for m in scene.moments)


def scene_of(*moments):
    """(colour, shape, sound) in order, None for what is not there."""
    made = []
    for i, (colour, shape, sound) in enumerate(moments):
        actor = world.Actor(shape, colour, 2.0 * i, 2.0 * i + 1.5, 0.5, 0.5, 0.2, "still", 0.0, 0.0) if shape else None
        made.append(world.Moment(actor, world.SoundEvent(sound, 2.0 * i, 2.0 * i + 1, 0.5) if sound else None, 2.0 * i, 2.0 * i + 1.5))
    return world.Scene(0, 8.0, 128, 128, "plain", (60.0, 60.0, 60.0), 0.0, "silence", 0.0, tuple(made))


SCENE = scene_of(("red", "circle", "bell"), (None, None, "drum"), ("orange", "star", None))


@pytest.mark.parametrize(
    ("text", "missed", "invented"),
    [
        ("A red circle with a bell, then a drum with no shape, then an orange star with no sound.", 0, 0),
        ("A red circle with a bell, then an orange star with no sound.", 1, 0),
        ("A red circle with a bell, then a drum with no shape, then an orange star with a clap.", 0, 1),
        ("A red circle with no sound, then a drum with no shape, then an orange star with no sound.", 1, 0),
        ("A blue circle with a bell, then a drum with no shape, then an orange star with no sound.", 1, 1),
        ("An orange star with no sound, then a drum with no shape, then a red circle with a bell.", 3, 3),
        ("A red circle with a drum, then a bell with no shape, then an orange star with no sound.", 2, 2),
        ("", 6, 0),
        ("I cannot say.", 6, 0),
        ("Nothing happens.", 6, 0),
        ("A red circle with a bell, then a red circle with a bell, then a drum with no shape, then an orange star with no sound.", 0, 3),
    ],
)
def test_what_is_missed_and_invented(text, missed, invented):
    told = facts.compare_facts(text, SCENE)
    assert (told.facts, told.missed, told.invented) == (6, missed, invented)


def test_moments_are_paired_as_well_as_order_allows():
    rng = np.random.default_rng(0)
    for _ in range(60):
        true, told = ([facts.Counter(rng.choice(list("abcd"), rng.integers(1, 4))) for _ in range(rng.integers(0, 5))] for _ in range(2))
        best = 0
        for n in range(min(len(true), len(told)) + 1):
            for i in combinations(range(len(true)), n):
                for j in combinations(range(len(told)), n):
                    best = max(best, sum((true[a] & told[b]).total() for a, b in zip(i, j, strict=True)))
        assert facts._most_agreed(true, told) == best
