"""The engine on the model that comes with the project, and clips that the tests write."""

import json
import pickle
import shutil
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from clips import make_clip

from omnizip import media
from omnizip.compressors.omnizip import OmniZip
from omnizip.engine import Arm, ArmDone, Engine, Finished, Piece, Stage
from omnizip.engine.cache import Cache
from omnizip.errors import BusyError, MediaError, MethodError, OmniZipError
from omnizip.model.encoders import Encoder
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.stream import Reason
from omnizip.types import Sampling, Turn

QUESTION = "Describe the clip."
SHORT = Sampling(max_new_tokens=6)
ARMS = (Arm("omnizip", 0.45), Arm("random", 0.3))


@pytest.fixture(scope="module")
def opened():
    return Engine.open(Settings(max_new_tokens=6))


@pytest.fixture
def engine(opened):
    """The same model, with nothing encoded yet."""
    return Engine(opened.model, opened.settings)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "five.mp4", seconds=5)


@pytest.fixture
def loads(monkeypatch):
    """Paths that were really decoded."""
    paths, real = [], media.load
    monkeypatch.setattr(media, "load", lambda path, *rest: paths.append(path) or real(path, *rest))
    return paths


def finished(events):
    *_, last = events
    assert isinstance(last, Finished)
    return last.report


def usable(engine, clip):
    """Whether nobody holds the device (an abandoned encoding may need a moment) and a comparison still works."""
    deadline = time.monotonic() + 20
    while engine._device.locked():
        assert time.monotonic() < deadline, "the device was never given back"
        time.sleep(0.01)
    return len(finished(engine.compare(clip, QUESTION, ARMS[:1], sampling=Sampling(max_new_tokens=1))).runs) == 2


def test_events_come_in_order_and_pickle(engine, clip):
    events = list(engine.compare(clip, QUESTION, ARMS))
    assert [e.name for e in events if isinstance(e, Stage) and e.arm is None and e.fraction in (None, 0.0)][0] == "decode"
    names = list(dict.fromkeys(e.name for e in events if isinstance(e, Stage)))
    assert [name for name in names if name != "repeat"] == ["decode", "encode", "compress", "warm up", "answer"]
    assert "repeat" not in names or names[-1] == "repeat"
    assert [e.arm for e in events if isinstance(e, ArmDone)] == [0, 1, 2]
    arms = [e.arm for e in events if isinstance(e, (Piece, ArmDone))]
    assert arms == sorted(arms)
    report = finished(events)
    assert [run.method for run in report.runs] == ["full", "omnizip", "random"]
    for arm, run in enumerate(report.runs):
        texts = [e.text for e in events if isinstance(e, Piece) and e.arm == arm]
        assert texts == sorted(set(texts), key=len) and (texts[-1] if texts else "") == run.answer.text
    again = pickle.loads(pickle.dumps(events))[-1].report
    assert again.to_json() == json.loads(json.dumps(report.to_json(), allow_nan=False))


def test_pieces_come_while_the_model_works(engine, clip, monkeypatch):
    """When a piece arrives, no later token has been asked for yet."""
    asked, real = [], engine.model.decode

    def counting(prefilled, sampling, stop=None):
        for token in real(prefilled, sampling, stop):
            asked.append(token)
            yield token

    monkeypatch.setattr(engine.model, "decode", counting)
    pieces = [(e, len(asked)) for e in engine.compare(clip, QUESTION, ()) if isinstance(e, Piece)]
    assert len(pieces) > 1
    for piece, so_far in pieces:
        assert piece.text == engine.model.text(asked[:so_far])


@pytest.mark.parametrize("arm", [Arm("full"), Arm("omnizip", 0.3), Arm("omnizip", None, {"rho_audio": 0.2, "rho_video": 0.8})])
def test_answers_are_the_models_own(engine, clip, arm):
    run = finished(engine.compare(clip, QUESTION, (arm,), sampling=SHORT)).runs[1]
    model = engine.model
    stream = model.stream(engine.encode(clip), (Turn(QUESTION),))
    compression = arm.compressor(stream).compress(stream)
    ids = tuple(model.decode(model.prefill(stream.prompt(compression)), SHORT))
    assert (run.answer.token_ids, run.answer.text) == (ids, model.text(ids))
    np.testing.assert_array_equal(run.compression.keep, compression.keep.numpy())
    np.testing.assert_array_equal(run.compression.reason, compression.reason.numpy())


@pytest.mark.parametrize("arm", [Arm("full"), Arm("omnizip", 0.3), Arm("glance", 0.3), Arm("fastv", 0.5)], ids=lambda arm: arm.method)
def test_an_answer_alone_is_the_one_of_a_comparison(engine, clip, arm, monkeypatch):
    compared = finished(engine.compare(clip, QUESTION, (arm,), sampling=SHORT)).runs[1]
    warmed = []
    monkeypatch.setattr(engine.model, "warm_up", warmed.append)
    events = list(engine.answer(clip, QUESTION, arm, sampling=SHORT))
    (run,) = finished(events).runs
    assert (run.method, run.answer, run.tokens) == (compared.method, compared.answer, compared.tokens)
    assert {e.arm for e in events if isinstance(e, (Piece, ArmDone))} == {0} and not warmed
    assert run.agreement is None and compared.agreement is not None, "there is no full answer to agree with"


def test_a_further_question_to_one_arm_goes_on_from_what_it_has_read(engine, clip):
    first = finished(engine.answer(clip, QUESTION, Arm("omnizip", 0.3), sampling=SHORT)).runs[0]
    turns = (Turn(QUESTION, first.answer.text),)
    second = finished(engine.answer(clip, "And then?", Arm("omnizip", 0.3), history=turns, sampling=SHORT)).runs[0]
    anew = finished(Engine(engine.model, engine.settings).answer(clip, "And then?", Arm("omnizip", 0.3), history=turns, sampling=SHORT))
    assert first.reused_tokens == 0 < second.reused_tokens
    assert second.answer == anew.runs[0].answer and anew.runs[0].reused_tokens == 0


def test_costs_are_those_of_what_was_read(engine, clip, monkeypatch):
    prompts, caches, real = [], [], engine.model.prefill

    def watching(prompt, *made_by):
        prefilled = real(prompt)
        prompts.append(prompt.embeds.shape[0])
        caches.append(prefilled.cache)
        return prefilled

    monkeypatch.setattr(engine.model, "prefill", watching)
    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: False)
    runs = finished(engine.compare(clip, QUESTION, ARMS)).runs
    measured = list(zip(prompts, caches, strict=True))[-len(runs) :]  # the warm-up comes before
    for run, (length, cache) in zip(runs, measured, strict=True):
        assert run.tokens["total"] == length
        assert run.kv_cache_bytes == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        assert run.peak_memory_bytes is None
    assert runs[0].retained == {"audio": 1, "video": 1, "total": 1}
    media_tokens = runs[0].tokens["audio"] + runs[0].tokens["video"]
    assert runs[1].tokens["audio"] + runs[1].tokens["video"] == round(0.45 * media_tokens)
    assert runs[2].tokens["audio"] + runs[2].tokens["video"] == round(0.3 * media_tokens)


def test_times_add_up_and_hold_only_the_work(engine, clip):
    arms = (Arm("omnizip", 0.45), Arm("omnizip", 0.45, {"saliency_scope": "window"}), Arm("random", 0.45))
    events = engine.compare(clip, QUESTION, arms)
    began, slept = {}, Counter()
    written, report = {}, None
    for event in events:
        if isinstance(event, Stage) and event.name == "answer" and event.arm is not None:
            began[event.arm] = time.perf_counter()
        elif isinstance(event, Piece):
            before = time.perf_counter()
            time.sleep(0.05)
            slept[event.arm] += time.perf_counter() - before
        elif isinstance(event, ArmDone):
            written[event.arm] = time.perf_counter()
        report = event.report if isinstance(event, Finished) else report
    encoded = engine.encode(clip)
    saliency = [0.0, encoded.saliency_ms, encoded.saliency_windowed_ms, 0.0]
    for arm, (run, expected) in enumerate(zip(report.runs, saliency, strict=True)):
        t = run.timing
        assert t.saliency_ms == expected < t.compress_ms
        assert t.ttft_ms == pytest.approx(t.compress_ms + t.prefill_ms + t.first_token_ms)
        assert t.encode_ms == encoded.encode_ms > 0 and t.decode_clip_ms > 0
        assert slept[arm] > 0 and t.decode_ms <= 1000 * (written[arm] - began[arm] - slept[arm]), "who looks slowly is not counted"
        if t.tokens_per_s is not None:
            assert t.tokens_per_s >= (len(run.answer.token_ids) - 1) / t.decode_ms * 1000 * 0.999


def test_an_arm_that_chooses_before_encoding_is_billed_its_own(engine, clip, monkeypatch):
    """Its picture is run for it: a subset of the full encoding would be cut from neighbours it has not seen. The same mask runs once."""
    made, encode_seen = [], Encoder.encode_seen

    def counted(self, heard, seen):
        made.append(encode_seen(self, heard, seen))
        return made[-1]

    monkeypatch.setattr(Encoder, "encode_seen", counted)
    arms = (Arm("omnizip", 0.35), Arm("glance", 0.35), Arm("glance", 0.35, {"encode_share": 0.6}))
    first = finished(engine.compare(clip, QUESTION, arms))
    encoded = engine.encode(clip)
    full, omnizip, glance, two = (run.timing for run in first.runs)
    assert full.encode_ms == omnizip.encode_ms == encoded.encode_ms and omnizip.encode_reused and full.look_ms == omnizip.look_ms == 0
    assert [glance.encode_ms, two.encode_ms] == [part.encode_ms for part in made] and not glance.encode_reused
    assert glance.encode_ms > encoded.audio_ms and glance.compress_ms > glance.look_ms > 0
    for run in first.runs:
        assert run.timing.ttft_encoded_ms == pytest.approx(run.timing.encode_ms + run.timing.ttft_ms)
        assert run.to_json()["timing"]["ttft_encoded_ms"] == run.timing.ttft_encoded_ms
    operations = [run.flops_encode for run in first.runs]
    assert operations[0] == operations[1] > operations[3] > operations[2]
    for part, run in zip(made, first.runs[2:], strict=True):
        record = run.compression
        unseen = record.reason[record.modality == 2] == Reason.UNSEEN
        assert (unseen == ~part.seen.flatten().numpy()).all() and run.retained["total"] == pytest.approx(0.35, abs=0.01)
    again = finished(engine.compare(clip, QUESTION, arms))
    assert len(made) == 2 and again.runs[2].timing.encode_reused and again.runs[2].timing.encode_ms == glance.encode_ms
    assert [run.answer.text for run in again.runs] == [run.answer.text for run in first.runs]


def test_a_preview_shows_what_would_be_looked_at_without_looking(engine, clip, monkeypatch):
    (run,) = finished(engine.compare(clip, QUESTION, (Arm("glance", 0.35),))).runs[1:]
    monkeypatch.setattr(Encoder, "encode_seen", lambda *given: pytest.fail("a preview encodes nothing"))
    preview = engine.preview(clip, Arm("glance", 0.35), QUESTION)
    picture = run.compression.modality == 2
    assert (preview.record.reason[picture] == run.compression.reason[picture]).all()


def test_all_lengths_are_warm_before_anything_is_measured(engine, clip, monkeypatch):
    order, warm, prefill = [], engine.model.warm_up, engine.model.prefill
    monkeypatch.setattr(engine.model, "warm_up", lambda lengths: (order.append(list(lengths)), warm(lengths)))
    report = None
    for event in engine.compare(clip, QUESTION, ARMS):
        if isinstance(event, Stage) and event.name == "answer" and event.arm == 0:
            monkeypatch.setattr(
                engine.model, "prefill", lambda prompt, *made_by: (order.append(prompt.embeds.shape[0]), prefill(prompt))[1]
            )
        report = event.report if isinstance(event, Finished) else report
    totals = [run.tokens["total"] for run in report.runs]
    assert order[: 1 + len(totals)] == [totals, *totals]


def test_a_clip_is_encoded_once(engine, clip, loads, tmp_path):
    first = finished(engine.compare(clip, QUESTION, ())).runs[0].timing
    copy = shutil.copy(clip, tmp_path / "another name.mp4")
    report = finished(engine.compare(copy, QUESTION, ()))
    assert len(loads) == 1 and report.clip.name == "another name.mp4"
    assert first.decode_clip_ms > 0 and report.runs[0].timing.decode_clip_ms is None
    assert engine.encode(clip) is engine.encode(copy)
    assert finished(Engine(engine.model, replace(engine.settings, fps=1.0)).compare(clip, QUESTION, ())).clip.frames < report.clip.frames


def test_a_file_that_changed_is_read_again(engine, clip, loads, tmp_path):
    path = tmp_path / "clip.mp4"
    shutil.copy(clip, path)
    before = engine.encode(path)
    make_clip(path, seconds=2)
    after = engine.encode(path)
    assert len(loads) == 2 and after.clip.duration_s < before.clip.duration_s


def test_visitors_at_the_same_time_share_one_encoding(engine, clip, loads):
    got = []
    threads = [threading.Thread(target=lambda: got.append(engine.encode(clip))) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(loads) == 1 and len(got) == 4 and len({id(encoded) for encoded in got}) == 1


def test_a_visitor_who_leaves_while_encoding_leaves_the_clip_to_the_next(engine, clip):
    leaving = engine.compare(clip, QUESTION, ())
    assert next(leaving) == Stage("decode", 0.0)
    got = []
    waiting = threading.Thread(target=lambda: got.append(engine.encode(clip)))
    waiting.start()
    leaving.close()
    waiting.join(60)
    assert got and got[0].clip.duration_s > 4
    assert usable(engine, clip)


def test_a_clip_that_nobody_waits_for_is_not_read_to_its_end(engine, clip):
    leaving = engine.compare(clip, QUESTION, ())
    assert next(leaving) == Stage("decode", 0.0)
    leaving.close()
    for thread in threading.enumerate():
        if thread.name == "encode":
            thread.join(20)
    assert len(engine._clips) == 0


def test_comparisons_take_turns(engine, clip):
    spans = []

    def visit():
        start = None
        for event in engine.compare(clip, QUESTION, ARMS[:1]):
            if isinstance(event, Stage) and event.name == "compress" and start is None:
                start = time.monotonic()
            end = time.monotonic()
        spans.append((start, end))

    threads = [threading.Thread(target=visit) for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    spans.sort()
    assert len(spans) == 3
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_stop_ends_the_answer_within_a_token(engine, clip, tokens, monkeypatch):
    made, real = [], engine.model.decode

    def counting(prefilled, sampling, stop=None):
        for token in real(prefilled, sampling, stop):
            made.append(token)
            yield token

    monkeypatch.setattr(engine.model, "decode", counting)
    report = finished(engine.compare(clip, QUESTION, ARMS, stop=lambda: len(made) >= tokens))
    (run,) = report.runs
    assert run.answer.finish == "stopped" and len(run.answer.token_ids) == tokens
    assert run.answer.text == engine.model.text(made)
    assert json.dumps(report.to_json(), allow_nan=False)
    monkeypatch.undo()
    assert usable(engine, clip)


def test_a_stop_before_the_first_answer_yields_no_report(engine, clip):
    assert not [e for e in engine.compare(clip, QUESTION, ARMS, stop=lambda: True) if not isinstance(e, Stage)]
    engine.encode(clip)
    asked = []
    events = list(engine.compare(clip, QUESTION, ARMS, stop=lambda: asked.append(0) or len(asked) > 3))
    assert {type(e) for e in events} <= {Stage}
    assert usable(engine, clip)


def test_waiting_for_a_turn_can_be_stopped(engine, clip):
    engine.encode(clip)
    other = engine.compare(clip, QUESTION, ())
    while not isinstance(next(other), Piece):
        pass
    asked = []
    waiting = engine.compare(clip, QUESTION, (), stop=lambda: asked.append(0) or len(asked) > 5)
    assert not [e for e in waiting if isinstance(e, Finished)], "it ends though the other has its turn"
    assert engine._device.locked()
    report = finished(other)
    assert report.runs and not engine._device.locked()


def test_whoever_hears_the_end_may_use_the_engine_at_once(engine, clip):
    """A page draws from the report while the generator still stands at its last event."""
    events = engine.compare(clip, QUESTION, ())
    for event in events:
        if isinstance(event, Finished):
            assert not engine._device.locked()


@pytest.mark.slow
def test_closing_a_comparison_anywhere_leaves_the_engine_usable(opened, clip):
    counted = len(list(Engine(opened.model, opened.settings).compare(clip, QUESTION, ARMS[:1], sampling=Sampling(max_new_tokens=2))))
    for steps in (1, 2, counted // 2, counted - 3, counted - 1):
        engine = Engine(opened.model, opened.settings)
        events = engine.compare(clip, QUESTION, ARMS[:1], sampling=Sampling(max_new_tokens=2))
        for _ in range(steps):
            next(events)
        closer = threading.Thread(target=events.close)  # a page closes it from another thread than ran it
        closer.start()
        closer.join()
        assert usable(engine, clip)


def test_a_failing_method_leaves_the_engine_usable(engine, clip, monkeypatch):
    def fail(self, stream):
        raise MethodError("No.")

    monkeypatch.setattr(OmniZip, "compress", fail)
    with pytest.raises(MethodError):
        list(engine.compare(clip, QUESTION, ARMS))
    monkeypatch.undo()
    assert usable(engine, clip)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (Arm("zip"), "no method 'zip'; choose one of full, random, omnizip"),
        (Arm("random", 0.3, {"merge_size": 3}), "random has no option 'merge_size'; it has retention, scope, seed"),
        (Arm("full", None, {"seed": 3}), "full has no option 'seed'; it has none"),
        (Arm("omnizip", 0.3, {"merge_size": 99}), "merge_size is 99; it must lie between 0 and 18"),
        (Arm("omnizip", 0.0), "retention is 0.0"),
        (Arm("omnizip", float("nan")), "retention is nan"),
    ],
)
def test_a_wrong_arm_is_told_before_the_clip_is_read(engine, clip, loads, arm, words):
    for attempt in (lambda: list(engine.compare(clip, QUESTION, (arm,))), lambda: engine.preview(clip, arm)):
        with pytest.raises(MethodError, match=words):
            attempt()
    assert loads == []


def test_an_empty_question_and_a_missing_file_are_told(engine, clip, tmp_path):
    with pytest.raises(OmniZipError, match="question is empty"):
        list(engine.compare(clip, "  "))
    with pytest.raises(MediaError, match=r"no file gone\.mp4"):
        list(engine.compare(tmp_path / "gone.mp4", QUESTION))
    with pytest.raises(MediaError, match=r"no file gone\.mp4"):
        engine.preview(tmp_path / "gone.mp4", ARMS[0])
    assert usable(engine, clip)


def test_every_arm_keeps_its_own_chat(engine, clip, monkeypatch):
    asked, real = [], engine.model.stream
    monkeypatch.setattr(engine.model, "stream", lambda encoded, turns: asked.append(tuple(turns)) or real(encoded, turns))
    first = [run.answer.text for run in finished(engine.compare(clip, QUESTION, ARMS)).runs]
    asked.clear()
    history = {arm: (Turn(QUESTION, text),) for arm, text in enumerate(first)}
    report = finished(engine.compare(clip, "And then?", ARMS, history=history))
    expected = {(Turn(QUESTION, text), Turn("And then?")) for text in first}
    assert set(asked) == expected
    media_tokens = [run.compression.clip_tokens for run in report.runs]
    assert media_tokens[0] == media_tokens[1] == media_tokens[2]
    asked.clear()
    list(engine.compare(clip, "And then?", ARMS, history=[Turn(QUESTION, "A bell.")]))
    assert set(asked) == {(Turn(QUESTION, "A bell."), Turn("And then?"))}


def test_a_preview_is_what_compare_does_without_answering(engine, clip, monkeypatch):
    monkeypatch.setattr(engine.model, "prefill", lambda prompt, *made_by: pytest.fail("a preview generates nothing"))
    preview = engine.preview(clip, ARMS[0], QUESTION)
    monkeypatch.undo()
    run = finished(engine.compare(clip, QUESTION, ARMS)).runs[1]
    assert preview.record.tokens == run.tokens and preview.compressor.parameters == run.parameters
    np.testing.assert_array_equal(preview.record.source, run.compression.source)
    assert preview.compress_ms > 0 and preview.encoded is engine.encode(clip)


@pytest.mark.parametrize("arm", [Arm("omnizip", 0.3), Arm("fastv", 0.5)], ids=lambda arm: arm.method)
def test_no_preview_works_between_the_beginning_and_the_end_of_a_measured_run(opened, clip, monkeypatch, arm):
    """Every use of the model is recorded with its thread; a preview waits from a run's first reset of the peak to its reading."""
    engine, uses = Engine(opened.model, opened.settings), []
    engine.encode(clip)

    def record(owner, name):
        real = getattr(owner, name)

        def recorded(*args, **named):
            uses.append((name, threading.get_ident()))
            return real(*args, **named)

        monkeypatch.setattr(owner, name, recorded)

    for name in ("stream", "prefill", "reset_peak_memory", "peak_memory_bytes", "synchronize"):
        record(engine.model, name)
    monkeypatch.setattr(
        OmniZip,
        "compress",
        lambda self, stream, real=OmniZip.compress: (uses.append(("compress", threading.get_ident())), real(self, stream))[1],
    )
    previews = []
    waiting = threading.Thread(target=lambda: previews.append(engine.preview(clip, arm, QUESTION, wait_s=60)))
    for event in engine.compare(clip, QUESTION, ARMS):
        if isinstance(event, Piece) and waiting.ident is None:
            waiting.start()
            waiting.join(0.5)  # it could work now, were it not for its turn
    waiting.join(60)
    assert previews[0].record.tokens["total"]
    begins = [place for place, (name, _) in enumerate(uses) if name == "reset_peak_memory"]
    ends = [place for place, (name, _) in enumerate(uses) if name == "peak_memory_bytes"]
    assert len(begins) == len(ends) == 3 and any(thread == waiting.ident for _, thread in uses)
    for begin, end in zip(begins, ends, strict=True):
        assert {thread for _, thread in uses[begin:end]} == {threading.get_ident()}


def test_a_preview_says_that_the_device_is_busy_after_a_while(engine, clip):
    engine.encode(clip)
    events = engine.compare(clip, QUESTION, ARMS)
    while not isinstance(next(events), Piece):
        pass
    with pytest.raises(BusyError, match="busy with another question"):
        engine.preview(clip, ARMS[0], QUESTION, wait_s=0.2)
    assert finished(events).runs and engine.preview(clip, ARMS[0], QUESTION, wait_s=0.2).record.tokens


def test_the_answers_length_and_seed_are_the_samplings(engine, clip):
    def ids(**changes):
        sampling = Sampling(**{"max_new_tokens": 8, "temperature": 1.0, **changes})
        report = finished(engine.compare(clip, QUESTION, (), sampling=sampling))
        assert report.to_json()["conditions"]["sampling"]["seed"] == sampling.seed
        return report.runs[0].answer

    assert ids(seed=1).token_ids == ids(seed=1).token_ids
    assert len({ids(seed=seed).token_ids for seed in range(4)}) > 1
    short = ids(max_new_tokens=1)
    assert len(short.token_ids) == 1 and short.finish == "length"


def test_a_random_method_draws_by_the_settings_seed(engine, clip):
    keeps = [finished(engine.compare(clip, QUESTION, (Arm("random", 0.3),), sampling=Sampling(1, seed=seed))).runs[1] for seed in (1, 1, 2)]
    assert keeps[0].parameters["seed"] == 1
    np.testing.assert_array_equal(keeps[0].compression.keep, keeps[1].compression.keep)
    assert (keeps[0].compression.keep != keeps[2].compression.keep).any()


@pytest.mark.parametrize(("sound", "said"), [(None, "no sound"), ("silence", "silent")])
def test_what_a_clip_lacks_is_told(engine, tmp_path, sound, said):
    path = make_clip(tmp_path / "quiet.mp4", seconds=4, sound=sound)
    report = finished(engine.compare(path, QUESTION, (Arm("omnizip", 0.45), Arm("omnizip-official", 0.45))))
    assert any(said in warning for warning in report.clip.warnings)
    assert any(said in note for note in report.runs[1].compression.notes)
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (plain["runs"][1]["retained"]["audio"] is None) == (sound is None) == (not report.clip.has_sound)


def test_a_report_names_its_conditions(engine, clip):
    conditions = finished(engine.compare(clip, QUESTION, ())).to_json()["conditions"]
    assert {"host", "port", "queue_size"}.isdisjoint(conditions["settings"])
    assert conditions["settings"]["fps"] == 2.0
    assert {"python", "torch", "transformers", "av", "numpy"} <= {name for name, value in conditions["versions"].items() if value}
    assert conditions["threads"] >= 1 and conditions["device"]


def test_the_cache_is_bounded_and_drops_the_least_used():
    cache = Cache(2)
    for key in "abac":
        cache.get(key, lambda key=key: key.upper())
    assert len(cache) == 2 and "a" in cache and "c" in cache
    assert cache.get("a", lambda: pytest.fail("it is there")) == ("A", True)


def test_the_cache_keeps_no_failure():
    cache = Cache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 / 0)
    assert cache.get("a", lambda: 1) == (1, False)


@pytest.mark.parametrize("arm", [0, 1])
def test_a_stop_while_a_prompt_is_read_ends_between_its_layers(engine, clip, monkeypatch, arm):
    """The wish comes while the first layer of an arm's prompt is passed: no further layer is, and what was answered before stays."""
    language, real, wished, passed = engine.model.parts.language, QwenOmni.prefill, [], []
    handle = language.layers[0].register_forward_hook(lambda *_: wished.append(1) if reading and reading[-1] == arm else None)
    last = language.layers[-1].register_forward_hook(lambda *_: passed.append(1) if wished else None)
    reading: list[int] = []
    events = engine.compare(clip, QUESTION, ARMS[:1], sampling=SHORT, stop=lambda: bool(wished))

    def counted(self, *given, **named):
        if started:
            reading.append(len(reading))
        return real(self, *given, **named)

    started: list[int] = []
    monkeypatch.setattr(QwenOmni, "prefill", counted)
    seen = []
    try:
        for event in events:
            if isinstance(event, Stage) and event.name == "answer":
                started.append(1)
            seen.append(event)
    finally:
        handle.remove()
        last.remove()
    assert wished and not passed
    reports = [event.report for event in seen if isinstance(event, Finished)]
    assert [len(report.runs) for report in reports] == ([] if arm == 0 else [1])
    assert usable(engine, clip)


def test_a_preview_that_nobody_waits_for_ends(engine, clip, loads):
    with pytest.raises(BusyError, match="stopped"):
        engine.preview(clip, Arm("random", 0.3), stop=lambda: True)
    assert engine.preview(clip, Arm("random", 0.3), stop=lambda: False).record.retained["total"] == pytest.approx(0.3, abs=0.05)
