"""Work in a thread, its progress yielded: in order, with its result or its failure, and given up when nobody waits."""

import threading

import pytest

from omnizip.engine.progress import Unwanted, yield_progress


def collect(steps):
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def test_steps_come_in_order_and_the_result_at_the_end():
    def work(report):
        for step in range(5):
            report(step)
        return "done"

    assert collect(yield_progress(work, "work")) == ([0, 1, 2, 3, 4], "done")
    assert collect(yield_progress(lambda report: None, "work")) == ([], None)


def test_a_failure_is_raised_where_it_is_waited_for_after_what_was_reported():
    def work(report):
        report(None)
        raise ZeroDivisionError

    steps = yield_progress(work, "work")
    assert next(steps) is None
    with pytest.raises(ZeroDivisionError):
        next(steps)


def test_closing_ends_the_work_at_its_next_report():
    gate, ended = threading.Event(), []

    def work(report):
        try:
            report(0)
            gate.wait(20)
            report(1)
        except Unwanted:
            ended.append("unwanted")
            raise

    steps = yield_progress(work, "some work", join=False)
    assert next(steps) == 0
    thread = next(t for t in threading.enumerate() if t.name == "some work")
    steps.close()
    gate.set()
    thread.join(20)
    assert ended == ["unwanted"]


def test_who_joins_finds_the_work_ended():
    left = []

    def work(report):
        try:
            for step in range(1_000_000):
                report(step)
        finally:
            left.append(True)

    steps = yield_progress(work, "work", join=True)
    next(steps)
    steps.close()
    assert left


def test_a_check_is_made_while_nothing_is_reported():
    gate = threading.Event()

    def check():
        raise KeyError("stop")

    steps = yield_progress(lambda report: gate.wait(20), "work", check)
    with pytest.raises(KeyError):
        next(steps)
    gate.set()
