"""The world keeps its own rules: one shape and one sound at a time, seeds that never meet, combinations held back."""

import itertools

import numpy as np
import pytest

from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.scene import COLOURS, HELD_OUT_SEEDS, REPORT_SEEDS, SHAPES, SOUNDS, TRAINING_SEEDS


def scenes(first, count, duration_s=8.0):
    return [world.scene(first + i, duration_s) for i in range(count)]


def combinations(found):
    return {(m.actor.shape, m.actor.colour, m.sound.name) for s in found for m in s.moments if m.actor and m.sound}


def test_same_seed_same_scene_other_seed_another():
    assert world.scene(7) == world.scene(7)
    assert world.scene(7) != world.scene(8)
    assert world.scene(7, 8.0) != world.scene(7, 12.0)


def test_ranges_of_seeds_never_meet():
    assert TRAINING_SEEDS[-1] < HELD_OUT_SEEDS[0] <= HELD_OUT_SEEDS[-1] < REPORT_SEEDS[0]
    with pytest.raises(ValueError, match="outside"):
        world.scene(REPORT_SEEDS.stop)
    with pytest.raises(ValueError, match="24"):
        world.scene(0, 30.0)


def test_an_eighth_of_the_combinations_is_reserved_and_no_word_only_there():
    every = list(itertools.product(SHAPES, COLOURS, SOUNDS))
    reserved = [c for c in every if world.is_reserved(*c)]
    assert len(reserved) == len(every) // 8
    for pair in itertools.product(SHAPES, COLOURS):
        assert sum((*pair, s) in reserved for s in SOUNDS) == 1  # each coloured shape goes with seven of eight sounds


def test_reserved_combinations_never_occur_in_training_and_do_in_held_out_clips():
    trained = combinations(scenes(0, 1500) + scenes(10**6, 300, 12.0))
    assert len(trained) > 430  # nearly all of the other 448 do occur
    assert not any(world.is_reserved(*c) for c in trained)
    assert any(world.is_reserved(*c) for c in combinations(scenes(HELD_OUT_SEEDS.start, 100)))


@pytest.mark.parametrize("duration_s", [2.0, 4.0, 8.0, 24.0])
def test_one_shape_and_one_sound_at_a_time_inside_the_clip(duration_s):
    for scene in scenes(100, 60, duration_s):
        assert scene.moments
        for things in (scene.actors, scene.sounds, scene.moments):
            assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(things))
            assert all(0 <= t.start_s < t.end_s <= duration_s for t in things)
        for moment in scene.moments:
            assert moment.actor or moment.sound
            assert moment.actor is None or moment.actor.end_s - moment.actor.start_s >= 1.5
        assert len({a.name for a in scene.actors}) == len(scene.actors)


def test_shapes_stay_inside_the_frame():
    for scene in scenes(500, 150):
        for actor in scene.actors:
            for time_s in (actor.start_s, actor.end_s):
                x, y = actor.centre(time_s, scene.width, scene.height)
                assert 0.05 * scene.width < x < 0.95 * scene.width
                assert 0 < y < scene.height


def test_hard_cases_can_be_asked_for():
    scene = world.scene(3, ambient="music", pattern="checked")
    assert (scene.ambient, scene.pattern) == ("music", "checked")
    assert scene.moments == world.scene(3).moments


def test_misleading_and_silent_moments_occur():
    moments = [m for s in scenes(0, 200) for m in s.moments]
    share = [np.mean([bool(test(m)) for m in moments]) for test in (lambda m: not m.actor, lambda m: not m.sound)]
    assert 0.12 < share[0] < 0.28
    assert 0.12 < share[1] < 0.28


def test_a_filmed_scene_has_the_same_events_through_a_camera_that_moves():
    kinds = set()
    for seed in range(30):
        drawn, filmed = world.scene(seed), world.scene(seed, footage="filmed")
        assert filmed == world.scene(seed, footage="filmed")
        assert (drawn.moments, drawn.width, drawn.height, drawn.ambient) == (filmed.moments, filmed.width, filmed.height, filmed.ambient)
        assert (drawn.footage, filmed.footage) == ("drawn", "filmed") and drawn.shaken(1.3) == (0.0, 0.0)
        moved = [filmed.shaken(t / 10) for t in range(80)]
        assert max(abs(pixels) for shift in moved for pixels in shift) <= world.SHAKE * filmed.height
        pan = filmed.camera.panned(1.0, filmed.height)
        assert np.hypot(*pan) <= world.PAN * filmed.height + 1e-6
        kinds.add((pan != (0.0, 0.0), any(shift != (0.0, 0.0) for shift in moved)))
    assert kinds == {(True, False), (False, True), (True, True)}
    with pytest.raises(ValueError, match="footage"):
        world.scene(0, footage="painted")
