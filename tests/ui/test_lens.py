"""The lens's data, unpacked here by other means than the browser's, against the decision they came from."""

import base64
import io
import json
import re

import numpy as np
import pytest
import tiny
from clips import hevc, make_clip
from PIL import Image
from streams import make_stream

from omnizip import media
from omnizip.cli.main import main
from omnizip.compressors import COMPRESSORS
from omnizip.report.decision import CompressionRecord
from omnizip.settings import Settings
from ui import standalone
from ui.lens import packed as lens_data


def unpacked(text, n):
    """Bit i of the little-endian whole number that the bytes spell."""
    whole = int.from_bytes(base64.b64decode(text), "little")
    return np.array([whole >> i & 1 for i in range(n)], dtype=bool)


def numbers(text):
    data = base64.b64decode(text)
    return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]


def test_bits_and_numbers_come_back():
    flags = np.random.default_rng(0).random(77) < 0.4
    assert (unpacked(lens_data.pack_bits(flags), 77) == flags).all()
    values = np.array([0, 1, 255, 65_536, 2**32 - 1])
    assert numbers(lens_data.pack_numbers(values)) == values.tolist()
    small = np.arange(77) % 8
    planes = [unpacked(plane, 77) for plane in lens_data.pack_planes(small)]
    assert (sum(plane.astype(int) << i for i, plane in enumerate(planes)) == small).all()


@pytest.fixture(scope="module")
def stream():
    return make_stream(steps=12, audio=300, seed=5)


@pytest.mark.parametrize(("method", "options"), [("omnizip", {"temporal": "fold"}), ("omnizip", {}), ("random", {}), ("full", {})])
def test_a_map_says_what_was_decided(stream, method, options):
    kind = COMPRESSORS[method]
    compression = kind(**options).compress(stream)
    record = CompressionRecord.of(compression, 12.0)
    packed = json.loads(json.dumps(lens_data.pack_map(record, kind.label), allow_nan=False))
    for name, modality in (("audio", 1), ("video", 2)):
        at = (stream.modality == modality).nonzero().flatten()
        part = packed[name]
        assert part["tokens"] == len(at)
        assert (unpacked(part["keep"], len(at)) == compression.keep[at].numpy()).all()
        reason = sum(unpacked(plane, len(at)).astype(int) << i for i, plane in enumerate(part["reason"]))
        assert (reason == compression.reason[at].numpy()).all()
        folded = compression.source[at[compression.reason[at] == 6]]
        assert [int(at[i]) for i in numbers(part["into"])] == folded.tolist()
    if options:
        assert numbers(packed["video"]["into"]), "this setting folds the picture too"
    video = (stream.modality == 2).nonzero().flatten()
    kept = int(compression.keep[video].sum())
    assert packed["budget"] == pytest.approx(1 - kept / len(video))
    fields = packed["window_fields"]
    windows = [dict(zip(fields, row, strict=True)) for row in packed["windows"]]
    assert sum(w["videoKept"] for w in windows) == kept
    assert packed["step_window"] == stream.window[video].reshape(stream.grid[0], -1)[:, 0].tolist()


def test_ranks_follow_attention_and_tie_fairly():
    got = lens_data.ranks(np.array([0.1, 0.7, 0.1, 0.1, 0.2], np.float32))
    assert got[1] == 255 and got[0] == got[2] == got[3] == 0 and 0 < got[4] < 255
    assert set(lens_data.ranks(np.full(9, 0.25))) == {128}, "silence ranks alike"


def test_a_map_of_a_minute_is_small(stream):
    minute = make_stream(steps=60, rows=8, columns=16, audio=1500, seed=1)
    record = CompressionRecord.of(COMPRESSORS["omnizip"](temporal="fold").compress(minute), 60.0)
    assert len(json.dumps(lens_data.pack_map(record, "OmniZip"))) < 60_000


def test_a_clip_shows_its_steps_and_its_sound():
    clip = tiny.clip(frames=8, sound_s=4.0)
    packed = json.loads(json.dumps(lens_data.pack_clip(clip, (4, 2, 3), 1.0, "/somewhere/noise.mp4", "noise.mp4")))
    assert packed["thumbs"]["steps"] == [0, 1, 2, 3]
    sheet = Image.open(io.BytesIO(base64.b64decode(packed["thumbs"]["image"].split(",")[1])))
    assert sheet.size == (4 * packed["thumbs"]["width"], packed["thumbs"]["height"]) == (360, 60)
    means = np.asarray(sheet, dtype=float).reshape(60, 4, 90, 3).mean((0, 2))
    assert np.allclose(means, clip.frames[::2].mean((1, 2)), atol=4)
    wave = np.frombuffer(base64.b64decode(packed["wave"]), np.uint8)
    assert wave.max() == 255 and wave[: len(wave) // 4].mean() < wave[-len(wave) // 4 :].mean(), "the noise gets louder"


def test_no_sound_and_no_steps_leave_nothing_out_of_place():
    clip = tiny.clip(sound_s=None)
    packed = lens_data.pack_clip(clip, (0, 0, 0), 1.0, "x", "x")
    assert packed["wave"] == "" and packed["thumbs"] is None and packed["sound"] == 0
    stream = make_stream(steps=6, audio=0, seed=2)
    record = CompressionRecord.of(COMPRESSORS["random"]().compress(stream), 6.0)
    packed = lens_data.pack_map(record, "Random")
    assert packed["audio"]["tokens"] == 0 and packed["audio"]["saliency"] is None


def test_a_report_is_one_page_with_everything_inside(tmp_path):
    """Through the command line: the film as it is, the decisions and the JSON report within."""
    path = make_clip(tmp_path / "film.mp4", seconds=4, size=(160, 120))
    page = tmp_path / "report.html"
    settings = ["--max-new-tokens", "4", "--quiet", "--json", str(tmp_path / "report.json"), "--report", str(page)]
    status = main(["compare", str(path), "--question", "What is <b>seen</b>?", "--method", "omnizip", "--method", "random", *settings])
    assert status == 0
    text = page.read_text("utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', text.split("<script")[0]), "nothing is loaded from elsewhere"
    assert "<b>seen</b>" not in text and "&lt;b&gt;seen" in text
    data = json.loads(re.search(r'id="lens-data">(.*?)</script>', text, re.S).group(1))
    assert base64.b64decode(data["clip"]["source"]) == path.read_bytes()
    assert [m["label"].split(",")[0] for m in data["maps"]] == ["OmniZip", "Random"]
    report = json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.S).group(1))
    assert report == json.loads((tmp_path / "report.json").read_text())
    for run in report["runs"]:
        assert run["answer"].split()[0] in text


def test_a_report_cannot_go_to_a_folder_or_the_terminal(tmp_path, capsys):
    path = make_clip(tmp_path / "film.mp4", seconds=1, size=(64, 48))
    for target in ("-", str(tmp_path)):
        assert main(["compare", str(path), "--question", "What?", "--report", target]) == 2
        assert "--report" in capsys.readouterr().err


def test_a_film_browsers_cannot_play_travels_as_a_copy(tmp_path):
    clip = media.load(hevc(tmp_path), Settings())
    film, kind, note = standalone._film(clip, Settings())
    assert kind == "video/mp4" and "copy" in note and film != clip.path.read_bytes()
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film)
    assert media.load(copy, Settings()).playable
