"""The page when many ask at once: every question is counted, times are in order, and what cannot be measured is said."""

import importlib.util

import pytest

from omnizip.bench import serve
from omnizip.bench.serve import Answered
from omnizip.cli.main import main


def test_a_summary_counts_by_the_minute_and_tells_the_slowest_apart():
    had = [Answered(waited_s=0.1 * number, first_word_s=1.0, done_s=2.0) for number in range(1, 21)]
    found = serve.summary(had, spent_s=30)
    assert found["answers"] == 20 and found["answers_per_minute"] == 40
    assert found["waited_s"]["median"] == pytest.approx(1.05) and found["waited_s"]["p95"] == pytest.approx(2.0)
    row = {"copies": 0, "visitors": 4, "failed": 1, **found}
    assert "| one, without Ray | 4 | 40 | 1.1 (2.0) | 1.0 (1.0) | 2.0 (2.0) | 1 |" in serve.markdown({"rows": [row]})


def test_nobody_answered_is_no_number():
    found = serve.summary([], spent_s=30)
    assert found["answers_per_minute"] == 0 and found["done_s"] == {"median": None, "p95": None}
    assert "| 2 | 4 | 0 | – | – | – | 8 |" in serve.markdown({"rows": [{"copies": 2, "visitors": 4, "failed": 8, **found}]})


def test_every_visitor_has_another_clip():
    film = serve.EXAMPLES[0].read_bytes()
    first, second = serve.own_copy(film), serve.own_copy(film)
    assert first != second and first.startswith(film) and len(first) == len(second) == len(film) + 24


@pytest.mark.slow
def test_two_visitors_are_answered_by_the_page():
    result = serve.measure([0], [2], 1)
    (row,) = result["rows"]
    assert (row["copies"], row["visitors"], row["answers"], row["failed"]) == (0, 2, 2, 0)
    assert 0 < row["first_word_s"]["median"] <= row["done_s"]["median"] <= row["spent_s"]
    assert row["waited_s"]["p95"] < row["done_s"]["p95"]


@pytest.mark.parametrize(
    "flags", [["--copies", "x"], ["--copies", "-1"], ["--visitors", "0"], ["--visitors", "1,9999"], ["--questions", "0"]]
)
def test_bad_flags_end_in_one_line(flags, capsys):
    assert main(["bench", "serve", *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_copies_without_ray_are_refused_before_a_page_is_started(capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else real(name, *more))
    assert main(["bench", "serve", "--copies", "0,2"]) == 2
    assert "needs Ray, which is not installed" in capsys.readouterr().err
