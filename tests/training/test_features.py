"""Labels of tokens against the pixels and instants they stand for."""

import numpy as np
import pytest

from omnizip.evaluation.world import render
from omnizip.evaluation.world import scene as world
from training import features, pretrain
from training.features import AUDIO_LABELS, CELL, IGNORE, VIDEO_LABELS


def test_tokens_labelled_with_a_shape_show_its_colour_and_empty_ones_the_stage():
    shapes = 0
    for seed in range(20):
        scene = world.scene(seed)
        for step in range(8):
            labels = features.video_labels(scene, step)
            frames = render.frames(scene, np.array([step, step + 0.5])).astype(float)
            stage = np.stack([render.backdrop(scene, t) for t in (step, step + 0.5)])
            away = np.abs(frames - stage).max((0, 3)).reshape(scene.height // CELL, CELL, scene.width // CELL, CELL).max((1, 3)).reshape(-1)
            assert (away[labels["shape"] == len(world.SHAPES)] < 30).mean() > 0.94  # an edge may spill a pixel or two
            showing = labels["thing"] != IGNORE
            assert (away[showing] > 30).all()
            present = [scene.actor_at(t) for t in (step, step + 0.5)]
            assert {world.SHAPES[i] for i in labels["shape"][showing]} <= {a.shape for a in present if a}
            shapes += showing.any()
    assert shapes > 60


def test_every_token_has_one_label_of_each_kind():
    pictures, labels = pretrain.video_batch(3, 12)
    tokens = sum(p.shape[1] * p.shape[2] // CELL**2 for p in pictures)
    assert all(p.shape[0] == 2 and p.dtype == np.uint8 for p in pictures)
    for name, count in VIDEO_LABELS.items():
        assert labels[name].shape == (tokens,)
        assert set(np.unique(labels[name])) <= {IGNORE, *range(count)}
    things = np.unique(labels["thing"][labels["thing"] != IGNORE])
    assert len(things) > 24  # crowded
    for thing in things:
        assert len(np.unique(labels["shape"][labels["thing"] == thing])) == 1


def test_audio_tokens_are_labelled_with_what_happens_at_their_time():
    scene = world.scene(world.HELD_OUT_SEEDS.start)
    labels = features.moment_labels(scene)
    assert {len(v) for v in labels.values()} == {200}
    for index in range(200):
        time_s = index / 25 + 0.02
        sound, actor = scene.sound_at(time_s), scene.actor_at(time_s)
        assert labels["sound"][index] == (world.SOUNDS.index(sound.name) if sound else AUDIO_LABELS["sound"] - 1)
        assert labels["colour"][index] == (world.COLOURS.index(actor.colour) if actor else len(world.COLOURS))
        assert labels["place"][index] == (world.PLACES.index(actor.place) if actor else len(world.PLACES))
        assert labels["motion"][index] == (world.MOTIONS.index(actor.motion) if actor else len(world.MOTIONS))


@pytest.mark.slow
def test_audio_tokens_know_what_was_heard_with_the_shape_that_is_there_and_how_much_came_before():
    nothing, kept = len(world.SOUNDS), 0
    for number in range(30):
        scene = world.scene(world.HELD_OUT_SEEDS.start + number)
        labels = features.moment_labels(scene) | features.so_far_labels(scene)
        for index in range(200):
            time_s = index / 25 + 0.02
            since = np.arange(0, time_s + 1e-9, 0.01)
            with_it = {s.name for t in since if (s := scene.sound_at(t)) and (a := scene.actor_at(t)) and a == scene.actor_at(time_s)}
            assert labels["heard"][index] == (world.SOUNDS.index(with_it.pop()) if with_it else nothing), (number, time_s)
            assert labels["sounds"][index] == len({s for t in since if (s := scene.sound_at(t))})
            assert labels["shapes"][index] == len({a for t in since if (a := scene.actor_at(t))})
            kept += labels["heard"][index] != labels["sound"][index]
    assert kept > 500  # it says more than what is heard now


def test_degraded_pictures_stay_close():
    frames = render.frames(world.scene(1), np.arange(4) / 2)
    worse = features.degrade(frames, np.random.default_rng(0))
    assert worse.shape == frames.shape
    assert worse.dtype == np.uint8
    assert 0 < np.abs(worse.astype(int) - frames).mean() < 6
