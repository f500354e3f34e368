"""The stored model, asked through the public way in: ten questions about clips it was not trained on, and a person's own words."""

import numpy as np
import pytest

from omnizip.engine import Arm, Engine, Finished
from omnizip.evaluation.world import questions, render
from omnizip.evaluation.world import scene as world
from omnizip.settings import Settings

ASKED = ("colour at sound", "shape at sound", "first sound", "last sound", "last shape")
SEEDS = world.HELD_OUT_SEEDS[700_000_000:]  # no measurement uses these


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(device="cpu", dtype="float32"))


def answers(engine, path, question, arms=()):
    *_, last = engine.compare(path, question, arms)
    assert isinstance(last, Finished)
    return [run.answer.text for run in last.report.runs]


def held_out():
    """(scene, one question of each kind), the first two scenes that have one of every kind."""
    found = []
    for seed in SEEDS:
        by_kind = {q.kind: q for q in questions.about(world.scene(seed), np.random.default_rng(0), ASKED)}
        if len(by_kind) == len(ASKED):
            found.append((world.scene(seed), list(by_kind.values())))
        if len(found) == 2:
            return found


def test_it_answers_ten_held_out_questions(engine, tmp_path):
    right = []
    for scene, asked in held_out():
        path = render.write_mp4(scene, tmp_path / f"{scene.seed}.mp4")
        right += [answers(engine, path, q.text)[0] == q.answer for q in asked]
    assert len(right) == 10 and sum(right) >= 9


def test_it_answers_about_an_example_whole_and_compressed(engine):
    full, kept = answers(engine, "assets/examples/bell.mp4", "What colour is the shape when the bell rings?", (Arm("omnizip", 0.45),))
    assert full == "purple" and kept in world.COLOURS
    (told,) = answers(engine, "assets/examples/bell.mp4", "Describe the clip.")
    assert told.startswith("A cyan square with a clap, then a white cross with a drum") and told.endswith(".")


def test_a_persons_own_words(engine):
    assert answers(engine, "assets/examples/bell.mp4", "when the drum sounds, which shape is it") == ["cross"]
