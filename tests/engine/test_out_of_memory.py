"""Memory that runs out at any allocation: all that can be is freed, the arm begins anew, and only then there is a sentence."""

import gc
import re
import weakref

import pytest
import torch
from clips import make_clip

from omnizip.engine import Arm, ArmDone, Engine, Finished, Piece
from omnizip.engine.out_of_memory import SecondTry, is_out_of_memory
from omnizip.errors import ModelError
from omnizip.model.encoders import Encoder
from omnizip.model.generate import LanguageModel
from omnizip.model.prefix_cache import Prefixes
from omnizip.settings import Settings
from omnizip.types import Turn

QUESTION = "What is seen?"
ARMS = (Arm("omnizip", 0.45), Arm("fastv", 0.5))
FAILURES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    ),
    MemoryError(),
]


@pytest.fixture(scope="module")
def opened():
    return Engine.open(Settings(max_new_tokens=2))


@pytest.fixture
def engine(opened):
    opened.model._warmed.clear()
    return Engine(opened.model, opened.settings)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2, size=(160, 120))


class Allocator:
    """Counts how often the language model reads rows; from the n-th time on it fails, so many times."""

    def __init__(self, monkeypatch, nth=0, failure=None, times=1):
        self.calls, self.failed, self.on_failure = 0, 0, lambda: None
        real = LanguageModel._forward

        def forward(decoder, *rows):
            self.calls += 1
            if failure is not None and self.calls >= nth and self.failed < times:
                self.failed += 1
                self.on_failure()
                raise failure
            return real(decoder, *rows)

        monkeypatch.setattr(LanguageModel, "_forward", forward)


def answers(engine, clip, question=QUESTION, **more):
    report = [*engine.compare(clip, question, ARMS, **more)][-1].report
    return [run.answer.token_ids for run in report.runs]


def test_failures_are_told_apart():
    assert all(map(is_out_of_memory, FAILURES))
    assert not any(map(is_out_of_memory, (RuntimeError("shapes differ"), ValueError("can't allocate memory"), OSError(12, "no"))))


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_one_failure_anywhere_changes_no_answer(engine, clip, monkeypatch, failure):
    counted = Allocator(monkeypatch)
    expected = answers(engine, clip)
    monkeypatch.undo()
    for nth in range(1, counted.calls + 1):
        engine.model._warmed.clear()
        with monkeypatch.context() as patched:
            allocator = Allocator(patched, nth, failure)
            events = [*Engine(engine.model, engine.settings).compare(clip, QUESTION, ARMS)]
        assert allocator.failed == 1
        assert [run.answer.token_ids for run in events[-1].report.runs] == expected
        assert [event.arm for event in events if isinstance(event, ArmDone)] == [0, 1, 2], "each arm is told of once"
        last = {event.arm: event.text for event in events if isinstance(event, Piece)}
        assert all(last.get(arm, "") == run.answer.text for arm, run in enumerate(events[-1].report.runs))


@pytest.mark.parametrize("nth", [1, 5, 9])
def test_what_fails_again_is_one_sentence_with_a_cure_and_leaves_the_engine_usable(engine, clip, monkeypatch, nth):
    expected = answers(engine, clip)
    assert len(engine._prefixes)
    engine.model._warmed.clear()
    with monkeypatch.context() as patched, pytest.raises(ModelError) as raised:
        Allocator(patched, nth, FAILURES[0], times=10**6)
        answers(engine, clip)
    said = str(raised.value)
    assert "ran out of memory" in said and "--max-frames 2" in said and "shorter" in said and said.count(".") == 1 and "\n" not in said
    assert "--tokens-per-step " in said
    assert "four-bit" not in said, "there are no 4-bit weights on the CPU"
    assert len(engine._prefixes) == 0 and not engine._device.locked()
    assert answers(engine, clip) == expected


@pytest.mark.parametrize(
    ("frames", "cures"),
    [
        # the embedded model's tokens are of 14 x 14 pixels, 64 of them in a step at most
        ((8, 28, 28, 3), ["--max-frames 4"]),  # 4 tokens a step, the fewest there are
        ((2, 42, 42, 3), ["--tokens-per-step 4"]),  # one step
        ((8, 448, 448, 3), ["--max-frames 4", "--tokens-per-step 32"]),
        ((2, 28, 28, 3), []),
    ],
)
def test_what_is_advised_would_make_this_prompt_shorter(opened, frames, cures):
    said = SecondTry(opened.model, Prefixes(), frames).advice()
    assert re.findall(r"--(?:max-frames|tokens-per-step) \d+", said) == cures and said.endswith("a shorter part of the clip.")


def test_what_other_chats_keep_is_freed_before_the_second_try(engine, clip, tmp_path, monkeypatch):
    other = make_clip(tmp_path / "other.mp4", seconds=2, size=(120, 160))
    answers(engine, other)
    kept = [weakref.ref(prefix) for prefix in engine._prefixes._kept.values()]
    allocator = Allocator(monkeypatch, 4, FAILURES[0])
    alive = []
    real = engine.model.synchronize
    monkeypatch.setattr(engine.model, "synchronize", lambda: (alive.append((allocator.failed, sum(r() is not None for r in kept))), real()))
    answers(engine, clip)
    gc.collect()
    assert kept and (0, len(kept)) in alive and all(count == 0 for failed, count in alive if failed)


def test_a_failure_of_another_kind_is_passed_on_at_once(engine, clip, monkeypatch):
    allocator = Allocator(monkeypatch, 2, RuntimeError("shapes differ"), times=10**6)
    with pytest.raises(RuntimeError, match="shapes differ"):
        answers(engine, clip)
    assert allocator.failed == 1


def test_encoding_and_previews_are_tried_twice_as_well(engine, clip, monkeypatch):
    real, failed = Encoder.encode, []

    def encode(self, *given):
        if not failed:
            failed.append(1)
            raise FAILURES[0]
        return real(self, *given)

    monkeypatch.setattr(Encoder, "encode", encode)
    monkeypatch.setattr(Encoder, "encode_ahead", lambda *given: (_ for _ in ()).throw(FAILURES[1]))
    assert engine.encode(clip).video.numel() and failed
    allocator = Allocator(monkeypatch, 1, FAILURES[0])
    assert engine.preview(clip, Arm("fastv", 0.5), QUESTION).record.tokens and allocator.failed == 1


def test_a_second_chat_frees_the_firsts_cache_before_it_reads(engine, clip, monkeypatch):
    """What is not reused would otherwise count in the peak that is shown."""
    answers(engine, clip)
    kept = {key: weakref.ref(prefix) for key, prefix in engine._prefixes._kept.items()}
    alive, real = [], engine.model.reset_peak_memory

    def reset():
        alive.append(sum(prefix() is not None and key not in engine._prefixes._kept for key, prefix in kept.items()))
        real()

    monkeypatch.setattr(engine.model, "reset_peak_memory", reset)
    answers(engine, clip)
    assert alive == [0, 0, 0], "no prefix lives that nobody keeps"


def test_a_follow_up_still_goes_on_from_what_was_read(engine, clip):
    first = [*engine.compare(clip, QUESTION, ARMS[:1])][-1].report
    history = {arm: (Turn(QUESTION, run.answer.text),) for arm, run in enumerate(first.runs)}
    events = [*engine.compare(clip, "And then?", ARMS[:1], history=history)]
    assert isinstance(events[-1], Finished) and all(run.reused_tokens for run in events[-1].report.runs)


def test_nothing_is_kept_where_the_setting_says_so(opened, clip):
    engine = Engine(opened.model, Settings(max_new_tokens=2, prefix_memory_mb=0))
    answers(engine, clip)
    assert len(engine._prefixes) == 0
