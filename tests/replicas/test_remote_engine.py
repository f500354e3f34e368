"""A page's engine whose models are elsewhere: everything as with one engine here, whatever becomes of a replica."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from clips import make_clip, text
from replicas_here import ReplicasHere

from omnizip.engine import Arm, ArmDone, Engine, Finished, Piece, Stage
from omnizip.engine.clips import ClipKey
from omnizip.errors import BusyError, MediaError, MethodError, ModelError, OmniZipError
from omnizip.model.generate import LanguageModel
from omnizip.replicas.crossing import Failure, home_of
from omnizip.replicas.remote_engine import RemoteEngine
from omnizip.replicas.replica import Replica
from omnizip.settings import Settings
from omnizip.types import Turn

SETTINGS = Settings(device="cpu", max_new_tokens=12)
ARM, QUESTION = Arm("omnizip", 0.35), "What colour is the shape?"


@pytest.fixture(scope="module")
def engine():
    return Engine.open(SETTINGS)


@pytest.fixture(scope="module")
def model(engine):
    return engine.model


@pytest.fixture
def replicas(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # what replicas are sent lies there
    return ReplicasHere(SETTINGS, [Engine(model, SETTINGS), Engine(model, SETTINGS)])


@pytest.fixture
def remote(replicas, model):
    return RemoteEngine(replicas, SETTINGS, model.conditions)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3)


def another(clip, folder, number):
    """The same film with an empty box behind: another clip, of another digest."""
    path = folder / f"clip-{number}.mp4"
    path.write_bytes(clip.read_bytes() + b"\x00\x00\x00" + bytes([8 + number]) + b"free" + bytes(number))
    return path


def report_of(events):
    return [event for event in events if isinstance(event, Finished)][0].report


@pytest.fixture
def held(monkeypatch):
    """The model writes no further than its first word until this is set."""
    go, decode = threading.Event(), LanguageModel.decode

    def slowly(self, prefilled, sampling, stop=None):
        for token in decode(self, prefilled, sampling, stop):
            yield token
            while not go.is_set() and not (stop and stop()):
                go.wait(0.01)

    monkeypatch.setattr(LanguageModel, "decode", slowly)
    yield go
    go.set()


def test_answers_previews_and_views_are_those_of_an_engine_here(engine, remote, clip):
    here, there = report_of(engine.compare(clip, QUESTION, [ARM])), report_of(remote.compare(clip, QUESTION, [ARM]))
    assert [run.answer for run in there.runs] == [run.answer for run in here.runs]
    assert (there.runs[1].compression.keep == here.runs[1].compression.keep).all() and there.clip == here.clip
    assert there.conditions == here.conditions
    theirs, ours = remote.preview(clip, Arm("vidcom2", 0.25), QUESTION), engine.preview(clip, Arm("vidcom2", 0.25), QUESTION)
    assert (theirs.record.keep == ours.record.keep).all() and theirs.compressor.label == ours.compressor.label
    assert theirs.compressor.parameters == ours.compressor.parameters and theirs.encoded.encode_ms > 0
    view, encoded = remote.encode(clip), engine.encode(clip)
    assert np.array_equal(view.clip.frames, encoded.clip.frames) and view.grid == encoded.grid and view.clip.path == clip
    (run,) = report_of(remote.answer(clip, QUESTION, ARM)).runs
    assert run.answer == here.runs[1].answer and run.agreement is None


def test_a_clip_stays_with_its_replica_is_sent_once_and_read_once(remote, replicas, clip, tmp_path):
    paths = [another(clip, tmp_path, number) for number in range(8)]
    for path in paths:
        report_of(remote.compare(path, QUESTION, [ARM]))
    assert replicas.laid == [path.stat().st_size for path in paths]
    homes = {}
    for number, call in replicas.asked:
        assert homes.setdefault(call.clip.key, number) == number
    assert set(homes.values()) == {0, 1}, "clips are spread"
    for path in paths:
        events = list(remote.compare(path, "And what is heard?", [ARM]))
        assert not [event for event in events if isinstance(event, Stage) and event.name in ("decode", "encode")]
        assert report_of(events).runs[0].timing.decode_clip_ms is None
    assert len(replicas.laid) == len(paths)


def test_a_home_is_of_the_bytes_and_of_what_is_read_of_them():
    key = ClipKey.of("0123456789abcdef", SETTINGS)
    assert home_of(key) == home_of(ClipKey.of("0123456789abcdef", SETTINGS))
    others = [
        replace(key, digest="0123456789abcdee"),
        *(ClipKey.of(key.digest, replace(SETTINGS, **one)) for one in ({"fps": 1.0}, {"end": 2.0})),
    ]
    assert len({home_of(key), *map(home_of, others)}) == 4


def test_a_further_question_goes_on_from_what_was_read(remote, clip):
    first = report_of(remote.compare(clip, QUESTION, [ARM]))
    turns = {number: [Turn(QUESTION, run.answer.text)] for number, run in enumerate(first.runs)}
    second = report_of(remote.compare(clip, "And what is heard?", [ARM], history=turns))
    assert all(run.reused_tokens > 0 for run in second.runs)


def test_clips_are_found_where_pages_and_replicas_both_look(replicas, model, clip, tmp_path):
    near = RemoteEngine(replicas, SETTINGS, model.conditions, same_machine=True)
    assert len(report_of(near.compare(another(clip, tmp_path, 1), QUESTION, [ARM])).runs) == 2
    folder = tmp_path / "shared"
    far = RemoteEngine(replicas, replace(SETTINGS, shared_folder=str(folder)), model.conditions)
    assert len(report_of(far.compare(another(clip, tmp_path, 2), QUESTION, [ARM])).runs) == 2
    assert replicas.laid == [] and [path.name for path in folder.glob("*/*")] == ["clip-2.mp4"]


@pytest.mark.slow
def test_a_question_whose_replica_goes_before_a_word_is_answered_by_the_other(remote, replicas, clip, tmp_path):
    path = another(clip, tmp_path, 3)
    events, gone = [], None
    for event in remote.compare(path, QUESTION, [ARM]):
        events.append(event)
        if gone is None and isinstance(event, Stage) and event.name in ("encode", "compress"):
            gone = replicas.asked[-1][0]
            replicas.kill(gone)
    assert len(report_of(events).runs) == 2 and {number for number, _ in replicas.asked} == {0, 1}


def test_an_answer_that_was_begun_ends_with_a_sentence_and_can_be_asked_again(remote, replicas, clip, held):
    events = remote.compare(clip, QUESTION, [ARM])
    while not (isinstance(event := next(events), Piece) and event.text.strip()):
        pass
    replicas.kill(replicas.asked[-1][0])
    held.set()
    with pytest.raises(ModelError, match="has gone; ask again"):
        for _ in events:
            pass
    assert len(report_of(remote.compare(clip, QUESTION, [ARM])).runs) == 2


def test_a_stop_ends_the_answer_with_what_was_said(remote, clip, held):
    stop = threading.Event()
    events = []
    for event in remote.compare(clip, QUESTION, [ARM], stop=stop.is_set):
        events.append(event)
        if isinstance(event, Piece):
            stop.set()
    (run,) = report_of(events).runs
    assert run.answer.finish == "stopped" and len([event for event in events if isinstance(event, ArmDone)]) == 1


def test_whoever_leaves_frees_the_replica_and_who_waits_hears_the_place(remote, replicas, clip, held):
    first = remote.compare(clip, QUESTION, [ARM])
    while not isinstance(next(first), Piece):
        pass
    places, answered = [], []

    def ask(question):
        for event in remote.compare(clip, question, [ARM]):
            if isinstance(event, Stage) and event.name == "wait":
                places.append((question, event.ahead))
            elif isinstance(event, Finished):
                answered.append(question)

    waiting = []
    for number, question in enumerate(("What is heard?", "How many shapes appear?")):
        waiting.append(threading.Thread(target=ask, args=(question,)))
        waiting[-1].start()
        wait_for(lambda number=number: len(places) > number)
    assert places == [("What is heard?", 1), ("How many shapes appear?", 2)]
    first.close()
    wait_for(lambda: ("How many shapes appear?", 1) in places)
    held.set()
    for thread in waiting:
        thread.join(60)
    assert answered == ["What is heard?", "How many shapes appear?"]


def test_who_waits_can_stop(remote, clip, held):
    first = remote.compare(clip, QUESTION, [ARM])
    while not isinstance(next(first), Piece):
        pass
    stop = threading.Event()
    events = []
    for event in remote.compare(clip, "What is heard?", [ARM], stop=stop.is_set):
        events.append(event)
        stop.set()
    assert [event.name for event in events] == ["wait"]
    first.close()


def test_a_replica_that_works_without_a_sign_is_unhealthy(replicas, remote, clip, held, monkeypatch):
    first = remote.compare(clip, QUESTION, [ARM])
    while not isinstance(next(first), Piece):
        pass
    busy = replicas.replicas[replicas.asked[-1][0]]
    replicas.wait(busy.check_health())
    real = time.monotonic
    monkeypatch.setattr("omnizip.replicas.replica.monotonic", lambda: real() + SETTINGS.replica_silence_s + 1)
    with pytest.raises(RuntimeError, match="no sign for 300 s"):
        replicas.wait(busy.check_health())
    first.close()
    wait_for(lambda: not busy._running)
    replicas.wait(busy.check_health())


def test_problems_are_told_in_the_same_sentences(engine, remote, tmp_path, clip):
    bad = text(tmp_path)
    for ask in (lambda e: list(e.compare(bad, QUESTION, [ARM])), lambda e: e.encode(bad), lambda e: e.preview(bad, ARM)):
        told = []
        for asked in (engine, remote):
            with pytest.raises(MediaError) as problem:
                ask(asked)
            told.append(str(problem.value))
        assert told[0] == told[1]
    for arms, kind in (([Arm("no-such")], MethodError), ([Arm("omnizip", 0.0)], OmniZipError)):
        with pytest.raises(kind):
            list(remote.compare(clip, QUESTION, arms))
    with pytest.raises(OmniZipError, match="question is empty"):
        list(remote.compare(clip, " ", [ARM]))
    with pytest.raises(MediaError):
        remote.open_clip(tmp_path / "nowhere.mp4")
    with pytest.raises(BusyError, match="stopped before"):
        remote.preview(another(clip, tmp_path, 5), ARM, stop=lambda: True)


def test_a_file_that_changed_since_it_was_opened_is_said_so(remote, clip, tmp_path):
    path = another(clip, tmp_path, 6)
    handle = remote.open_clip(path)
    path.write_bytes(clip.read_bytes())
    with pytest.raises(MediaError, match="clip-6.mp4 has changed since it was opened"):
        list(remote.compare(handle, QUESTION, [ARM]))


def test_a_replica_that_cannot_have_its_model_says_why(model, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(settings):
        raise ModelError("There is not enough memory for it; choose a smaller one.")

    replicas = ReplicasHere(SETTINGS, [Engine(model, SETTINGS)])
    replicas.replicas[0] = Replica(SETTINGS, broken)
    state = replicas.wait(replicas.replicas[0].state())
    assert state.conditions is None and str(state.problem.error()).startswith("There is not enough memory")
    with pytest.raises(ModelError, match="not enough memory"):
        list(RemoteEngine(replicas, SETTINGS, model.conditions).compare(clip, QUESTION, [ARM]))


def test_a_problem_crosses_as_the_nearest_known_kind():
    class Odd(MediaError):
        pass

    assert type(Failure.of(Odd("Once.")).error()) is MediaError


def wait_for(true, patience_s=60):
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
