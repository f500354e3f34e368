"""Short reading is timed again, in turn, within two seconds, and only where that is nobody else's time."""

import dataclasses
from statistics import median

import pytest
from clips import make_clip

from omnizip.engine import Arm, Engine, Finished, Stage, repeats
from omnizip.settings import Settings
from omnizip.types import Turn

QUESTION = "What is seen?"
ARM = Arm("random", 0.5)


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(device="cpu", max_new_tokens=3))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2)


class Clock:
    """A clock that only what is timed moves."""

    def __init__(self, monkeypatch):
        self.now, self.read = 0.0, []
        monkeypatch.setattr(repeats, "perf_counter", lambda: self.now)

    def takes(self, name, *times_s):
        """Something to be timed that takes so long, one time after the other and then the last again."""
        left = list(times_s)

        def run():
            self.read.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_runs_alternate_and_all_have_equally_many(monkeypatch):
    clock = Clock(monkeypatch)
    found = repeats.repeated([clock.takes("full", 0.2, 0.1), clock.takes("small", 0.05)], [110.0, 50.0], lambda: False)
    assert clock.read == ["full", "small", "small", "full"] * 2
    assert [[round(ms) for ms in known] for known in found] == [[110, 200, 100, 100, 100], [50] * 5]


def test_two_seconds_in_all_are_not_passed(monkeypatch):
    clock = Clock(monkeypatch)
    found = repeats.repeated([clock.takes("full", 0.7), clock.takes("small", 0.4)], [700.0, 400.0], lambda: False)
    assert clock.now <= repeats.AT_MOST_S and [len(known) for known in found] == [2, 2]
    clock.now = 0.0
    found = repeats.repeated([clock.takes("full", 30.0), clock.takes("small", 0.4)], [700.0, 400.0], lambda: False)
    assert [len(known) for known in found] == [1, 1] and clock.now == 30, "a round that a machine dragged out is not gone on with"


def test_a_stop_ends_it_and_the_round_it_ends_does_not_count(monkeypatch):
    clock = Clock(monkeypatch)
    reads = [clock.takes("full", 0.1), clock.takes("small", 0.1)]
    found = repeats.repeated(reads, [100.0, 100.0], lambda: len(clock.read) == 3)
    assert [len(known) for known in found] == [2, 2]


def finished(engine, clip, arms=(ARM,), **named):
    events = list(engine.compare(clip, QUESTION, arms, **named))
    assert isinstance(events[-1], Finished)
    return events[-1].report, [event.name for event in events if isinstance(event, Stage)]


def test_a_comparison_shows_the_median_with_the_number_of_runs(engine, clip, monkeypatch):
    known, given = [[10.0, 30.0, 20.0], [5.0, 8.0, 6.0]], []

    def told(reads, first_ms, stop):
        given.append(list(first_ms))
        lengths = [read().lengths[0] for read in reads]
        given.append(lengths)
        return known

    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: True)
    monkeypatch.setattr("omnizip.engine.comparison.repeated", told)
    report, stages = finished(engine, clip)
    assert stages[-1] == "repeat"
    assert given[1] == [run.tokens["total"] for run in report.runs], "each reads its own prompt again"
    for run, times in zip(report.runs, known, strict=True):
        timing = run.timing
        assert timing.prefill_ms == median(times) and timing.prefill_runs == 3
        assert timing.ttft_ms == pytest.approx(timing.compress_ms + median(times) + timing.first_token_ms)
    told_json = report.to_json()
    assert [run["timing"]["prefill_runs"] for run in told_json["runs"]] == [3, 3]
    assert told_json["conditions"]["cores"] == report.load.cores
    assert told_json["conditions"]["load_average"] == list(report.load.average)


def test_the_answers_and_what_a_further_question_can_reuse_are_those_of_a_comparison_without(engine, clip, monkeypatch):
    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: True)
    report, _ = finished(engine, clip)
    turns = {number: [Turn(QUESTION, run.answer.text)] for number, run in enumerate(report.runs)}
    again, stages = finished(engine, clip, history=turns)
    assert "repeat" not in stages and all(run.reused_tokens > 0 and run.timing.prefill_runs == 1 for run in again.runs)
    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: False)
    without, stages = finished(engine, clip)
    assert "repeat" not in stages and [run.answer for run in without.runs] == [run.answer for run in report.runs]


def test_long_reading_and_a_single_answer_are_not_repeated(engine, clip):
    assert repeats.are_short([999.0, 20.0]) and not repeats.are_short([1001.0, 20.0]) and not repeats.are_short([20.0])
    stages = [event.name for event in engine.answer(clip, QUESTION, ARM) if isinstance(event, Stage)]
    assert "repeat" not in stages


def test_where_the_gpu_is_lent_by_the_call_nothing_is_repeated(engine, clip, monkeypatch):
    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: True)
    lent = Engine(engine.model, dataclasses.replace(engine.settings), lambda work, **_: work)
    report, stages = finished(lent, clip)
    assert "repeat" not in stages and [run.timing.prefill_runs for run in report.runs] == [1, 1]


def test_where_memory_runs_out_the_answers_stand(engine, clip, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("omnizip.engine.comparison.are_short", lambda times: True)
    monkeypatch.setattr("omnizip.engine.comparison.repeated", fail)
    report, _ = finished(engine, clip)
    assert len(report.runs) == 2 and report.runs[0].timing.prefill_runs == 1
