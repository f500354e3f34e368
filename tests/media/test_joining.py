"""A clip with the sound of another file: the pictures stay to the bit and at their instants, the sound is the other's."""

import wave

import av
import numpy as np
import pytest
from clips import READABLE, READABLE_WITH_DEFECTS, beep_starts, beeps, make_clip, text, time_shown

from omnizip import media
from omnizip.errors import MediaError
from omnizip.settings import Settings

SETTINGS = Settings()
BEEPS_S = (0.3, 1.2)
KINDS = ("rotated", "no sound", "variable frame rate", "HEVC", "AV1", "mkv", "webm", "late sound", "early sound", "cut after its index")


def write_wav(path):
    samples = (beeps(2.0, BEEPS_S) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def write_mp3(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(beeps(2.0, BEEPS_S)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("sound") / "sound.wav")


def joined(path, sound, folder):
    media.join_sound(path, sound, folder / "joined.mkv", SETTINGS)
    return media.load(folder / "joined.mkv", SETTINGS)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_stay_and_the_sound_is_the_other_files(kind, wav, tmp_path):
    path = {**READABLE, **READABLE_WITH_DEFECTS}[kind](tmp_path)
    alone, both = media.load(path, Settings(audio_track="none")), joined(path, wav, tmp_path)
    shown = len(alone.frames)  # where the sound is longer, the last picture stays
    np.testing.assert_array_equal(both.frames[:shown], alone.frames)
    assert both.frame_times_s[:shown] == pytest.approx(alone.frame_times_s, abs=0.002)
    assert (both.width, both.height) == (alone.width, alone.height)
    assert beep_starts(both.waveform) == pytest.approx(BEEPS_S, abs=0.005)
    assert not both.silent and not list(tmp_path.glob("*.part"))


def test_pictures_that_are_stored_in_another_order_stay_in_theirs(wav, tmp_path):
    path = tmp_path / "b.mp4"
    with av.open(str(make_clip(tmp_path / "a.mp4", seconds=3))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=30, options={"bf": "3", "b_strategy": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for frame in source.decode(video=0):
            frame.pict_type = 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    with av.open(str(path)) as written:
        assert any(packet.dts != packet.pts for packet in written.demux(video=0) if packet.size)
    alone, both = media.load(path, SETTINGS), joined(path, wav, tmp_path)
    np.testing.assert_array_equal(both.frames, alone.frames)
    assert [time_shown(frame) for frame in both.frames] == sorted(time_shown(frame) for frame in both.frames)


def test_the_same_files_make_the_same_bytes_and_others_do_not(wav, tmp_path):
    path = make_clip(tmp_path / "clip.mp4", seconds=2)
    digests = [joined(path, sound, tmp_path).digest for sound in (wav, wav, write_mp3(tmp_path / "sound.mp3"))]
    assert digests[0] == digests[1] != digests[2]


def test_mp3_is_heard_at_its_instants(tmp_path):
    both = joined(make_clip(tmp_path / "clip.mp4", seconds=2), write_mp3(tmp_path / "sound.mp3"), tmp_path)
    assert beep_starts(both.waveform) == pytest.approx(BEEPS_S, abs=0.03)


@pytest.mark.parametrize("sound", ["text", "picture alone"])
def test_a_sound_that_is_none_is_one_sentence(sound, tmp_path):
    path = make_clip(tmp_path / "clip.mp4", seconds=1)
    other = text(tmp_path) if sound == "text" else make_clip(tmp_path / "mute.mp4", seconds=1, sound=None)
    with pytest.raises(MediaError, match="^The sound that was given for clip.mp4 cannot be read; give a wav or mp3 file.$"):
        media.join_sound(path, other, tmp_path / "joined.mkv", SETTINGS)
    assert not list(tmp_path.glob("joined*"))


def test_a_clip_that_is_none_is_one_sentence(wav, tmp_path):
    with pytest.raises(MediaError, match="not a video"):
        media.join_sound(text(tmp_path), wav, tmp_path / "joined.mkv", SETTINGS)


def test_a_codec_that_cannot_be_copied_is_one_sentence(wav, tmp_path):
    with pytest.raises(MediaError, match="^animated.gif cannot be put beside another sound as it is; convert it to H.264 mp4.$"):
        media.join_sound(READABLE_WITH_DEFECTS["gif"](tmp_path), wav, tmp_path / "joined.mkv", SETTINGS)
