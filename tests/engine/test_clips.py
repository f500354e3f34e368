"""Clips that are held stay encoded, within a bound in bytes; what was let go is encoded again when it is needed."""

import gc
import pickle
from dataclasses import replace

import pytest
import torch
from clips import make_clip

from omnizip import media
from omnizip.engine import Arm, Engine, Finished, Stage
from omnizip.engine.clips import ClipStore, TimedClip
from omnizip.errors import MediaError, OmniZipError
from omnizip.model.encoders import Encoder
from omnizip.settings import Settings

QUESTION = "What is seen?"
ARM = Arm("omnizip", 0.35)


@pytest.fixture(scope="module")
def opened():
    return Engine.open(Settings(max_new_tokens=3))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Five clips of one size, each with bytes of its own."""
    folder = tmp_path_factory.mktemp("clips")
    return [make_clip(folder / f"{number}.mp4", seconds=2, fps=4 + number, size=(160, 120)) for number in range(5)]


@pytest.fixture
def work(monkeypatch):
    """What was really decoded and encoded, in order."""
    done, load, encode = [], media.load, Encoder.encode
    monkeypatch.setattr(media, "load", lambda path, *rest: done.append(("decode", path.name)) or load(path, *rest))
    monkeypatch.setattr(Encoder, "encode", lambda self, clip, *rest: done.append(("encode", clip.path.name)) or encode(self, clip, *rest))
    return done


def engine_for(opened, clips, path):
    """An engine with room for so many clips of the size of `path`'s."""
    size = TimedClip(opened.encode(path), None).nbytes
    return Engine(opened.model, replace(opened.settings, clip_memory_mb=(clips + 0.5) * size / 1e6)), size


def test_the_first_of_five_visitors_finds_the_clip_as_it_was(opened, paths, work):
    engine = Engine(opened.model, opened.settings)
    held = []
    for path in paths:
        clip = engine.open_clip(path)
        assert isinstance([*engine.compare(clip, QUESTION, (ARM,))][-1], Finished)
        held.append(clip)
    assert len(work) == 2 * len(paths)
    first = engine.encode(held[0])
    assert engine.preview(held[0], Arm("omnizip", 0.25), QUESTION).encoded is first is engine.encode(paths[0])
    assert not {"decode", "encode"} & {e.name for e in engine.compare(held[0], "And then?", (ARM,)) if isinstance(e, Stage)}
    assert len(work) == 2 * len(paths), "a second look neither decodes nor encodes"


def test_bytes_are_those_of_all_that_is_kept(opened, paths):
    encoded = opened.encode(paths[0])
    assert TimedClip(encoded, None).nbytes == pytest.approx(len(pickle.dumps(encoded)), rel=0.02)


def test_the_store_stays_within_its_bytes_and_what_nobody_holds_goes_first(opened, paths, work):
    engine, size = engine_for(opened, 3, paths[0])
    work.clear()
    held = engine.open_clip(paths[0])
    engine.encode(held)
    for path in paths[1:]:
        engine.encode(path)
        assert engine._clips.nbytes <= 3.5 * size and engine._clips.nbytes == pytest.approx(len(engine._clips) * size, rel=0.01)
    assert len(engine._clips) == 3
    work.clear()
    engine.encode(held)
    engine.encode(paths[4])
    assert not work, "the held one and the youngest are there"
    engine.encode(paths[1])
    assert work == [("decode", "1.mp4"), ("encode", "1.mp4")]


def test_where_held_clips_exceed_the_bound_the_oldest_is_encoded_again_when_needed(opened, paths, work):
    engine, size = engine_for(opened, 2, paths[0])
    held = [engine.open_clip(path) for path in paths[:3]]
    before = [engine.encode(clip).video for clip in held]
    assert engine._clips.nbytes <= 2.5 * size and held[0] not in engine._clips and held[2] in engine._clips
    work.clear()
    assert torch.equal(engine.encode(held[0]).video, before[0]) and len(work) == 2
    assert engine._clips.nbytes <= 2.5 * size and held[1] not in engine._clips


def test_a_clip_that_is_answered_about_does_not_go(opened, paths):
    engine, _ = engine_for(opened, 1, paths[0])
    answering = engine.open_clip(paths[0])
    events = engine.compare(answering, QUESTION, (ARM,))
    while not isinstance(next(events), Stage) or len(engine._clips) == 0:
        pass
    store = engine._clips
    for path in paths[1:3]:
        store.get(engine.open_clip(path), lambda: TimedClip(opened.encode(paths[1]), None))
        assert answering in store
    assert isinstance([*events][-1], Finished)
    store.get(engine.open_clip(paths[3]), lambda: TimedClip(opened.encode(paths[1]), None))
    assert answering not in store and len(store) == 1, "afterwards it may"


def test_a_clip_larger_than_the_bound_stays_until_the_next(opened, paths, work):
    engine = Engine(opened.model, replace(opened.settings, clip_memory_mb=0.001))
    engine.encode(paths[0])
    engine.encode(paths[0])
    assert len(work) == 2 and len(engine._clips) == 1
    engine.encode(paths[1])
    assert len(engine._clips) == 1


def test_a_handle_that_is_gone_holds_nothing(opened, paths):
    engine, _ = engine_for(opened, 2, paths[0])
    gone, held = engine.open_clip(paths[0]), engine.open_clip(paths[1])
    engine.encode(held)
    engine.encode(gone)
    del gone
    gc.collect()
    last = engine.open_clip(paths[2])
    engine.encode(last)
    assert held in engine._clips and engine.open_clip(paths[0]) not in engine._clips


def test_handles_of_one_file_mean_one_clip_and_another_setting_another(opened, paths, tmp_path):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(paths[0].read_bytes())
    first, second = opened.open_clip(paths[0]), opened.open_clip(copy)
    assert first.key == second.key and first.name != second.name and opened.encode(first) is opened.encode(second)
    assert Engine(opened.model, replace(opened.settings, fps=1.0)).open_clip(copy).key != first.key
    assert isinstance(opened._clips, ClipStore)


def test_a_file_that_changed_behind_a_handle_is_not_taken_for_the_clip(opened, paths, tmp_path):
    engine, path = Engine(opened.model, opened.settings), tmp_path / "clip.mp4"
    path.write_bytes(paths[0].read_bytes())
    clip = engine.open_clip(path)
    path.write_bytes(paths[1].read_bytes())
    for attempt in (lambda: engine.encode(clip), lambda: [*engine.compare(clip, QUESTION, (ARM,))]):
        with pytest.raises(MediaError, match=r"clip\.mp4 has changed since it was opened"):
            attempt()
    assert engine.encode(path).clip.digest != clip.key.digest


def test_a_part_is_a_clip_of_its_own_and_decoded_as_it_was_opened(opened, paths, work):
    engine = Engine(opened.model, opened.settings)
    parts = [media.Part(), media.Part(end=1), media.Part(start=1), media.Part(audio_track="none")]
    handles = [engine.open_clip(paths[0], part) for part in parts]
    assert len({handle.key for handle in handles}) == 4 and handles[0].key == engine.open_clip(paths[0]).key
    read = [engine.encode(handle).clip for handle in handles]
    assert len(work) == 8, "each was decoded and encoded"
    assert [len(clip.frames) for clip in read] == [4, 2, 2, 4] and [clip.whole for clip in read] == [True, False, False, False]
    assert (read[1].frames == read[0].frames[:2]).all() and (read[2].frames == read[0].frames[2:]).all()
    assert read[3].waveform is None and read[0].waveform is not None
    report = [*engine.compare(handles[2], QUESTION, (ARM,))][-1].report
    assert (report.settings["start"], report.settings["end"]) == (1, 0) and report.clip.duration_s == pytest.approx(1, abs=0.1)


def test_what_a_call_leaves_open_is_as_the_settings_have_it(opened, paths):
    engine = Engine(opened.model, replace(opened.settings, start=0.5, audio_track="none"))
    assert engine.open_clip(paths[0], media.Part(end=1)).key.part == media.Part(0.5, 1, "none")
    with pytest.raises(OmniZipError, match="end is 0.2 s, not behind start, 0.5 s"):
        engine.open_clip(paths[0], media.Part(end=0.2))
