"""Files as people have them: what `load` makes of each against what ffmpeg's own program shows."""

import struct
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import make_clip, red_corner, time_shown
from ffmpeg import ffmpeg, length_s, pictures, sound

from omnizip import media
from omnizip.settings import Settings

SETTINGS = Settings(decode_timeout_s=120)
SIZE = (320, 240)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Six seconds with a time code in the picture and a beep at each half second."""
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    return make_clip(path, seconds=6, fps=25, sound=clips.beeps(6, np.arange(0.5, 6)), codec="libx264")


def assert_says(clip: media.Clip, *expected: str) -> None:
    """The warnings are these, in this order, and no others."""
    assert len(clip.warnings) == len(expected), clip.warnings
    for warning, part in zip(clip.warnings, expected, strict=True):
        assert part in warning and warning.endswith(".")


# ---- clocks that restart or jump


def joined(base: Path, folder: Path, kind: str, *second: object) -> Path:
    """The first and the last three seconds of `base`, one file after the other."""
    parts = folder / f"a.{kind}", folder / f"b.{kind}"
    encode = ("-q:v", 3, "-r", 25, "-g", 12)
    ffmpeg("-i", base, "-t", 3, *encode, "-f", kind, parts[0])
    ffmpeg("-ss", 3, "-i", base, *encode, *second, "-f", kind, parts[1])
    path = folder / f"joined.{kind}"
    path.write_bytes(parts[0].read_bytes() + parts[1].read_bytes())
    return path


@pytest.mark.parametrize("kind", ["mpegts", "vob"])
@pytest.mark.parametrize("second", [(), ("-output_ts_offset", 500)], ids=["restarts", "jumps"])
def test_a_clock_that_restarts_or_jumps_loses_nothing(kind, second, base, tmp_path):
    path = joined(base, tmp_path, kind, *second)
    clip = media.load(path, SETTINGS)
    assert clip.duration_s == pytest.approx(length_s(path), abs=0.15) == pytest.approx(6, abs=0.15)
    assert_says(clip, "clock jumps once")
    shown = [time_shown(frame) for frame in clip.frames[:12]]
    np.testing.assert_allclose(shown, np.arange(12) / 2, atol=0.09)
    np.testing.assert_allclose(clip.frame_times_s[:12], shown, atol=0.06)
    expected = clips.beep_starts(sound(path, "-ac", 1))
    assert len(expected) == 6
    assert clips.beep_starts(clip.waveform) == pytest.approx(np.arange(0.5, 6), abs=0.08)


def test_three_parts_of_a_transport_stream_come_one_after_the_other(base, tmp_path):
    part = joined(base, tmp_path, "mpegts")
    whole = tmp_path / "three.ts"
    whole.write_bytes((tmp_path / "a.mpegts").read_bytes() * 3)
    clip = media.load(whole, SETTINGS)
    assert clip.duration_s == pytest.approx(length_s(whole), abs=0.2) == pytest.approx(9, abs=0.3)
    assert_says(clip, "clock jumps twice")
    assert part.exists()


# ---- the end of a clip


def test_the_last_picture_stays_while_there_is_sound(tmp_path):
    path = tmp_path / "stays.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=r=10:d=0.4:s=320x240", "-f", "lavfi", "-i", "sine=d=6", "-pix_fmt", "yuv420p", path)
    clip = media.load(path, SETTINGS)
    assert clip.duration_s == pytest.approx(length_s(path), abs=0.05) == pytest.approx(6, abs=0.1)
    assert len(clip.frames) == 12 and clip.frame_times_s[-1] == pytest.approx(0.3)
    last = pictures(path, SIZE)[-1].astype(int)
    assert np.abs(clip.frames[-1] - last).mean() < 3
    assert_says(clip, "picture ends after 0.4 s")


# ---- orientation

MATRICES = {
    "as stored": (1, 0, 0, 1),
    "left and right swapped": (-1, 0, 0, 1),
    "top and bottom swapped": (1, 0, 0, -1),
    "half a turn": (-1, 0, 0, -1),
    "quarter turn": (0, 1, -1, 0),
    "three quarters": (0, -1, 1, 0),
    "transposed": (0, 1, 1, 0),
    "transposed the other way": (0, -1, -1, 0),
}


def write_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Rewrite the first track's display matrix (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("name", MATRICES)
def test_all_eight_orientations_are_as_ffmpeg_shows_them(name, tmp_path):
    path = make_clip(tmp_path / "turned.mp4", seconds=0.5, sound=None)
    write_matrix(path, *MATRICES[name])
    size = SIZE[::-1] if MATRICES[name][0] == 0 else SIZE
    clip = media.load(path, SETTINGS)
    assert (clip.width, clip.height) == size == clip.frames.shape[2:0:-1]
    truth = pictures(path, size)[0]
    assert red_corner(clip.frames[0]) == red_corner(truth)
    assert np.abs(clip.frames[0].astype(int) - truth).mean() < 3
    media.transcode_preview(path, tmp_path / "copy.mp4")
    copy = media.load(tmp_path / "copy.mp4", SETTINGS)
    assert np.abs(copy.frames[0].astype(int) - truth).mean() < 6 and copy.playable


# ---- choosing among tracks


def hide_codec(path: Path, old: bytes, new: bytes) -> None:
    """Give the first track of that kind the name of a codec that nothing here decodes."""
    data = bytearray(path.read_bytes())
    at = data.index(old, data.index(b"stsd"))
    data[at : at + 4] = new
    if old == b"mp4a":
        at = data.index(b"esds", at)  # it says AAC once more
        data[at : at + 4] = b"free"
    path.write_bytes(data)


@pytest.fixture
def two_tracks(base, tmp_path):
    """Two pictures (the second smaller) and two sounds (beeps; a tone)."""
    path = tmp_path / "two.mp4"
    ffmpeg(
        *("-i", base, "-f", "lavfi", "-i", "sine=d=6:frequency=440:r=48000", "-f", "lavfi", "-i", "testsrc=d=6:r=25:s=160x120"),
        *("-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2:v", "-c:v:0", "copy", "-c:a:0", "copy", "-c:a:1", "aac"),
        *("-c:v:1", "mpeg4", "-disposition:a:0", "default", path),
    )
    return path


def test_sound_that_can_be_decoded_is_preferred(two_tracks, tmp_path):
    truth = sound(two_tracks, "-map", "0:a:1", "-ac", 1)
    hide_codec(two_tracks, b"mp4a", b"apac")
    clip = media.load(two_tracks, SETTINGS)
    both = min(len(truth), len(clip.waveform))
    assert np.abs(truth[:both] - clip.waveform[:both]).max() < 0.01
    assert_says(clip, "2 video tracks; only the main one", "2 sound tracks; the main one cannot be decoded, so another was read")


def test_a_picture_that_can_be_decoded_is_preferred(two_tracks):
    shown = ffmpeg("-i", two_tracks, "-map", "0:v:1", "-frames:v", 1, "-pix_fmt", "rgb24", "-f", "rawvideo", "-").stdout
    truth = np.frombuffer(shown, np.uint8).reshape(120, 160, 3)
    hide_codec(two_tracks, b"avc1", b"xyz1")
    clip = media.load(two_tracks, SETTINGS)
    assert (clip.width, clip.height) == (160, 120)
    assert np.abs(clip.frames[0].astype(int) - truth).mean() < 3
    assert_says(clip, "2 video tracks; the main one cannot be decoded, so another was read", "2 sound tracks; only the main one")


def test_a_sound_track_of_garbage_is_passed_over(base, tmp_path):
    """Its codec is known, but nothing in it can be decoded."""
    path = tmp_path / "garbage.mkv"
    ffmpeg(
        *("-i", base, "-f", "lavfi", "-i", "sine=d=6", "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c:v", "copy", "-c:a:0", "copy"),
        *("-c:a:1", "libopus", "-bsf:a:0", "noise=amount=1", "-disposition:a:0", "default", path),
    )
    clip = media.load(path, SETTINGS)
    truth = sound(path, "-map", "0:a:1", "-ac", 1)
    assert clip.waveform is not None and np.sqrt((clip.waveform**2).mean()) == pytest.approx(np.sqrt((truth**2).mean()), rel=0.1)


# ---- sound


def test_opposite_phases_do_not_cancel(tmp_path):
    path = tmp_path / "phase.mkv"
    tone = "aevalsrc=0.3*sin(880*PI*t)|-0.3*sin(880*PI*t):d=3:s=48000"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=3:r=10:s=320x240", "-f", "lavfi", "-i", tone, "-c:a", "pcm_s16le", path)
    clip = media.load(path, SETTINGS)
    truth = sound(path, "-af", "pan=mono|c0=c0")
    np.testing.assert_allclose(clip.waveform, truth[: len(clip.waveform)], atol=2e-3)
    assert not clip.silent
    assert_says(clip, "channels cancel each other for 3.0 s")


def test_only_the_part_that_cancels_is_taken_from_one_channel(tmp_path):
    path = tmp_path / "phase.mkv"
    tone = "aevalsrc=0.3*sin(880*PI*t)|0.3*sin(880*PI*t)*if(between(t\\,2\\,4)\\,-1\\,1):d=6:s=48000"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=6:r=10:s=320x240", "-f", "lavfi", "-i", tone, "-c:a", "pcm_s16le", path)
    clip = media.load(path, SETTINGS)
    left = sound(path, "-af", "pan=mono|c0=c0")
    both = sound(path, "-af", "pan=mono|c0=0.70710678*c0+0.70710678*c1")
    np.testing.assert_allclose(clip.waveform[8000:28000], both[8000:28000], atol=2e-3)
    np.testing.assert_allclose(clip.waveform[52000:60000], left[52000:60000], atol=2e-3)
    np.testing.assert_allclose(clip.waveform[84000:95000], both[84000:95000], atol=2e-3)
    seconds = clip.waveform[: 6 * 16000].reshape(24, -1)
    assert (np.sqrt((seconds**2).mean(axis=1)) > 0.1).all(), "no quarter of a second is lost"


@pytest.mark.parametrize("channel", range(8))
def test_every_channel_of_a_layout_is_heard(channel, tmp_path):
    path = tmp_path / "one.mkv"
    parts = "|".join("0.3*sin(880*PI*t)" if k == channel else "0" for k in range(8))
    tone = f"aevalsrc={parts}:d=2:s=48000:c=7.1"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2:r=10:s=320x240", "-f", "lavfi", "-i", tone, "-c:a", "flac", path)
    truth = sound(path, "-af", f"pan=mono|c0=c{channel}")
    clip = media.load(path, SETTINGS)
    assert not clip.silent and clip.warnings == ()
    share = float(clip.waveform @ truth / (truth @ truth))
    assert 0.4 < share <= 1.01
    np.testing.assert_allclose(clip.waveform, share * truth[: len(clip.waveform)], atol=5e-3)


def test_too_many_channels_are_refused_and_the_clip_is_kept(tmp_path):
    path = tmp_path / "many.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc=d=2:r=10:s=320x240", "-f", "lavfi", "-i", f"aevalsrc={'|'.join(['sin(t)'] * 64)}:d=2:s=48000"),
        *("-c:a", "pcm_s16le", path),
    )
    clip = media.load(path, SETTINGS)
    assert len(clip.frames) == 4 and clip.waveform is None
    assert_says(clip, "64 channels, more than can be read")


def test_channels_without_names_are_mixed_alike(tmp_path):
    path = tmp_path / "twelve.mkv"
    tone = f"aevalsrc={'|'.join(['0'] * 11)}|0.5*sin(880*PI*t):d=2:s=48000"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=2:r=10:s=320x240", "-f", "lavfi", "-i", tone, "-c:a", "pcm_s16le", path)
    clip = media.load(path, SETTINGS)
    truth = sound(path, "-af", "pan=mono|c0=c11")
    np.testing.assert_allclose(clip.waveform, truth[: len(clip.waveform)] * 12**-0.5, atol=5e-3)
    media.transcode_preview(path, tmp_path / "copy.mp4")
    assert media.load(tmp_path / "copy.mp4", SETTINGS).playable


# ---- one reader for the copy on the page


def test_pictures_that_avi_stores_out_of_order_are_copied_as_they_are_read(base, tmp_path):
    path = tmp_path / "b_frames.avi"
    ffmpeg("-i", base, "-c:v", "libx264", "-bf", 3, "-g", 50, "-c:a", "mp3", path)
    clip = media.load(path, SETTINGS)
    media.transcode_preview(path, tmp_path / "copy.mp4")
    copy = media.load(tmp_path / "copy.mp4", SETTINGS)
    assert [time_shown(frame) for frame in copy.frames] == pytest.approx([time_shown(frame) for frame in clip.frames], abs=0.05)
    np.testing.assert_allclose([time_shown(frame) for frame in clip.frames], np.arange(len(clip.frames)) / 2, atol=0.05)
    assert not any("left out" in warning for warning in clip.warnings)
    assert clips.beep_starts(copy.waveform) == pytest.approx(clips.beep_starts(clip.waveform), abs=0.03)


@pytest.mark.parametrize("kind", ["mpegts", "vob"])
def test_the_copy_of_a_joined_file_is_as_long_as_what_was_read(kind, base, tmp_path):
    path = joined(base, tmp_path, kind)
    media.transcode_preview(path, tmp_path / "copy.mp4")
    clip, copy = media.load(path, SETTINGS), media.load(tmp_path / "copy.mp4", SETTINGS)
    assert copy.duration_s == pytest.approx(clip.duration_s, abs=0.1) and len(copy.frames) == len(clip.frames)


def test_the_copy_holds_its_last_picture(tmp_path):
    path = tmp_path / "stays.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc=r=10:d=0.4:s=320x240", "-f", "lavfi", "-i", "sine=d=6", path)
    media.transcode_preview(path, tmp_path / "copy.mp4")
    assert len(media.load(tmp_path / "copy.mp4", SETTINGS).frames) == len(media.load(path, SETTINGS).frames) >= 12


@pytest.mark.parametrize("name", ["clip.MOV", "clip.ts", "clip.M2TS", "clip"])
def test_the_name_of_a_file_decides_nothing(name, base, tmp_path):
    path = tmp_path / name
    path.write_bytes(base.read_bytes())
    assert len(media.load(path, SETTINGS).frames) == 12


# ---- a stream that begins in the middle


def test_a_transport_stream_cut_in_the_middle_of_a_group_counts_from_its_first_picture(base, tmp_path):
    whole, path = tmp_path / "whole.ts", tmp_path / "cut.ts"
    ffmpeg("-i", base, "-c:v", "libx264", "-g", 50, "-keyint_min", 50, "-sc_threshold", 0, "-c:a", "aac", whole)
    data = whole.read_bytes()
    path.write_bytes(data[len(data) // 4 // 188 * 188 :])
    clip = media.load(path, SETTINGS)
    first = pictures(path, SIZE)[0]
    assert time_shown(clip.frames[0]) == time_shown(first) == pytest.approx(2.0)
    shown = np.array([time_shown(frame) for frame in clip.frames])
    np.testing.assert_allclose(shown - shown[0], clip.frame_times_s, atol=0.02)
    assert clip.duration_s == pytest.approx(4.0, abs=0.1)
    assert clips.beep_starts(clip.waveform) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.05)
    assert not any("missing" in warning for warning in clip.warnings)
    assert any("cannot be decoded; the clip begins at its first whole picture" in warning for warning in clip.warnings)


# ---- alpha, interlaced


@pytest.mark.parametrize("kind", ["qtrle", "png", "gif", "prores_ks"])
def test_transparent_parts_are_black(kind, tmp_path):
    path = tmp_path / ("clip.gif" if kind == "gif" else "clip.mov")
    half = "testsrc=d=1:r=10:s=320x240,format=rgba,geq=r=255:g=255:b=255:a='if(lt(X,W/2),255,0)'"
    if kind == "gif":
        ffmpeg("-f", "lavfi", "-i", f"{half},split[a][b];[b]palettegen[p];[a][p]paletteuse", path)
    else:
        extra = ("-profile:v", "4444", "-pix_fmt", "yuva444p10le") if kind == "prores_ks" else ()
        ffmpeg("-f", "lavfi", "-i", half, "-c:v", kind, *extra, path)
    over_black = f"color=black:s=320x240,format=rgba[b];[0:v]format=rgba[f];[b][f]overlay=shortest=1:format=gbrp,{'format=rgb24'}"
    raw = ffmpeg("-i", path, "-filter_complex", over_black, "-frames:v", 1, "-pix_fmt", "rgb24", "-f", "rawvideo", "-").stdout
    truth = np.frombuffer(raw, np.uint8).reshape(240, 320, 3)
    clip = media.load(path, SETTINGS)
    assert np.abs(clip.frames[0].astype(int) - truth).mean() < 3
    assert clip.frames[0][:, 200:].max() < 12 and clip.frames[0][:, :120].min() > 240
    assert any("transparent; they were put over black" in warning for warning in clip.warnings)
    media.transcode_preview(path, tmp_path / "copy.mp4")
    copy = media.load(tmp_path / "copy.mp4", SETTINGS).frames[0]
    assert copy[:, 200:].max() < 20 and copy[:, :120].min() > 230


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_that_is_not_read_is_told(codec, tmp_path):
    """WebM keeps it beside the colours, where the decoders here do not look; opaque WebM has nothing of it."""
    half = "testsrc=d=1:r=10:s=320x240,format=rgba,geq=r=255:g=0:b=0:a='if(lt(X,W/2),0,255)'"
    path, opaque = tmp_path / "clip.webm", tmp_path / "opaque.webm"
    ffmpeg("-f", "lavfi", "-i", half, "-c:v", codec, "-pix_fmt", "yuva420p", "-auto-alt-ref", 0, path)
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:r=10:s=320x240", "-c:v", codec, "-pix_fmt", "yuv420p", opaque)
    assert any("may be transparent; that was not read" in warning for warning in media.load(path, SETTINGS).warnings)
    assert not any("transparent" in warning for warning in media.load(opaque, SETTINGS).warnings)


def test_opaque_pictures_with_an_alpha_channel_are_as_before(tmp_path):
    path = tmp_path / "clip.mov"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:r=10:s=320x240", "-c:v", "qtrle", "-pix_fmt", "argb", path)
    clip = media.load(path, SETTINGS)
    np.testing.assert_array_equal(clip.frames[0], pictures(path, SIZE)[0])
    assert not any("transparent" in warning for warning in clip.warnings)


def test_interlaced_pictures_are_deinterlaced(tmp_path):
    path = tmp_path / "interlaced.mpg"
    moving = "testsrc2=d=2:r=50:s=352x288,tinterlace=interleave_top,fieldorder=tff"
    ffmpeg("-f", "lavfi", "-i", moving, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", 2, path)
    clip = media.load(path, Settings(fps=10, decode_timeout_s=120))
    size = clip.frames.shape[2:0:-1]
    whole = pictures(path, size, "bwdif=mode=send_frame:deint=interlaced")
    combed = pictures(path, size)
    at = np.round(clip.frame_times_s * 25).astype(int)
    ours = np.abs(clip.frames.astype(int) - whole[at]).mean()
    assert ours < 0.3 * np.abs(clip.frames.astype(int) - combed[at]).mean()
    assert any("interlaced; it was deinterlaced" in warning for warning in clip.warnings)
