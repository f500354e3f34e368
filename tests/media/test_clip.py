"""Clips: what `load` says about a file against what was written into it, and one sentence for every file that cannot be read."""

import hashlib
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from clips import READABLE, READABLE_WITH_DEFECTS, UNREADABLE, beep_starts, beeps, make_clip, red_corner, time_shown

from omnizip import media
from omnizip.errors import MediaError
from omnizip.media import clip as clip_module
from omnizip.media import decoder_process
from omnizip.settings import Settings

SETTINGS = Settings(decode_timeout_s=120)
ALL_READABLE = {**READABLE, **READABLE_WITH_DEFECTS}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """name -> path of a file of the lists, each made once."""
    folder, paths = tmp_path_factory.mktemp("clips"), {}

    def path(name: str) -> Path:
        if name not in paths:
            paths[name] = {**UNREADABLE, **ALL_READABLE, "thirty seconds": clips.thirty_seconds}[name](folder)
        return paths[name]

    return path


def assert_frames_show_their_times(clip: media.Clip, tolerance_s: float = 0.006) -> None:
    """The bar code in each frame says the time that the clip claims for it."""
    shown = [time_shown(frame) for frame in clip.frames]
    np.testing.assert_allclose(shown, clip.frame_times_s, atol=tolerance_s)


# ---- files that cannot be read

CAUSES = {
    "empty": "empty.mp4 is empty",
    "text": "text.mp4 is not a video",
    "random bytes": "random.mp4 is not a video",
    "cut before its index": "cut off before its index",
    "directory": "folder.mp4 is a folder",
    "missing": "There is no file missing.mp4",
    "sound only": "has sound but no picture",
    "zero frames": "holds no picture",
    "too long": "lasts 601.0 s, longer than the 600 s",
    "too large": "has 600.0 MB, more than the 512 MB",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_file_is_one_sentence(name, made):
    path = made(name)
    with pytest.raises(MediaError) as raised:
        media.load(path, SETTINGS)
    sentence = str(raised.value)
    assert CAUSES[name] in sentence
    assert sentence.endswith(".") and sentence.count(". ") == 0 and "\n" not in sentence
    assert ";" in sentence, "the cure follows the cause"
    assert str(path.parent) not in sentence and "Traceback" not in sentence


def test_name_in_a_message_is_short_and_printable(tmp_path):
    path = tmp_path / ("a\nb\x1b[31m" + "x" * 150 + ".mp4")
    path.write_bytes(b"")
    with pytest.raises(MediaError) as raised:
        media.load(path, SETTINGS)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 200


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        media.load(tmp_path / "pipe.mp4", SETTINGS)


# ---- files that can be read

NO_SOUND = "There is no sound track"
EXPECTED_WARNINGS = {
    "variable frame rate": [],
    "rotated": [],
    "gif": [NO_SOUND],
    "5.1 sound": [],
    "no sound": [NO_SOUND],
    "late sound": ["The sound starts 1.5 s after the picture"],
    "flipped bits": ["The picture is damaged", "The sound is damaged", "The sound has gaps"],
    "cut after its index": ["The picture is damaged: 1 packet", "The file announces 4.0 s but ends after 1.8 s"],
    "odd size": [],
    "one frame": ["only one picture", NO_SOUND],
    "HEVC": [],
    "AV1": [],
    "PCM in mov": [],
    "mkv": [],
    "webm": [],
    "silent track": ["The sound track is silent"],
    "early sound": ["The sound starts 1.0 s before the picture"],
}
UNPLAYABLE = {"gif", "odd size", "HEVC", "PCM in mov", "mkv"}  # odd size: 4:4:4, which not every browser decodes
BEEPS = {"late sound": 2.0, "flipped bits": None, "silent track": None}  # others at 0.5 s


@pytest.mark.parametrize("name", ALL_READABLE)
def test_readable_file(name, made):
    clip = media.load(made(name), SETTINGS)
    assert len(clip.warnings) == len(EXPECTED_WARNINGS[name]), clip.warnings
    for warning, expected in zip(clip.warnings, EXPECTED_WARNINGS[name], strict=True):
        assert expected in warning and warning.endswith(".")
    assert clip.playable == (name not in UNPLAYABLE)
    assert clip.silent == (name == "silent track")
    assert red_corner(clip.frames[0]) == "top left"
    instants = np.arange(len(clip.frames)) / clip.fps
    assert clip.frame_times_s[0] == 0 and (clip.frame_times_s <= instants + 0.001).all()
    if name != "flipped bits":
        assert_frames_show_their_times(clip)
    if NO_SOUND in str(clip.warnings):
        assert clip.waveform is None
    elif BEEPS.get(name, 0.5) is not None:
        assert beep_starts(clip.waveform) == pytest.approx([BEEPS.get(name, 0.5)], abs=0.005)
    if clip.waveform is not None:
        assert clip.waveform.dtype == np.float32 and clip.waveform.ndim == 1


def test_variable_rate_is_sampled_by_time(made):
    clip = media.load(made("variable frame rate"), SETTINGS)
    stored = np.array([0, 0.03, 0.06, 0.09, 0.4, 0.48, 0.52, 0.9, 1.7, 1.72, 2.6])
    expected = [stored[stored <= k / 2 + 1e-6].max() for k in range(6)]
    np.testing.assert_allclose(clip.frame_times_s, expected, atol=1e-3)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 60])
def test_every_instant_shows_its_picture(fps, tmp_path):
    path = make_clip(tmp_path / "rate.mp4", fps=fps, seconds=3, size=(160, 120), sound=None)
    clip = media.load(path, Settings(fps=7))
    instants = np.arange(0, round(3 * fps) / fps - 1e-6, 1 / 7)  # all that fall before the last picture ends
    assert len(clip.frames) == len(instants)
    assert_frames_show_their_times(clip)
    late = instants - clip.frame_times_s
    assert (late > -0.001).all() and (late < 1 / fps + 0.001).all()


def test_long_clip_is_sampled_more_sparsely_and_evenly(tmp_path):
    path = make_clip(tmp_path / "long.mkv", seconds=24, fps=10, size=(160, 120), sound=None)
    clip = media.load(path, Settings(max_frames=8))
    assert clip.fps == pytest.approx(1 / 3)
    np.testing.assert_allclose(clip.frame_times_s, np.arange(8) * 3, atol=0.001)
    assert_frames_show_their_times(clip)
    assert any("0.33 frames per second" in warning for warning in clip.warnings)


@pytest.mark.parametrize(("clockwise", "corner"), [(0, "top left"), (90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_display_matrix_turns_the_picture(clockwise, corner, tmp_path):
    path = make_clip(tmp_path / "turned.mp4", seconds=0.5, sound=None)
    clips.set_display_matrix(path, clockwise)
    clip = media.load(path, SETTINGS)
    assert red_corner(clip.frames[0]) == corner
    assert (clip.width, clip.height) == clip.frames.shape[2:0:-1] == ((240, 320) if clockwise % 180 else (320, 240))


@pytest.mark.parametrize(("aspect", "shown", "read"), [(Fraction(2), (640, 240), (320, 120)), (Fraction(1, 2), (160, 240), (160, 240))])
def test_pixels_that_are_not_square(aspect, shown, read, tmp_path):
    clip = media.load(make_clip(tmp_path / "wide.mp4", seconds=0.5, sample_aspect=aspect, sound=None), SETTINGS)
    assert (clip.width, clip.height) == shown
    assert clip.frames.shape[2:0:-1] == read, "the shape players show, and no axis enlarged"


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (1922, 1080)])
def test_large_pictures_are_scaled_down_true_to_shape_and_colour(size, tmp_path):
    clip = media.load(make_clip(tmp_path / "large.mp4", seconds=0.2, size=size, sound=None), SETTINGS)
    height, width = clip.frames.shape[1:3]
    assert 0.85 * SETTINGS.decode_pixels < height * width <= SETTINGS.decode_pixels
    assert width / height == pytest.approx(size[0] / size[1], rel=0.005)
    assert (clip.width, clip.height) == size
    np.testing.assert_allclose(clip.frames[0][height // 8, width // 8], (230, 20, 20), atol=8)


def test_sound_gap_is_kept(tmp_path):
    path = tmp_path / "gap.mkv"
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound = clips._SoundTrack(container, beeps(3, (0.5, 1.5)), "pcm_s16le", "mono", 0.0)
        for k in range(40):
            frame = av.VideoFrame.from_ndarray(clips.picture((160, 120), k / 10), "rgb24")
            frame.pts = k
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound.write_until(1.0)
        sound.offset += 48_000  # nothing for a second
        sound.finish()
    clip = media.load(path, SETTINGS)
    assert beep_starts(clip.waveform) == pytest.approx([0.5, 2.5], abs=0.005)
    assert clip.warnings == ("The sound has gaps of 1.0 s in all; they were filled with silence.",)


def test_the_length_that_is_there_counts(tmp_path):
    whole = make_clip(tmp_path / "whole.mkv", seconds=8, sound_codec="libopus", size=(160, 120)).read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    clip = media.load(path, Settings(max_frames=8))
    assert 3 < clip.duration_s < 5 and 6 <= len(clip.frames) <= 8
    assert clip.fps == pytest.approx(min(2, 8 / clip.duration_s), rel=0.1), "thinned for what is there, not for what is announced"
    assert any("announces 8.0 s" in warning for warning in clip.warnings)


def test_progress_rises_to_one(made):
    heard = []
    media.load(made("mkv"), SETTINGS, heard.append)
    assert heard == sorted(heard) and heard[0] > 0 and heard[-1] == 1 and len(heard) > 3


def test_digest_is_of_the_bytes(made):
    expected = hashlib.sha256(made("webm").read_bytes()).hexdigest()[:16]
    assert media.load(made("webm"), SETTINGS).digest == media.digest(made("webm"), SETTINGS) == expected


def test_limits_are_settings(made):
    for settings, words in (
        (Settings(max_clip_s=1.5), "longer than the 1.5 s"),
        (Settings(max_file_mb=0.001), "more than the 0.001 MB"),
        (Settings(decode_timeout_s=0.01), "longer than 0.01 s"),
    ):
        with pytest.raises(MediaError, match=words):
            media.load(made("mkv"), settings)


def test_memory_limit_holds(tmp_path):
    path = make_clip(tmp_path / "huge.mp4", seconds=0.3, size=(3840, 2160), sound=None)
    with pytest.raises(MediaError, match="needs more than the 160 MB allowed"):
        media.load(path, Settings(decode_memory_mb=160))
    assert len(media.load(path, SETTINGS).frames) == 1


@pytest.mark.parametrize("name", ["HEVC", "rotated", "late sound", "odd size", "gif"])
def test_preview_is_playable_and_the_same_clip(name, made, tmp_path):
    media.transcode_preview(made(name), tmp_path / "preview.mp4")
    original, preview = media.load(made(name), SETTINGS), media.load(tmp_path / "preview.mp4", SETTINGS)
    assert preview.playable and red_corner(preview.frames[0]) == "top left"
    assert [time_shown(frame) for frame in preview.frames] == [time_shown(frame) for frame in original.frames]
    if original.waveform is not None:
        assert beep_starts(preview.waveform) == pytest.approx(beep_starts(original.waveform), abs=0.005)


def test_preview_of_an_unreadable_file_leaves_nothing(made, tmp_path):
    with pytest.raises(MediaError):
        media.transcode_preview(made("random bytes"), tmp_path / "preview.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_copy_that_fails_says_so(made, tmp_path):
    with pytest.raises(MediaError, match="No copy that browsers play could be made: it would be larger than a file may be"):
        media.transcode_preview(made("thirty seconds"), tmp_path / "copy.mp4", Settings(max_file_mb=12, decode_timeout_s=120))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_picture_is_decoded_once_and_only_the_sampled_are_sent(made, monkeypatch):
    """What makes reading cost little more than plain decoding: no second decoding, no picture sent that is not shown."""
    read, counted = decoder_process.receive, []

    def receive(decoder, *arguments):
        messages = decoder.read_message
        decoder.read_message = lambda: counted.append(messages()) or counted[-1]
        return read(decoder, *arguments)

    monkeypatch.setattr(clip_module, "receive", receive)
    clip = media.load(made("thirty seconds"), SETTINGS)
    with av.open(made("thirty seconds")) as container:
        pictures = container.streams.video[0].frames
    assert pictures == 900 and len(clip.frames) == 60 and len(clip.waveform) == pytest.approx(480_000, abs=1000)
    assert sum(tag == b"FRAM" for tag, _ in counted) == 60
    assert clip.frames.nbytes == 60 * clip.frames[0].size


def test_an_error_of_the_listener_ends_the_decoder(made, monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(decoder_process.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        media.load(made("mkv"), SETTINGS, stop)
    assert [process.returncode is not None for process in started] == [True]
