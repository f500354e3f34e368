"""What a judge's answer is worth; whatever cannot be a count is no verdict."""

import http.client
import urllib.request

import pytest

from omnizip.evaluation.benchmarks.judge import Judge, JudgeError

JUDGE = Judge("http://127.0.0.1:9/v1", "m")


@pytest.mark.parametrize(
    "said",
    [
        '{"facts": 0, "missed": 0, "invented": 3}',  # percent of nothing
        '{"facts": 1e999, "missed": 0, "invented": 0}',
        '{"facts": 2, "missed": 3, "invented": 0}',
        '{"facts": 2, "missed": 1}',
        "I cannot say.",
    ],
)
def test_a_count_that_cannot_be_is_no_verdict(said, monkeypatch):
    monkeypatch.setattr(Judge, "_ask", lambda *_: said)
    with pytest.raises(JudgeError, match="try another model"):
        JUDGE.count("A drum.", "A drum.")


def test_a_connection_that_breaks_off_is_one_sentence(monkeypatch):
    def breaks(*_, **__):
        raise http.client.IncompleteRead(b"")

    monkeypatch.setattr(urllib.request, "urlopen", breaks)
    with pytest.raises(JudgeError, match="cannot be reached"):
        JUDGE.count("A drum.", "A drum.")
