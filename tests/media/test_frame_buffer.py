"""Frames are encoded while later ones are decoded, and what comes out is what comes out one after the other."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from clips import make_clip

from omnizip import media
from omnizip.engine import Arm, Engine
from omnizip.errors import MediaError
from omnizip.media import Cancelled, decoder_process
from omnizip.media.frame_buffer import FrameBuffer, load_while
from omnizip.model import encoders
from omnizip.settings import Settings

SETTINGS = Settings(device="cpu")


@pytest.fixture(scope="module")
def engine():
    return Engine.open(SETTINGS)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("arriving") / "clip.mp4", seconds=13)


@contextmanager
def at_once():
    yield


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of four steps or a few more."""
    monkeypatch.setattr(encoders, "PATCHES_PER_BATCH", 4 * 4 * 72)


def test_frames_encoded_ahead_give_the_same_features(engine, path, small_batches):
    encoder = engine.model.encoder
    plain = encoder.encode(media.load(path, SETTINGS))
    clip, ahead, took_ms = load_while(path, SETTINGS, lambda arriving: encoder.encode_ahead(arriving, at_once))
    assert 0 < ahead.steps < plain.grid[0] and took_ms > 0
    assert len(torch.cat(ahead.made)) == ahead.steps * plain.grid[1] * plain.grid[2]
    made = encoder.encode(clip, ahead=ahead)
    assert torch.equal(made.video, plain.video) and torch.equal(made.audio, plain.audio)
    assert made.encode_ms > ahead.spent_ms > 0


def test_the_first_steps_are_encoded_before_the_last_frame_is_there(engine, path, small_batches):
    """The reader is held before the end until a batch was encoded: were one to wait for the other, this would not end."""
    encoder, encoded_one = engine.model.encoder, threading.Event()

    class Slow(FrameBuffer):
        def count(self, there):
            super().count(there)
            if there == 20:
                assert encoded_one.wait(60)

    @contextmanager
    def turn():
        yield
        encoded_one.set()

    arriving = Slow()

    def read():
        media.load(path, SETTINGS, None, arriving)
        arriving.complete()

    reader = threading.Thread(target=read)
    reader.start()
    ahead = encoder.encode_ahead(arriving, turn)
    reader.join()
    assert ahead.steps >= 8


def test_a_short_clip_has_nothing_ahead(engine, tmp_path):
    clip = make_clip(tmp_path / "short.mp4", seconds=2)
    _, ahead, _ = load_while(clip, SETTINGS, lambda arriving: engine.model.encoder.encode_ahead(arriving, at_once))
    assert (ahead.made, ahead.steps) == ((), 0)


def test_an_unusable_file_is_told_as_ever(engine, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing" * 100)
    with pytest.raises(MediaError, match="not a video"):
        engine.encode(broken)
    assert not [t for t in threading.enumerate() if t.name == "decode"]


def test_what_fails_meanwhile_ends_the_reading(path):
    def fails(arriving):
        assert arriving.frames is not None
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        load_while(path, SETTINGS, fails)
    assert not [t for t in threading.enumerate() if t.name == "decode"]


def test_who_abandons_is_brought_no_more():
    arriving = FrameBuffer()
    arriving.abandon()
    with pytest.raises(Cancelled):
        arriving.count(1)


def test_the_device_is_free_while_frames_are_awaited(engine, path, small_batches):
    """The lock is taken for each batch alone, so a slow file keeps nobody else from an answer."""
    held = []

    @contextmanager
    def turn():
        held.append(True)
        yield
        held.append(False)

    encoder = engine.model.encoder
    load_while(path, SETTINGS, lambda arriving: encoder.encode_ahead(arriving, turn))
    assert held[:4] == [True, False, True, False]


def test_the_engine_encodes_ahead(path, small_batches, monkeypatch):
    engine, seen = Engine.open(SETTINGS), []
    real = type(engine.model.encoder).encode
    monkeypatch.setattr(
        type(engine.model.encoder),
        "encode",
        lambda self, *a, **k: seen.append(a[2] if len(a) > 2 else k.get("ahead")) or real(self, *a, **k),
    )
    encoded = engine.encode(path)
    assert seen[0].steps > 0
    assert encoded.video.shape[0] == encoded.grid[0] * encoded.grid[1] * encoded.grid[2]


@pytest.mark.parametrize("how", ["told to stop", "closed"])
def test_who_stops_a_comparison_ends_its_decoder(how, engine, path, tmp_path, monkeypatch):
    """Five times, with a decoder that says nothing at all; a clip nobody has asked about, so that it is not in memory."""
    (tmp_path / "fake.py").write_text(
        f"import os, time\nopen(os.path.join({str(tmp_path)!r}, str(os.getpid()) + '.pid'), 'w').close()\ntime.sleep(120)\n"
    )
    monkeypatch.setattr(decoder_process, "DECODER", tmp_path / "fake.py")
    started = lambda: {int(file.stem) for file in tmp_path.glob("*.pid")}  # noqa: E731
    for turn in range(1, 6):
        events = engine.compare(path, "What?", (Arm("full"),), stop=lambda turn=turn: how == "told to stop" and len(started()) == turn)
        if how == "told to stop":
            list(events)
        else:
            next(events)
            _until(lambda turn=turn: len(started()) == turn)
            events.close()
        _until(lambda: not any(_runs(pid) for pid in started()))
    assert len(started()) == 5


def _until(done, deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
