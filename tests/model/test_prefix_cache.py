"""A follow-up question reads only what is new, and says what it would have said after reading everything."""

import pytest
import torch
from clips import make_clip

from omnizip.compressors.omnizip import OmniZip
from omnizip.engine import Arm, Engine, Finished, Piece
from omnizip.model.prefix_cache import Prefix, Prefixes
from omnizip.report.flops import CountedFlops, prefill_flops
from omnizip.settings import Settings
from omnizip.types import Sampling, Turn

QUESTIONS = ("Describe the clip.", "And then?", "Why is that?", "How many?")
ARMS = (Arm("omnizip", 0.45), Arm("omnizip", 0.3, {"temporal": "fold"}), Arm("full"))


@pytest.fixture(scope="module")
def opened():
    return Engine.open(Settings(max_new_tokens=12))


@pytest.fixture
def engine(opened):
    """The same model, with nothing read yet."""
    return Engine(opened.model, opened.settings)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "five.mp4", seconds=5)


def ask(engine, clip, question, histories, arms=ARMS, **more):
    report = next(e.report for e in engine.compare(clip, question, arms, history=histories, **more) if isinstance(e, Finished))
    for number, run in enumerate(report.runs):
        histories[number] = (*histories.get(number, ()), Turn(question, run.answer.text))
    return report.runs


@pytest.mark.slow
def test_several_turns_say_what_fresh_ones_say(engine, opened, clip):
    histories = {}
    for turn, question in enumerate(QUESTIONS):
        before = dict(histories)
        runs = ask(engine, clip, question, histories)
        fresh = ask(Engine(opened.model, opened.settings), clip, question, dict(before))
        for run, other in zip(runs, fresh, strict=True):
            assert run.answer == other.answer
            assert other.reused_tokens == 0
            assert run.kv_cache_bytes == other.kv_cache_bytes
            if turn:
                assert run.tokens["total"] - run.reused_tokens < 40, "only the new text is read"
            else:
                assert run.reused_tokens == 0
    assert len(engine._prefixes) == 1 + len(ARMS)


@pytest.mark.parametrize("arm", ARMS, ids=str)
def test_logits_are_those_of_reading_everything(opened, clip, arm):
    model = opened.model
    encoded = opened.encode(clip)
    turns = (Turn(QUESTIONS[0]),)
    prefix = None
    for question in QUESTIONS[1:]:
        stream = model.stream(encoded, turns)
        prompt = stream.prompt(arm.compressor(stream).compress(stream))
        fresh = model.prefill(prompt)
        prefilled = fresh if prefix is None else model.resume(prefix, prompt)
        if prefix is not None:
            assert prefilled.reused > 0.8 * prompt.embeds.shape[0]
            torch.testing.assert_close(prefilled.logits, model.prefill(prompt).logits, atol=1e-4, rtol=1e-4)
            assert prefilled.next_position == fresh.next_position
            assert prefilled.cache.get_seq_length() == prompt.embeds.shape[0]
        ids = list(model.decode(prefilled, Sampling(max_new_tokens=5)))
        prefix = model.prefix(prefilled, prompt, ids)
        assert prefix.embeds.shape[0] == prefix.positions.shape[1] == prefilled.cache.get_seq_length()
        turns = (*turns[:-1], Turn(turns[-1].question, model.text(ids)), Turn(question))


def test_a_stop_in_the_middle_leaves_a_prefix_that_is_right(engine, opened, clip):
    histories, said = {}, []
    for event in engine.compare(clip, QUESTIONS[0], (), stop=lambda: len(said) > 3):
        if isinstance(event, Piece):
            said.append(event)
    (run,) = event.report.runs
    histories[0] = (Turn(QUESTIONS[0], run.answer.text),)
    assert run.answer.finish == "stopped" and run.answer.text
    (again,) = ask(engine, clip, QUESTIONS[1], dict(histories), arms=())
    (fresh,) = ask(Engine(opened.model, opened.settings), clip, QUESTIONS[1], dict(histories), arms=())
    assert again.answer == fresh.answer and again.reused_tokens > 0


def test_all_arms_reuse_or_none_does(engine, clip):
    """A new setting is read in full, and then the full model is too, or their times could not be compared."""
    histories = {}
    ask(engine, clip, QUESTIONS[0], histories, arms=(Arm("omnizip", 0.45),))
    assert all(run.reused_tokens for run in ask(engine, clip, QUESTIONS[1], dict(histories), arms=(Arm("omnizip", 0.45),)))
    assert not any(run.reused_tokens for run in ask(engine, clip, QUESTIONS[1], dict(histories), arms=(Arm("omnizip", 0.3),)))


@pytest.mark.slow
def test_a_new_chat_and_a_method_that_reads_the_question_read_everything(engine, clip, monkeypatch):
    histories = {}
    ask(engine, clip, QUESTIONS[0], histories)
    assert not any(run.reused_tokens for run in ask(engine, clip, QUESTIONS[0], {}))
    monkeypatch.setattr(OmniZip, "reads_question", True)
    assert not any(run.reused_tokens for run in ask(engine, clip, QUESTIONS[1], dict(histories)))


def test_operations_are_those_of_what_was_read(engine, clip):
    histories = {}
    ask(engine, clip, QUESTIONS[0], histories, arms=())
    (run,) = ask(engine, clip, QUESTIONS[1], histories, arms=())
    shape, total = engine.model.shape, run.tokens["total"]
    spared = prefill_flops(shape, run.reused_tokens) - 2 * shape.width * shape.vocabulary
    assert run.flops_counted.prefill == prefill_flops(shape, total) - spared
    assert run.flops_counted.prefill < 0.2 * CountedFlops.of(shape, total, total).prefill
    assert run.to_json()["reused_tokens"] == run.reused_tokens > 0


class _Cache:
    layers = ()

    def get_seq_length(self):
        return 4


def test_rows_that_differ_in_embedding_or_position_are_not_shared():
    from omnizip.stream import Prompt

    embeds, positions = torch.arange(8.0).view(4, 2), torch.arange(4).expand(3, 4)
    prefix = Prefix(_Cache(), embeds, positions)

    def shared(embeds, positions):
        return prefix.shared(Prompt(embeds, positions, torch.arange(embeds.shape[0]), 9))

    longer, further = torch.cat([embeds, embeds]), torch.arange(8).expand(3, 8)
    assert shared(longer, further) == 4
    assert shared(embeds, positions) == 3  # the last row is to be answered
    other = longer.clone()
    other[2, 1] += 1e-3
    assert shared(other, further) == 2
    moved = further.clone()
    moved[2, 1] += 1
    assert shared(longer, moved) == 1
    assert shared(embeds[:1], positions[:, :1]) == 0


def prefix(rows=4):
    return Prefix(_Cache(), torch.zeros(rows, 2), torch.zeros(3, rows))  # 20 bytes a row


def test_only_so_many_bytes_are_kept_and_the_oldest_goes_first():
    prefixes = Prefixes(2 * 80)
    for key in "abc":
        prefixes.put(key, prefix())
    assert len(prefixes) == 2 and prefixes.peek("a") is None and prefixes.peek("c") is not None
    assert prefixes.nbytes == 2 * (32 + 48)
    prefixes.put("d", prefix(9))
    assert len(prefixes) == 2 and prefixes.peek("d") is None, "what never fits makes nothing else go"
    prefixes.take("b")
    assert prefixes.peek("b") is None and len(prefixes) == 1
    prefixes.clear()
    assert prefixes.nbytes == 0


def test_a_part_of_a_larger_tensor_counts_as_what_it_keeps_in_memory():
    whole = torch.zeros(100, 2)
    assert Prefix(_Cache(), whole[:4], torch.zeros(3, 4)).nbytes == whole.nbytes + 48
