"""The lens's data, unpacked here by other means than the browser's, against the decision they came from."""

import base64
import io
import json

import numpy as np
import pytest
import tiny
from PIL import Image
from streams import make_stream

from omnizip.compressors import COMPRESSORS
from omnizip.report import packed
from omnizip.report.decision import CompressionRecord
from omnizip.report.packed import envelope, frame_of_step


def unpacked(text, n):
    """Bit i of the little-endian whole number that the bytes spell."""
    whole = int.from_bytes(base64.b64decode(text), "little")
    return np.array([whole >> i & 1 for i in range(n)], dtype=bool)


def numbers(text):
    data = base64.b64decode(text)
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def test_bits_and_numbers_come_back():
    flags = np.random.default_rng(0).random(77) < 0.4
    assert (unpacked(packed.pack_bits(flags), 77) == flags).all()
    values = np.array([0, 1, 255, 65_536, 2**32 - 1])
    assert numbers(packed.pack_numbers(values)) == values.tolist()
    small = np.arange(77) % 8
    planes = [unpacked(plane, 77) for plane in packed.pack_planes(small)]
    assert (sum(plane.astype(int) << i for i, plane in enumerate(planes)) == small).all()


@pytest.fixture(scope="module")
def stream():
    return make_stream(steps=12, audio=300, seed=5)


@pytest.mark.parametrize(("method", "options"), [("omnizip", {"temporal": "fold"}), ("omnizip", {}), ("random", {}), ("full", {})])
def test_a_map_says_what_was_decided(stream, method, options):
    kind = COMPRESSORS[method]
    compression = kind(**options).compress(stream)
    record = CompressionRecord.of(compression, 12.0)
    data = json.loads(json.dumps(packed.pack_map(record, kind.label), allow_nan=False))
    for name, modality in (("audio", 1), ("video", 2)):
        at = (stream.modality == modality).nonzero().flatten()
        part = data[name]
        assert part["tokens"] == len(at)
        assert (unpacked(part["keep"], len(at)) == compression.keep[at].numpy()).all()
        reason = sum(unpacked(plane, len(at)).astype(int) << i for i, plane in enumerate(part["reason"]))
        assert (reason == compression.reason[at].numpy()).all()
        folded = compression.source[at[compression.reason[at] == 6]]
        assert [int(at[i]) for i in numbers(part["into"])] == folded.tolist()
    if options:
        assert numbers(data["video"]["into"]), "this setting folds the picture too"
    video = (stream.modality == 2).nonzero().flatten()
    kept = int(compression.keep[video].sum())
    assert data["budget"] == pytest.approx(1 - kept / len(video))
    fields = data["window_fields"]
    windows = [dict(zip(fields, row, strict=True)) for row in data["windows"]]
    assert sum(w["videoKept"] for w in windows) == kept
    assert data["step_window"] == stream.window[video].reshape(stream.grid[0], -1)[:, 0].tolist()


def test_ranks_follow_attention_and_tie_fairly():
    got = packed.ranks(np.array([0.1, 0.7, 0.1, 0.1, 0.2], np.float32))
    assert got[1] == 255 and got[0] == got[2] == got[3] == 0 and 0 < got[4] < 255
    assert set(packed.ranks(np.full(9, 0.25))) == {128}, "silence ranks alike"


def test_a_map_of_a_minute_is_small(stream):
    minute = make_stream(steps=60, rows=8, columns=16, audio=1500, seed=1)
    record = CompressionRecord.of(COMPRESSORS["omnizip"](temporal="fold").compress(minute), 60.0)
    assert len(json.dumps(packed.pack_map(record, "OmniZip"))) < 60_000


def test_a_clip_shows_its_steps_and_its_sound():
    clip = tiny.clip(frames=8, sound_s=4.0)
    data = json.loads(json.dumps(packed.pack_clip(clip, (4, 2, 3), 1.0, "/somewhere/noise.mp4", "noise.mp4")))
    assert data["thumbs"]["steps"] == [0, 1, 2, 3]
    sheet = Image.open(io.BytesIO(base64.b64decode(data["thumbs"]["image"].split(",")[1])))
    assert sheet.size == (4 * data["thumbs"]["width"], data["thumbs"]["height"]) == (360, 60)
    means = np.asarray(sheet, dtype=float).reshape(60, 4, 90, 3).mean((0, 2))
    assert np.allclose(means, clip.frames[::2].mean((1, 2)), atol=4)
    wave = np.frombuffer(base64.b64decode(data["wave"]), np.uint8)
    assert wave.max() == 255 and wave[: len(wave) // 4].mean() < wave[-len(wave) // 4 :].mean(), "the noise gets louder"


def test_no_sound_and_no_steps_leave_nothing_out_of_place():
    clip = tiny.clip(sound_s=None)
    data = packed.pack_clip(clip, (0, 0, 0), 1.0, "x", "x")
    assert data["wave"] == "" and data["thumbs"] is None and data["sound"] == 0
    stream = make_stream(steps=6, audio=0, seed=2)
    record = CompressionRecord.of(COMPRESSORS["random"]().compress(stream), 6.0)
    data = packed.pack_map(record, "Random")
    assert data["audio"]["tokens"] == 0 and data["audio"]["saliency"] is None


def test_envelope_keeps_the_loudest_instant():
    waveform = np.zeros(10_001, np.float32)
    waveform[7_777] = -0.9
    times, loudest = envelope(waveform, 1_000, 100)
    assert loudest.max() == pytest.approx(0.9) and times[loudest.argmax()] == pytest.approx(7.777, abs=0.06)
    assert envelope(waveform[:3], 1_000, 100)[0].shape == (3,)
    assert envelope(waveform[:0], 1_000, 100)[0].shape == (0,)


def test_an_odd_last_frame_stands_for_its_step():
    assert [frame_of_step(step, 5) for step in range(3)] == [0, 2, 4]
    assert frame_of_step(2, 4) == 3
