"""What is rendered is what the scene says: read back from pixels and samples, and from the file through the product's decoder."""

import colorsys

import numpy as np
import pytest

from omnizip import media
from omnizip.evaluation.world import render, sounds
from omnizip.evaluation.world import scene as world
from omnizip.settings import Settings

HUES = {"red": 0, "orange": 32, "yellow": 57, "green": 132, "cyan": 184, "blue": 227, "purple": 282}  # degrees, as people name them


def blob(scene, time_s):
    """(mask, colour) of what differs from the empty stage, by pixels alone."""
    picture = render.frames(scene, np.array([time_s]))[0].astype(float)
    mask = np.abs(picture - render.backdrop(scene, time_s)).max(-1) > 30
    return mask, np.median(picture[mask], axis=0) if mask.any() else None


def named(colour):
    """The name of an RGB triple by hue, white by saturation."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(colour / 255))
    if saturation < 0.2:
        return "white"
    return min(HUES, key=lambda name: abs((hue * 360 - HUES[name] + 180) % 360 - 180))


@pytest.mark.slow
def test_pixels_show_the_shape_where_and_in_the_colour_the_truth_says_or_nothing():
    shown = 0
    for seed in range(40):
        scene = world.scene(seed)
        for time_s in np.arange(0, 8, 0.5):
            mask, colour = blob(scene, time_s)
            actor = scene.actor_at(time_s)
            if actor is None:
                assert mask.sum() < 10
                continue
            shown += 1
            rows, columns = mask.nonzero()
            x, y = actor.centre(time_s, scene.width, scene.height)
            middle = ((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2)
            assert abs(middle[0] - x) < 5
            assert abs(middle[1] - y) < 6
            assert named(colour) == actor.colour
    assert shown > 200


@pytest.mark.parametrize(
    ("shape", "filled", "hole"),
    [
        ("circle", 0.785, False),
        ("ring", 0.54, True),
        ("square", 1.0, False),
        ("diamond", 0.5, False),
        ("triangle", 0.5, False),
        ("cross", 0.51, False),
        ("star", 0.33, False),
        ("heart", 0.7, False),
    ],
)
def test_shapes_have_the_area_and_the_hole_they_should(shape, filled, hole):
    actor = world.Actor(shape, "red", 0, 2, 0.5, 0.5, 0.3, "still", 0.0, 0.0)
    mask = render.coverage(actor, 0, 128, 128) > 0.5
    rows, columns = mask.nonzero()
    box = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert box.mean() == pytest.approx(filled, abs=0.06)
    assert bool(mask[64, 64]) is not hole


def test_movement_goes_the_way_the_truth_says():
    seen = set()
    for seed in range(300):
        scene = world.scene(seed)
        for actor in scene.actors:
            first, last = (blob(scene, t)[0].nonzero() for t in (actor.start_s, actor.end_s - 0.5))
            down, right = (np.ptp([a.mean(), b.mean()]) * np.sign(b.mean() - a.mean()) for a, b in zip(first, last, strict=True))
            moved = {"still": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}[actor.motion]
            assert [0 if abs(v) < 4 else np.sign(v) for v in (right, down)] == list(moved)
            seen.add(actor.motion)
        if len(seen) == 5 and seed > 20:
            return
    raise AssertionError(f"only {seen} occurred")


def test_sound_is_loud_where_the_truth_says_and_absent_elsewhere():
    for seed in range(30):
        scene = world.scene(seed, ambient="silence")
        wave = render.waveform(scene)
        heard = np.zeros(wave.size, bool)
        for sound in scene.sounds:
            first, last = round(sound.start_s * 16000), round(sound.end_s * 16000)
            heard[first:last] = True
            assert np.sqrt((wave[first:last] ** 2).mean()) > 0.02
        assert np.abs(wave[~heard]).max(initial=0) == 0


def test_sounds_differ_as_they_should():
    def centroid(name):
        wave = sounds.synthesise(name, 1.0, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(wave)) ** 2
        return (power * np.fft.rfftfreq(wave.size, 1 / 16000)).sum() / power.sum()

    assert centroid("drum") < 300 < centroid("beep") < 1500 < centroid("whistle") < 2900 < centroid("chirp")
    wave = sounds.synthesise("bell", 1.5, np.random.default_rng(0))
    assert np.abs(wave[:1600]).max() > 3 * np.abs(wave[7000:8500]).max()  # a stroke rings out


@pytest.mark.parametrize("name", [*sounds.EVENTS, *sounds.AMBIENTS])
def test_every_sound_is_bounded_and_repeatable(name):
    first, again = (sounds.synthesise(name, 0.7, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (11200,)
    assert np.array_equal(first, again)
    assert np.abs(first).max() <= 1


def test_the_file_holds_what_was_rendered(tmp_path):
    scene = world.scene(world.HELD_OUT_SEEDS.start + 1, ambient="silence")
    clip = media.load(render.write_mp4(scene, tmp_path / "clip.mp4"), Settings())
    times = np.arange(len(clip.frames)) / 2
    assert clip.fps == 2
    assert clip.duration_s == pytest.approx(8, abs=0.1)
    assert clip.playable
    truth = render.frames(scene, times)
    assert clip.frames.shape == truth.shape
    assert np.abs(clip.frames.astype(int) - truth).mean() < 8
    envelope = np.abs(clip.waveform[: 16000 * 8]).reshape(-1, 800).max(1)  # 50 ms
    for sound in scene.sounds:
        assert envelope[int(sound.start_s * 20) + 1] > 0.02
        assert envelope[max(0, int(sound.start_s * 20) - 2)] < 0.02 or scene.sound_at(sound.start_s - 0.1)


def test_a_large_picture_shows_the_same_as_a_small_one():
    scene = world.scene(world.HELD_OUT_SEEDS[5], 8.0, (128, 128), pattern="striped")
    times = np.array([scene.actors[0].start_s + 0.5])
    small, large = render.frames(scene, times), render.frames(scene, times, 4)
    assert large.shape == (1, 512, 512, 3)
    shrunk = large.reshape(1, 128, 4, 128, 4, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 6  # noise, and edges that fall differently


def test_a_filmed_backdrop_moves_as_far_as_the_camera_says():
    """The shift between two frames is found from their pixels alone, by the peak of their cross-correlation."""
    found = 0
    for seed in range(12):
        scene = world.scene(seed, size=(128, 128), footage="filmed")
        before, after = (render.backdrop(scene, t).mean(-1) for t in (0.0, 2.0))
        right, down = (p + s - z for p, s, z in zip(scene.camera.panned(2.0, 128), scene.shaken(2.0), scene.shaken(0.0), strict=True))
        best = min(
            ((dy, dx) for dy in range(-66, 67) for dx in range(-66, 67) if abs(dy - down) < 8 and abs(dx - right) < 8),
            key=lambda shift: _unlike(before, after, *shift),
        )
        assert np.hypot(best[0] - down, best[1] - right) < 1.1, (seed, best, down, right)
        found += np.hypot(right, down) > 5
    assert found > 3


def _unlike(before, after, down, right):
    """Mean difference where both frames show the same surface, each less its own light."""
    a = before[max(0, -down) : 128 - max(0, down), max(0, -right) : 128 - max(0, right)]
    b = after[max(0, down) : 128 + min(0, down), max(0, right) : 128 + min(0, right)]
    return np.abs((a - a.mean()) - (b - b.mean())).mean()


def test_a_filmed_shape_is_painted_where_the_hand_has_moved_it():
    scene = next(s for seed in range(99) if (s := world.scene(seed, footage="filmed")).camera.shake and s.actors)
    actor = scene.actors[0]
    for time_s in (actor.start_s, actor.start_s + 0.7):
        mask = render.coverage(actor, time_s, scene.width, scene.height, shaken=scene.shaken(time_s)) > 0.5
        seen = np.abs(render.frames(scene, np.array([time_s]))[0] - render.backdrop(scene, time_s)).max(-1) > 30
        assert (mask & seen).sum() > 0.9 * mask.sum()
        x, y = actor.centre(time_s, scene.width, scene.height)
        unshaken = render.coverage(actor, time_s, scene.width, scene.height) > 0.5
        right, down = scene.shaken(time_s)
        middle = np.argwhere(mask).mean(0) - np.argwhere(unshaken).mean(0)
        assert abs(middle[0] - down) < 0.5 and abs(middle[1] - right) < 0.5
