"""A GPU lent for one call: a forked process does both arms, and nothing but plain data crosses."""

import pickle
import threading
from dataclasses import replace

import pytest
import torch
from clips import make_clip, text
from forked import Lender, guard, packed
from gradio_client import Client, handle_file

from omnizip.engine import Arm, ArmDone, Engine, Finished, Piece, Stage
from omnizip.engine.zerogpu import Task, TensorArray, duration_s
from omnizip.errors import MediaError, ModelError, OmniZipError
from omnizip.settings import Settings
from omnizip.types import Sampling, Turn
from ui.page import build_page, launch_options

SETTINGS = Settings(max_new_tokens=6, port=0)
ARMS = (Arm("omnizip", 0.35),)


@pytest.fixture(scope="module")
def lender():
    return Lender()


@pytest.fixture(scope="module")
def engine(lender):
    return guard(Engine.open(SETTINGS, lend=lender))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=4)


@pytest.fixture(scope="module")
def events(engine, clip):
    return list(engine.compare(clip, "What is seen?", ARMS))


def test_both_arms_are_one_call_and_answer_as_without_lending(events, lender, clip):
    assert len(lender.seconds) == 1
    assert isinstance(events[-1], Finished) and [e.arm for e in events if isinstance(e, ArmDone)] == [0, 1]
    assert {e.name for e in events if isinstance(e, Stage)} == {"decode", "encode", "compress", "warm up", "answer"}
    own = list(Engine.open(SETTINGS).compare(clip, "What is seen?", ARMS))[-1].report
    for mine, theirs in zip(own.runs, events[-1].report.runs, strict=True):
        assert mine.answer.token_ids == theirs.answer.token_ids
        assert mine.tokens == theirs.tokens
    assert any(isinstance(e, Piece) for e in events)


def test_the_encoded_clip_came_back_so_previews_and_follow_ups_need_no_encoding(events, engine, lender, clip):
    before = len(lender.seconds)
    preview = engine.preview(clip, Arm("omnizip", 0.25), "What is seen?")
    plain = Engine.open(SETTINGS).preview(clip, Arm("omnizip", 0.25), "What is seen?")
    assert torch.equal(preview.compression.keep, plain.compression.keep)
    assert len(lender.seconds) == before, "a preview costs no call"
    assert len(preview.encoded.clip.frames) == 8 and preview.stream.embeds.device.type == "cpu"
    history = {i: (Turn("What is seen?", run.answer.text),) for i, run in enumerate(events[-1].report.runs)}
    again = list(engine.compare(clip, "And then?", ARMS, history=history))
    assert "encode" not in {e.name for e in again if isinstance(e, Stage)} and isinstance(again[-1], Finished)


def test_an_answer_alone_is_one_call_for_one_arm(events, engine, clip, lender):
    before = len(lender.seconds)
    *_, last = engine.answer(clip, "What is seen?", ARMS[0])
    compared = next(run for run in events[-1].report.runs if run.method == ARMS[0].method)
    assert [run.answer for run in last.report.runs] == [compared.answer] and len(lender.seconds) == before + 1


def test_what_cannot_be_previewed_without_the_gpu_says_so(events, engine, clip):
    with pytest.raises(OmniZipError, match="press Compare"):
        engine.preview(clip, Arm("fastv", 0.5), "What?")


def test_an_encoding_alone_is_a_call_too(engine, lender, tmp_path):
    other = make_clip(tmp_path / "other.mp4", seconds=2)
    before = len(lender.seconds)
    assert engine.encode(other).clip.duration_s == pytest.approx(2, abs=0.2)
    assert len(lender.seconds) == before + 1


def test_a_stop_ends_the_call(engine, clip):
    seen = []
    for event in engine.compare(clip, "What is seen?", ARMS, stop=lambda: any(isinstance(e, Piece) for e in seen)):
        seen.append(event)
    assert isinstance(seen[-1], Piece), "nothing came after the stop"


def test_a_closed_comparison_ends_the_call(engine, clip):
    comparison = engine.compare(clip, "What is seen?", ARMS)
    next(e for e in comparison if isinstance(e, Piece))
    comparison.close()  # the lender asserts that its process is gone


def test_problems_on_either_side_are_sentences(engine, clip, tmp_path):
    with pytest.raises(MediaError):
        list(engine.compare(text(tmp_path), "What?", ARMS))
    with pytest.raises(OmniZipError, match=r"."):
        list(engine.compare(clip, "", ARMS))
    before = set(threading.enumerate())
    long = replace(engine.settings, max_new_tokens=1)
    list(engine.compare(clip, "What?", ARMS, sampling=Sampling(long.max_new_tokens)))
    assert set(threading.enumerate()) <= before


@pytest.mark.slow
def test_the_page_runs_with_the_call_in_another_process(engine, clip):
    page = build_page(engine)
    options = {**launch_options(SETTINGS), "server_port": None, "prevent_thread_lock": True, "quiet": True}
    _, url, _ = page.launch(**options)
    try:
        *answers, report = Client(url, verbose=False).predict(video=handle_file(str(clip)), question="What?", api_name="/compare")
    finally:
        page.close()
    assert [run["answer"] for run in report["runs"]] == answers and report["runs"][1]["method"] == "omnizip"


@pytest.mark.parametrize(
    "item",
    [threading.Lock(), threading.Event(), lambda: None, torch.empty(1, device="meta")],
    ids=["lock", "event", "function", "meta tensor"],
)
def test_the_border_refuses_what_zerogpu_refuses(item):
    with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
        packed((item,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_tensors_cross_as_arrays_and_come_back_to_the_bit(dtype):
    for tensor in (torch.randn(5, 3).to(dtype), torch.randn(3, 5).to(dtype).T, torch.zeros(0, 4, dtype=dtype)):
        back = pickle.loads(packed(TensorArray.of(tensor))).tensor()
        assert back.dtype == dtype and torch.equal(back, tensor)
        back += 1  # it is the reader's own


def test_no_tensor_crosses(events, lender):
    """torch's reductions would name themselves in what is sent."""
    assert b"rebuild_tensor" in packed(torch.zeros(2)), "this is how one is known"
    assert lender.crossed and not any(b"rebuild_tensor" in load or b"rebuild_storage" in load for load in lender.crossed)


def test_a_small_shared_memory_is_enough(clip):
    small = Lender(shared_bytes=4096)
    shared = list(Engine.open(SETTINGS, lend=small).compare(clip, "What is seen?", ARMS))
    assert isinstance(shared[-1], Finished)
    assert Engine.open(SETTINGS, lend=small).encode(clip).video.numel() > 4096


def test_the_lent_process_fails_on_tensors_as_there_where_shared_memory_is_small():
    def send(size):
        yield torch.zeros(size)

    small = Lender(shared_bytes=4096)(send, duration=lambda size: 1)
    assert len(list(small(100))) == 1
    assert list(small(100_000)) == [], "the call ends without an error"


@pytest.mark.parametrize("lives_for", [0, 1, 4])
def test_a_call_that_ends_early_is_a_failure_with_a_sentence(clip, lives_for):
    taken = Engine.open(SETTINGS, lend=Lender(lives_for=lives_for))
    with pytest.raises(ModelError, match="ended the call before the answer was complete"):
        list(taken.compare(clip, "What is seen?", ARMS))
    if lives_for < 2:
        with pytest.raises(ModelError, match="ended the call"):
            Engine.open(SETTINGS, lend=Lender(lives_for=lives_for)).encode(clip)
    stopped = []
    for event in taken.compare(clip, "What is seen?", ARMS, stop=lambda: bool(stopped)):
        stopped.append(event)
    assert not any(isinstance(event, Finished) for event in stopped), "who wished for the end hears no failure"


def test_outside_the_call_the_model_cannot_be_used(engine):
    with pytest.raises(AssertionError, match="outside the lent call"):
        engine.model.warm_up([3])


def test_the_time_asked_for_grows_with_clip_arms_answers_and_model(engine, clip):
    encoded = engine.encode(clip)
    task = Task(encoded.clip, None, None, "clip", "?", (Arm("full"), *ARMS), (), Sampling(100), SETTINGS)
    usual = duration_s(task, 10**10)
    assert duration_s(replace(task, sampling=Sampling(400)), 10**10) > usual > duration_s(replace(task, arms=()), 10**10)
    assert usual > duration_s(task, 10**6) >= 8
    assert duration_s(replace(task, clip=replace(encoded.clip, frames=encoded.clip.frames.repeat(9, 0))), 10**10) > usual
