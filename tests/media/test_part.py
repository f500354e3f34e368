"""A part of a clip and its sound by choice, against what ffmpeg's own program makes of the same range."""

import av
import clips
import ffmpeg
import numpy as np
import pytest

from omnizip import media
from omnizip.errors import MediaError, OmniZipError
from omnizip.settings import Settings

RATE_HZ = 16_000
NEAR_S = 0.02
SECONDS = 12
BEEPS_S = (0.5, 3.1, 4.4, 6.2, 7.7, 9.3, 11.0)


@pytest.fixture(scope="session", params=["mp4", "mkv", "ts"])
def film(request, tmp_path_factory):
    """Twelve seconds with a bar code of the time, a key picture about every ten seconds, and beeps."""
    path = tmp_path_factory.mktemp("part") / f"film.{request.param}"
    return clips.make_clip(path, seconds=SECONDS, sound=clips.beeps(SECONDS, BEEPS_S))


@pytest.fixture(scope="session")
def two_tracks(tmp_path_factory):
    """A film whose first track beeps at 1 s and whose second, in German, at 2 s."""
    folder = tmp_path_factory.mktemp("tracks")
    first, second = (clips.make_clip(folder / f"{at}.mp4", seconds=4, sound=clips.beeps(4, (at,))) for at in (1.0, 2.0))
    out = folder / "two.mkv"
    ffmpeg.ffmpeg(
        *("-i", first, "-i", second, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy"),
        *("-metadata:s:a:1", "language=ger", "-metadata:s:a:1", "title=Kommentar", out),
    )
    return out


@pytest.mark.parametrize(("start", "end"), [(0.0, 5.0), (3.3, 8.3), (10.75, 0.0), (6.0, 6.5)])
def test_frames_and_sound_of_a_part_are_those_of_the_range(film, start, end):
    settings = Settings(start=start, end=end)
    clip = media.load(film, settings)
    length_s = (end or SECONDS) - start
    assert clip.duration_s == pytest.approx(length_s, abs=0.1)
    assert len(clip.frames) == pytest.approx(length_s * clip.fps, abs=1)
    shown = np.array([clips.time_shown(frame) for frame in clip.frames])
    instants = start + np.arange(len(shown)) / clip.fps
    assert np.all(np.abs(shown - instants) < 1 / 15)  # the picture that is on screen then, of about 30 a second
    heard = np.array(clips.beep_starts(clip.waveform)) + start
    expected = [at for at in BEEPS_S if start <= at < start + length_s]
    np.testing.assert_allclose(heard, expected, atol=NEAR_S)


def test_pictures_and_sound_of_a_part_are_those_ffmpeg_cuts_out(tmp_path):
    sound = np.random.default_rng(3).normal(0, 0.2, 48_000 * SECONDS).astype(np.float32)
    film = clips.make_clip(tmp_path / "noise.mp4", seconds=SECONDS, sound=sound)
    start, end = 4.2, 9.2
    clip = media.load(film, Settings(start=start, end=end))
    height, width = clip.frames.shape[1:3]
    cut = ffmpeg.pictures(film, (width, height), f"trim={start}:{end}")
    theirs = np.array([clips.time_shown(picture) for picture in cut[:: len(cut) // len(clip.frames)][: len(clip.frames)]])
    ours = np.array([clips.time_shown(frame) for frame in clip.frames])
    assert np.all(np.abs(ours - theirs) < 1 / clip.fps)  # within one sampled frame
    reference = ffmpeg.sound(film, "-af", f"atrim={start}:{end},asetpts=PTS-STARTPTS")
    length = min(len(reference), len(clip.waveform))
    assert length == pytest.approx((end - start) * RATE_HZ, abs=NEAR_S * RATE_HZ)
    spectrum = np.fft.rfft(clip.waveform[:length], 2 * length) * np.conj(np.fft.rfft(reference[:length], 2 * length))
    shift = int(np.argmax(np.fft.irfft(spectrum)))
    shift = shift - 2 * length if shift > length else shift
    assert abs(shift) <= NEAR_S * RATE_HZ


def test_a_film_over_the_limit_is_read_where_its_part_is_within(tmp_path):
    film = clips.make_clip(tmp_path / "film.mp4", seconds=40, size=(64, 64), fps=2, sound=None)
    with pytest.raises(MediaError, match="choose a part of it with start and end"):
        media.load(film, Settings(max_clip_s=10))
    assert media.load(film, Settings(max_clip_s=10, start=25, end=33)).duration_s == pytest.approx(8, abs=0.01)
    with pytest.raises(MediaError, match=r"^The chosen part of film.mp4 lasts 15.0 s, longer than the 10 s"):
        media.load(film, Settings(max_clip_s=10, start=25))


def test_a_start_behind_the_end_is_one_sentence_with_the_cure(tmp_path):
    film = clips.make_clip(tmp_path / "short.mp4", seconds=2)
    with pytest.raises(MediaError, match=r"^short.mp4 ends after 2.0 s, so nothing is left from 9 s on; give an earlier start.$"):
        media.load(film, Settings(start=9))


def test_what_was_chosen_is_said(tmp_path):
    film = clips.make_clip(tmp_path / "short.mp4", seconds=2)
    part = media.load(film, Settings(start=1, end=30))
    assert part.warnings[0].startswith("Only the part from 1 s to 2.0 s was read")
    assert part.warnings[1] == "The clip ends at 2.0 s, before the chosen end, 30 s."
    assert part.playable and not part.shows_as_it_is
    assert len(media.load(film, Settings(start=0.25)).warnings) == 1
    assert media.load(film, Settings()).shows_as_it_is


@pytest.mark.parametrize("wrong", [{"start": 3, "end": 2}, {"start": 2, "end": 2}, {"audio_track": "0"}, {"audio_track": "first"}])
def test_settings_that_choose_nothing_are_refused(wrong):
    with pytest.raises(OmniZipError, match="; give "):
        Settings(**wrong)


@pytest.mark.parametrize(("track", "at"), [("main", 1.0), ("1", 1.0), ("2", 2.0)])
def test_the_track_that_was_asked_for_is_heard(two_tracks, track, at):
    clip = media.load(two_tracks, Settings(audio_track=track))
    np.testing.assert_allclose(clips.beep_starts(clip.waveform), [at], atol=NEAR_S)
    assert any("sound tracks" in warning and ("as chosen" in warning) == (track != "main") for warning in clip.warnings)


def test_without_sound_the_picture_is_read_alone(two_tracks):
    clip = media.load(two_tracks, Settings(audio_track="none"))
    assert clip.waveform is None and clip.warnings == ("The sound was left out, as chosen, so no sound guides the compression.",)


def test_a_track_that_is_not_there_names_those_that_are(two_tracks, tmp_path):
    with pytest.raises(MediaError, match=r"has no sound track 3; it has 2 \(1.*, 2 ger Kommentar\): choose one of these"):
        media.load(two_tracks, Settings(audio_track="3"))
    with pytest.raises(MediaError, match="has no sound, so there is no track 1; choose main or none"):
        media.load(clips.make_clip(tmp_path / "mute.mp4", sound=None), Settings(audio_track="1"))


def test_the_copy_for_the_page_is_the_part_with_the_sound_that_was_chosen(two_tracks, tmp_path):
    out = tmp_path / "copy.mp4"
    media.transcode_preview(two_tracks, out, Settings(start=1.5, end=3.5, audio_track="2"))
    copy = media.load(out, Settings())
    assert copy.duration_s == pytest.approx(2, abs=0.1)
    assert abs(clips.time_shown(copy.frames[0]) - 1.5) < 1 / 15
    np.testing.assert_allclose(clips.beep_starts(copy.waveform), [0.5], atol=NEAR_S)
    media.transcode_preview(two_tracks, out, Settings(audio_track="none"))
    with av.open(out) as container:
        assert not container.streams.audio


def test_a_part_of_a_file_with_decoding_times_alone_begins_where_the_whole_is_at_that_time(tmp_path):
    film = clips.make_clip(tmp_path / "film.avi", seconds=SECONDS, sound=clips.beeps(SECONDS, BEEPS_S))
    whole, part = media.load(film, Settings()), media.load(film, Settings(start=3))
    later = [at - 3 for at in clips.beep_starts(whole.waveform) if at >= 3]
    np.testing.assert_allclose(clips.beep_starts(part.waveform), later, atol=NEAR_S)
    shown = [[clips.time_shown(frame) for frame in frames] for frames in (whole.frames[6:], part.frames)]
    count = min(map(len, shown))
    np.testing.assert_allclose(shown[0][:count], shown[1][:count], atol=1 / 15)


def test_what_there_is_to_choose_from_is_read_from_the_headers(two_tracks, tmp_path):
    found = media.tracks(two_tracks, Settings())
    assert found.duration_s == pytest.approx(4, abs=0.1) and found.sounds == ("", "ger Kommentar")
    mute = media.tracks(clips.make_clip(tmp_path / "mute.mp4", seconds=3, sound=None), Settings(max_clip_s=1))
    assert mute.duration_s == pytest.approx(3, abs=0.05) and mute.sounds == ()
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(MediaError, match="is not a video this program can read"):
        media.tracks(tmp_path / "text.mp4", Settings())
