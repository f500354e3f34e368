"""The overlay is true: from the written image and video alone, exactly the kept patches can be recovered."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from ui import frames
from ui.frames import overlay, overlay_video, patch_size, step_masks

ROWS, COLUMNS, STEPS, FPS = 16, 9, 5, 2.0  # a 9:16 clip


@pytest.fixture(scope="module")
def portrait():
    """Ten bright, colourful 9:16 frames, sized unlike any multiple of the grid."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[0:639, 0:359]
    pictures = [np.stack([120 + 100 * np.sin(x / 37 + k + i), 140 + 90 * np.cos(y / 51 - i), 160 + 60 * np.sin((x + y) / 80)], -1)
                for i in range(2 * STEPS) for k in [i / 3]]  # fmt: skip
    masks = generator.random((STEPS, ROWS, COLUMNS)) < 0.4
    return np.stack(pictures).clip(30, 255).astype(np.uint8), masks


def kept_patches(image, frame):
    """Which patches of a drawn image are the frame itself: told by colour distance to the frame, resized here anew."""
    high, wide = image.shape[0] // ROWS, image.shape[1] // COLUMNS
    plain = np.asarray(Image.fromarray(frame).resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR))
    error = np.abs(image.astype(float) - plain).mean(-1).reshape(ROWS, high, COLUMNS, wide).mean((1, 3))
    return error < 12, error


def test_png_shows_exactly_the_kept_patches(portrait):
    pictures, masks = portrait
    for step in range(STEPS):
        buffer = io.BytesIO()
        Image.fromarray(overlay(pictures[2 * step], masks[step])).save(buffer, "PNG")
        image = np.asarray(Image.open(buffer))
        found, error = kept_patches(image, pictures[2 * step])
        np.testing.assert_array_equal(found, masks[step])
        assert error[masks[step]].max() == 0, "kept patches must be the frame, untouched"
        assert error[~masks[step]].min() > 30, "dropped patches must be plainly dimmer"


def test_every_dropped_pixel_differs_even_in_a_black_frame():
    black = np.zeros((90, 160, 3), np.uint8)
    keep = np.zeros((4, 6), bool)
    keep[1, 2] = True
    image = overlay(black, keep)
    high, wide = patch_size(90, 160, 4, 6)
    expected = np.kron(keep, np.ones((high, wide), bool))
    np.testing.assert_array_equal((image == 0).all(-1), expected)


def test_patches_are_even_whole_pixels_and_the_shape_is_kept():
    for height, width, rows, columns in ((640, 360, 16, 9), (270, 480, 8, 14), (100, 100, 11, 11), (1, 500, 1, 40)):
        high, wide = patch_size(height, width, rows, columns)
        assert high % 2 == 0 and wide % 2 == 0
        if min(height, width) > 50:
            assert (rows * high) / (columns * wide) == pytest.approx(height / width, rel=0.06)


def test_video_shows_each_step_for_its_span_with_sound(portrait, tmp_path):
    pictures, masks = portrait
    t = np.arange(int(16_000 * STEPS * 2 / FPS)) / 16_000
    click = np.where((t % 1.0 > 0.5) & (t % 1.0 < 0.55), 0.8 * np.sin(2 * np.pi * 900 * t), 0).astype(np.float32)
    seen = []
    path = overlay_video(pictures, masks, FPS, click, tmp_path / "kept.mp4", seen.append)
    shown = {}
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        for frame in container.decode(video=0):
            index = min(len(pictures) - 1, int(frame.time * FPS + 1e-6))
            found, _ = kept_patches(frame.to_ndarray(format="rgb24"), pictures[index])
            np.testing.assert_array_equal(found, masks[index // 2], err_msg=f"at {frame.time:.2f} s")
            shown.setdefault(index // 2, []).append(frame.time)
    assert sorted(shown) == list(range(STEPS))
    for step, times in shown.items():
        assert min(times) == pytest.approx(step, abs=1e-3) and len(times) == 10
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        chunks = [c.to_ndarray()[0] for f in container.decode(audio=0) for c in resampler.resample(f)]
    loud = np.flatnonzero(np.abs(np.concatenate(chunks)) > 0.2) / 16_000
    assert loud.min() == pytest.approx(0.5, abs=0.08), "sound starts with the picture"
    assert seen and seen == sorted(seen) and seen[-1] > 0.9


def test_video_without_sound_and_with_longer_sound(portrait, tmp_path):
    pictures, masks = portrait
    for waveform, seconds in ((None, 2.0), (np.zeros(16_000 * 3, np.float32), 3.0)):
        path = overlay_video(pictures[:4], masks[:2], FPS, waveform, tmp_path / f"{seconds}.mp4")
        with av.open(str(path)) as container:
            assert len(list(container.decode(video=0))) == pytest.approx(seconds * 10, abs=1)
            assert bool(container.streams.audio) == (waveform is not None)


def test_steps_follow_the_stream():
    keep = np.array([1, 1, 0, 1, 0, 1, 1, 0, 1], bool)
    modality = np.array([0, 2, 2, 2, 2, 1, 2, 2, 0], np.uint8)
    np.testing.assert_array_equal(step_masks(keep, modality, (3, 1, 2)), [[[True, False]], [[True, False]], [[True, False]]])
    assert frames.LONG_SIDE >= 480
